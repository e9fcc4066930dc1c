"""The decision to publish: the paper's rule, and the replay of a recorded log."""

import pytest

from espnet_llmasr.encoder_swap.plan import replay
from espnet_llmasr.encoder_swap.rule import SwapRule, action_for


@pytest.mark.parametrize(
    "step, cka, ended, expected",
    [
        (99, None, False, None),
        (99, None, True, "final"),  # also if pretraining was shorter than the start step
        (100, None, False, "reference"),
        (200, 0.975, False, "keep"),
        (200, 0.9749, False, "publish"),
        (200, 0.999, True, "final"),
    ],
)
def test_the_papers_rule(step, cka, ended, expected):
    assert action_for(step, SwapRule(0.975, 100), cka, ended) == expected


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_threshold_outside_its_range(threshold):
    with pytest.raises(ValueError, match="allowed is 0 < threshold <= 1"):
        SwapRule(threshold)
    assert SwapRule(1.0).threshold == 1.0


# What the watcher of the bilingual miniature recorded before this module: step, reference, CKA; what it published.
RECORDED = """1000 0 -; 1100 1000 0.97078; 1200 1100 0.97409; 1300 1200 0.97861; 1400 1200 0.96908; 1500 1400 0.98143;
1600 1400 0.97709; 1700 1400 0.97770; 1800 1400 0.97532; 1900 1400 0.97256; 2000 1900 0.98660; 2100 1900 0.98391;
2200 1900 0.97889; 2300 1900 0.97947; 2400 1900 0.97529; 2500 1900 0.97202; 2600 2500 0.99111; 2700 2500 0.98927;
2800 2500 0.98741; 2900 2500 0.98598; 3000 2500 0.98653; 3100 2500 0.98538; 3200 2500 0.98508; 3300 2500 0.98498;
3400 2500 0.98437; 3500 2500 0.98460; 3600 2500 0.98338; 3700 2500 0.98285; 3800 2500 0.98359; 3900 2500 0.98292;
4000 2500 0.98170"""
PUBLISHED = [1100, 1200, 1400, 1900, 2500]


def test_a_replay_of_a_recorded_log_gives_the_same_triggers():
    rows = [part.split() for part in RECORDED.replace("\n", " ").split(";")]
    known = {(int(reference), int(step)): [float(cka)] for step, reference, cka in rows[1:]}
    (log,) = replay([SwapRule(0.975, 1000)], range(100, 4001, 100), lambda *pair: known[pair], ended=True)
    assert [(check.step, check.reference_step) for check in log] == [(int(row[0]), int(row[1])) for row in rows]
    assert [check.step for check in log if check.action == "publish"] == PUBLISHED
    assert (log[0].action, log[-1].action) == ("reference", "final")
    assert {check.action for check in log if check.step not in (1000, *PUBLISHED, 4000)} == {"keep"}
