"""The threshold and its file."""

import json

import numpy as np
import pytest

from espnet_llmasr.guard.calibration import Calibration, gap_threshold, quantile, read_calibration, thresholds_for


@pytest.mark.parametrize("target", [0.0, 0.05, 0.1, 0.29, 0.5])
def test_the_quantile_leaves_at_most_the_target_below_and_no_higher_one_does(target):
    rng = np.random.default_rng(0)
    for size in (1, 7, 20, 100, 333):
        confidences = rng.random(size).round(2)
        threshold = quantile(confidences, target)
        assert np.mean(confidences < threshold) <= target + 1e-12
        above = np.nextafter(threshold, 2)
        assert np.mean(confidences < above) > target


def test_what_cannot_be_calibrated():
    with pytest.raises(ValueError, match="0 confidences"):
        quantile([], 0.05)
    with pytest.raises(ValueError, match="2 confidences, 1 of them NaN"):
        quantile([0.5, float("nan")], 0.05)
    with pytest.raises(ValueError, match="5.0 false alarms: give a share"):
        quantile([0.5], 5.0)


def test_the_threshold_lies_in_the_middle_between_true_and_false():
    """By hand: one of 20 true ones is below 0.81, one of 20 false ones above 0.01."""
    true, false = [0.02, *[0.81] * 4, *[1.0] * 15], [*[0.0] * 15, *[0.01] * 4, 0.7]
    assert thresholds_for(true, false, 0.05) == pytest.approx((0.09, 0.81))
    assert thresholds_for(true, false, 0.0) == (0.02, 0.02)  # they overlap
    assert thresholds_for(true, [0.0] * 20, 0.05) == pytest.approx((0.009, 0.81))  # 0 counts as 1e-4


@pytest.mark.parametrize("target", [0.0, 0.05, 0.2])
def test_no_more_than_the_target_of_true_transcripts_is_flagged(target):
    rng = np.random.default_rng(1)
    for spread in (0.1, 1.0, 5.0):
        true, false = np.exp(-spread * rng.random(200)), np.exp(-3 * rng.random(200))
        threshold, doubt = thresholds_for(true, false, target)
        assert np.mean(true < threshold) <= np.mean(true < doubt) <= target


def test_a_gap_begins_in_the_middle_between_whole_and_cut_transcripts():
    """By hand: one of 20 whole ones exceeds 2, one of 20 cut ones is below 20."""
    whole, cut = [*[0.0] * 15, *[2.0] * 4, 30.0], [1.0, *[20.0] * 10, *[50.0] * 9]
    assert gap_threshold(whole, cut, 0.05) == 11.0
    assert gap_threshold(whole, whole, 0.05) == 2.0  # they overlap: no more false alarms than the target
    with pytest.raises(ValueError, match="0 confidences"):
        gap_threshold([], [], 0.05)


def test_written_and_read_again(tmp_path):
    calibration = Calibration(0.25, 0.75, 9.0, 0.05, 100, "abc", "dump/valid")
    calibration.write(tmp_path / "guard.json")
    assert read_calibration(tmp_path / "guard.json", "abc") == calibration
    assert json.loads((tmp_path / "guard.json").read_text())["utterances"] == 100


def saved(**changes):
    """The content of a guard.json with something else in it."""
    values = dict(threshold=0.25, doubt=0.75, gap=9.0, target=0.05, utterances=4, model="abc", data="dump/valid")
    return json.dumps({**values, **changes})


def older():
    """The content of a guard.json of a version without gaps."""
    values = json.loads(saved())
    del values["gap"]
    return json.dumps(values)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no file .*guard.json, so the guard has no threshold: run stage 10"),
        (saved(model="xyz"), "belongs to the CTC model xyz, this one is abc: run stage 10"),
        (saved(threshold=float("nan")), "has threshold nan and doubt 0.75, allowed is 0 <= threshold <= doubt <= 1"),
        (saved(threshold=0.8), "has threshold 0.8 and doubt 0.75, allowed is"),
        (saved(doubt=1.5), "has threshold 0.25 and doubt 1.5, allowed is"),
        (saved(gap=float("nan")), "has gap nan, allowed is a number of nats from 0"),
        (saved(gap=float("inf")), "has gap inf, allowed is a number of nats from 0"),
        (older(), "has no threshold for gaps, it was made by an older version: run stage 10"),
        (saved(threshold=None), "is damaged .TypeError"),
        ('{"threshold": 0.5, "model": "abc"}', "is damaged .TypeError"),
        ("[1]", "is damaged"),
        ("{", "is damaged"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, message):
    if content is not None:
        (tmp_path / "guard.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_calibration(tmp_path / "guard.json", "abc")
    assert "--guard off" in str(error.value) and "\n" not in str(error.value)


def test_the_thresholds_in_one_line():
    line = Calibration(0.5, 0.9, 12.0, 0.05, 4, "model", "dump/valid").summary()
    assert line == "not supported below 0.5000, doubtful below 0.9000, a gap above 12.00 nats; 4 utterances"
