"""Stretches on which a transcript and the CTC head disagree."""

import itertools

import numpy as np
import pytest

from espnet_llmasr.guard.gaps import AGREEMENT, LABEL_EVIDENCE, Gap, Run, heaviest

TIAN_QI, GOOD = "t ian1 q i4", "G UH D"


def brute_force(values):
    """The greatest sum of neighbouring values."""
    sums = (sum(values[i:j]) for i, j in itertools.combinations(range(len(values) + 1), 2))
    return max(sums, default=0.0)


def test_the_heaviest_stretch_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for size in range(12):
        values = rng.integers(-5, 10, size).astype(float)
        runs = [Run(2 * number, 2 * number + 1, value) for number, value in enumerate(values)]
        found = heaviest(runs)
        best = max((evidence for *_, evidence in found), default=0.0)
        assert best == max(0.0, brute_force(values.tolist()))
        for start, end, evidence in found:
            assert evidence == values[start // 2 : (end + 1) // 2].sum() > 0
        assert found == sorted(found) and all(a[1] <= b[0] for a, b in zip(found, found[1:]))


@pytest.mark.parametrize(
    "phones, text, kind, start, end",
    [
        (f"{TIAN_QI} {GOOD}", "天气", "unwritten", 14, 22),  # the end is missing; frames by hand: 2 + 3 a phone
        (f"{TIAN_QI} {GOOD}", "good", "unwritten", 2, 13),  # the beginning
        (f"{TIAN_QI} {GOOD} {TIAN_QI}", "天气天气", "unwritten", 14, 22),  # the middle
        (TIAN_QI, "", "unwritten", 2, 13),  # an empty transcript
    ],
)
def test_what_the_text_does_not_cover(verifier, emit, phones, text, kind, start, end):
    (gap,) = verifier.gaps(emit(phones), text, "", 10.0)
    assert gap == Gap(round(start * verifier.frame_s, 3), round(end * verifier.frame_s, 3), kind)


def test_what_the_head_does_not_hear(verifier, emit):
    log_probs = emit("")[:1].repeat(60, 1)
    (gap,) = verifier.gaps(log_probs, "天气 good", "", 10.0)
    assert gap.kind == "unheard" and 0.0 <= gap.start_s < gap.end_s <= 60 * verifier.frame_s
    assert verifier.gaps(log_probs, "", "", 0.0) == []
    both = {each.kind for each in verifier.gaps(emit(f"{TIAN_QI} N OW"), "天气 good good good", "", 10.0)}
    assert "unheard" in both
    assert verifier.gaps(emit("t"), "天气天气天气", "", 10.0) == [Gap(0.0, round(5 * verifier.frame_s, 3), "unheard")]


def test_a_wrong_phone_is_no_gap(verifier, emit):
    """The evidence of one label is limited; agreement on both sides keeps the next wrong one apart."""
    for phones in (TIAN_QI, "t ian1 G q i4", "t ian4 q i4", "t q i4", "G t ian1 q i4"):
        assert verifier.gap_evidence(emit(phones, sharpness=30.0), "天气") <= LABEL_EVIDENCE
    assert verifier.gap_evidence(emit("t G ian1 q UH i4", sharpness=30.0), "天气") == pytest.approx(
        2 * LABEL_EVIDENCE - 2 * AGREEMENT
    )
    assert verifier.gap_evidence(emit(TIAN_QI), "天气") == 0.0


def test_the_evidence_of_each_kind(verifier, emit):
    log_probs = emit(f"{TIAN_QI} {GOOD}", sharpness=30.0)
    assert verifier.gap_evidence(log_probs, "天气") == pytest.approx(3 * LABEL_EVIDENCE)
    assert verifier.gap_evidence(log_probs, "天气", "", ("unheard",)) == 0.0
    assert verifier.gap_evidence(emit("t"), "天气天气天气") == 12 * LABEL_EVIDENCE
