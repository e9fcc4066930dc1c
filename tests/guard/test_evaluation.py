"""Corrupted audio, and the figures of the test with it."""

import numpy as np
import pytest
import torch

from espnet_llmasr.data.sounds import KINDS
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.evaluation import (
    Case,
    CorruptionTest,
    area_under_roc,
    draw_others,
    figures,
    first_half,
    flagged_shares,
    half_replaced,
    noise_like,
    page,
    share_below,
)
from espnet_llmasr.train.speech_batches import read_audio


@pytest.mark.parametrize("number", range(len(KINDS)))
@pytest.mark.parametrize("size", [1600, 20001])
def test_noise_is_as_long_and_as_loud(number, size):
    samples = np.random.default_rng(0).standard_normal(size).astype(np.float32) * 0.05
    noise = noise_like(samples, number, 0, 16000)
    assert noise.shape == samples.shape and noise.dtype == np.float32
    level = np.sqrt(np.mean(noise.astype(float) ** 2))
    assert level == pytest.approx(np.sqrt(np.mean(samples.astype(float) ** 2)), rel=1e-3) or not noise.any()
    assert np.array_equal(noise, noise_like(samples, number, 0, 16000))
    assert not noise.any() or not np.array_equal(noise, noise_like(samples, number, 1, 16000))


def test_the_other_utterance_has_other_words():
    texts = {f"u{number}": text for number, text in enumerate(["a b", "A  b!", "c", "d", "a b"])}
    found = draw_others(texts, 0)
    assert found.keys() == texts.keys() and found == draw_others(texts, 0)
    same = {"u0", "u1", "u4"}
    assert all(other != uid and not {uid, other} <= same for uid, other in found.items())
    with pytest.raises(ValueError, match="no utterance has other words than u0"):
        draw_others({"u0": "a", "u1": "a."}, 0)


def test_the_second_half_is_replaced():
    assert half_replaced(np.arange(5), np.array([7, 8])).tolist() == [0, 1, 7, 8, 7]


@pytest.mark.parametrize("text, half", [("天气 good no", "天 气"), ("one two three", "one"), ("good", ""), ("", "")])
def test_the_second_half_of_a_transcript_is_removed(text, half):
    assert first_half(text) == half


def test_a_set_gives_the_same_as_each_audio_by_itself(verifier, corpus):
    """Batches give what single calls give; each transcript gets the audio that it should get."""
    data = corpus / "train"
    texts, wavs = read_scp(data / "text"), read_scp(data / "wav.scp")
    found = CorruptionTest(verifier, data, texts, seed=3).run(max_frames=400)
    audio = {uid: read_audio(uid, wavs[uid], 16000) for uid in texts}
    other = draw_others(texts, 3)
    for number, uid in enumerate(sorted(texts)):
        own = audio[uid]
        expected = dict(
            own=own,
            noise=noise_like(own, number, 3, 16000),
            other=audio[other[uid]],
            half=half_replaced(own, audio[other[uid]]),
        )
        for kind, samples in expected.items():
            (log_probs,) = verifier.log_probs(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
            assert found[kind][uid] == pytest.approx(verifier.verify(log_probs, texts[uid]).confidence, abs=1e-4), kind


def test_figures_by_hand():
    cases = []
    for number in range(20):
        own = 0.2 if number == 0 else 0.9
        confidences = dict(own=own, noise=0.0, other=0.1 if number else 0.95, half=0.5)
        gaps = dict(whole=6.0 if number == 2 else 1.0, cut=5.0 if number < 4 else 30.0)
        cases.append(Case(f"u{number}", number > 1, 1 + number, 1.0 + 0.1 * number, confidences, gaps))
    result = {"sets": ["x"], "seed": 0, "route": "none (2)", "threshold": 0.6, **figures(cases, 0.6, 5.5)}
    assert result["false alarms"]["hits"] == 1 and result["false alarms, transcript right"]["hits"] == 0
    assert [result["replaced"][kind]["detected"]["hits"] for kind in ("noise", "other", "half")] == [20, 19, 20]
    assert result["threshold at 5 % here"] == 0.9 and result["replaced"]["noise"]["auc"] == 1.0
    assert result["wrong"]["detected"]["hits"] == 1 and result["wrong"]["auc"] == pytest.approx(0.75)
    assert result["groups"]["one token"]["own"]["of"] == 1 and result["groups"]["shorter than 1.5 s"]["own"]["of"] == 5
    text = page(result)
    assert "| audio replaced by noise of the same length | 100.0 (83.9-100.0), 20 of 20 |" in text
    assert "| second half replaced by another utterance | 100.0 (83.9-100.0), 20 of 20 |" in text
    gaps = result["gaps"]  # of the 18 right ones
    assert [(gaps[name]["hits"], gaps[name]["of"]) for name in ("false alarms", "detected")] == [(1, 18), (16, 18)]
    assert gaps["auc"] == pytest.approx((17 * 18 + 16) / 18**2)
    assert "| gaps: its second half removed | 88.9 (67.2-96.9), 16 of 18 |" in text
    assert "| own audio: false alarms | 5.0 (0.9-23.6), 1 of 20 |" in text


def test_the_area_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 9, 40), rng.integers(0, 7, 30)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert area_under_roc(high, low) == pytest.approx(np.mean(pairs))
    assert np.isnan(area_under_roc([], [1.0]))


def test_share_below():
    share = share_below([0.1, 0.5, 0.9, 0.95], 0.5)
    assert (share["hits"], share["of"], share["rate"]) == (1, 4, 0.25)
    assert share["95 %"] == pytest.approx((0.0456, 0.6994), abs=1e-4)
    assert share_below([], 0.5)["rate"] is None


def test_flagged_shares():
    confidences = {"own": {"u1": 0.9, "u2": 0.4}, "noise": {"u1": 0.1, "u2": 0.2}}
    assert flagged_shares(confidences, 0.5) == {"own": "50.0 (9.5-90.5), 1 of 2", "noise": "100.0 (34.2-100.0), 2 of 2"}
