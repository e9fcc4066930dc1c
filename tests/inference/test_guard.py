"""Flags, loops that are cut back, and the choice after a second decoding."""

from math import log

import pytest

from espnet_llmasr.guard.gaps import Gap
from espnet_llmasr.guard.verifier import Word
from espnet_llmasr.inference.guard import Guard, insert, span
from espnet_llmasr.inference.hypothesis import Candidate, Hypothesis

WORDS = ["天", "气", "good", "no"]
NO = "N OW"
TIAN_QI = "t ian1 q i4"


@pytest.fixture(scope="module")
def guard(verifier, ctc_head):
    return Guard(verifier, ctc_head / "guard.json", lambda ids: " ".join(WORDS[number] for number in ids))


def candidate(*ids, score=-0.1, at_limit=False):
    return Candidate(list(ids), score, at_limit)


def test_what_is_flagged(guard, emit):
    log_probs = emit(TIAN_QI)
    found = guard.verify(log_probs, candidate(0, 1))
    assert found[:5] == ("天 气", -0.1, 1.0, (), None) and found.gaps == ()
    assert found.words == (Word("天", 0.08, 0.3, 1.0), Word("气", 0.32, 0.54, 1.0))
    assert guard.verify(log_probs, candidate(0, 1, at_limit=True)).flags == ("budget",)
    assert guard.verify(log_probs, candidate(2)).flags == ("unsupported", "gap")
    assert guard.verify(log_probs, candidate()).flags == ("unsupported", "gap")  # an empty transcript of speech
    assert guard.verify(emit(""), candidate()) == Hypothesis("", -0.1, 1.0)  # no words, no gaps


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_a_loop_is_cut_back_to_the_copies_with_the_best_confidence(guard, emit, copies):
    log_probs = emit(f"{TIAN_QI} {' '.join([NO] * copies)}")
    found = guard.verify(log_probs, candidate(0, 1, *[3] * 18))
    assert found.text == " ".join(["天", "气", *["no"] * copies])
    assert (found.confidence, found.flags, found.gaps) == (1.0, ("loop",), ())


def test_a_loop_over_silence_keeps_one_copy(guard, emit):
    found = guard.verify(emit(""), candidate(*[3] * 18))
    assert found.text == "no" and found.flags == ("loop", "unsupported", "gap")


def test_what_is_decoded_again(guard):
    """The guard.json of the tests: not supported below 0.5, in doubt below 0.9."""
    assert guard.is_doubtful(Hypothesis("good", -0.1, 0.89)) and not guard.is_doubtful(Hypothesis("good", -0.1, 0.9))
    assert guard.is_doubtful(Hypothesis("good", -0.1, 0.95, ("budget",)))


def test_silence_that_is_taken_may_be_unsupported_itself(guard, emit):
    log_probs = emit(NO)
    first = guard.verify(log_probs, candidate(0, 1, 0, 1, 0, 1, 0, 1))
    best = guard.choose(log_probs, first, [])
    assert (
        best.text == ""
        and best.flags == ("unsupported", "gap")
        and first.confidence < best.confidence < guard.threshold
    )


def test_the_supported_candidate_is_taken(guard, emit):
    log_probs = emit(TIAN_QI)
    first = guard.verify(log_probs, candidate(2))
    best = guard.choose(log_probs, first, [candidate(2, 3), candidate(0, 1, score=-0.9), candidate(0)])
    assert (best.text, best.score, best.confidence) == ("天 气", -0.9, 1.0)
    assert best.flags == () and best.first == first and first.flags == ("unsupported", "gap")


def test_the_llm_decides_among_equally_supported_ones(guard, emit):
    log_probs = emit(TIAN_QI)
    first = guard.verify(log_probs, candidate(2))
    assert guard.choose(log_probs, first, [candidate(0, 1, score=-0.9), candidate(0, 1, score=-0.2)]).score == -0.2


def test_support_and_score_count_alike(guard, emit):
    """By hand: log(confidence) + score of both; the second has less support, but by less than its score is better."""
    log_probs = emit(TIAN_QI)
    full, half = guard.verify(log_probs, candidate(0, 1)).confidence, guard.verify(log_probs, candidate(0)).confidence
    assert 0 < half < full == 1.0

    first = guard.verify(log_probs, candidate(2, score=-50.0))
    for score in (log(half) - 0.1, log(half) + 0.1):
        best = guard.choose(log_probs, first, [candidate(0, 1, score=score - 1.0), candidate(0, score=-1.0)])
        assert best.text == ("天 气" if score > log(half) else "天")
        assert best.flags == (() if score > log(half) else ("unsupported", "gap")) and best.first == first


def test_gaps_have_times(guard, emit):
    """40 ms a frame: two frames of silence, then two frames a phone and one of silence."""
    found = guard.verify(emit(f"{TIAN_QI} G UH D"), candidate(0, 1))
    assert found.gaps == (Gap(0.56, 0.88, "unwritten"),) and found.flags[-1] == "gap"
    assert [word.text for word in found.words] == ["天", "气"] and guard.is_doubtful(found)
    assert guard.verify(emit(f"{TIAN_QI} G UH D"), candidate(0, 1, 2)).gaps == ()
    (gap,) = guard.verify(emit(""), candidate(2, 2)).gaps
    assert gap.kind == "unheard" and gap.end_s <= 0.08


def test_nothing_is_better(guard, emit):
    log_probs = emit(TIAN_QI)
    first = guard.verify(log_probs, candidate(0, score=-0.1))
    best = guard.choose(log_probs, first, [candidate(0, score=-0.2), candidate(2, 2, score=-5.0)])
    assert best == first and best.flags == ("unsupported", "gap") and best.first is None


def test_the_empty_transcript_for_silence(guard, emit):
    log_probs = emit("")
    first = guard.verify(log_probs, candidate(2))
    best = guard.choose(log_probs, first, [candidate(0), candidate(3)])
    assert (best.text, best.confidence, best.flags) == ("", 1.0, ())
    assert best.first.text == "good"
    assert guard.choose(emit(TIAN_QI), first, [candidate(3)]).text != ""  # not for speech


def test_a_guard_of_another_model(verifier, ctc_head, tmp_path):
    other = (ctc_head / "guard.json").read_text().replace(verifier.fingerprint(), "0" * 16)
    (tmp_path / "guard.json").write_text(other)
    with pytest.raises(ValueError, match="belongs to the CTC model 0000000000000000"):
        Guard(verifier, tmp_path / "guard.json", str)


# ---- gaps that are decoded alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phones, ids, pieces, text",
    [
        (f"{TIAN_QI} G UH D", [0, 1], [candidate(2, score=-0.3)], "天 气 good"),  # the end is missing
        (f"G UH D {TIAN_QI}", [0, 1], [candidate(2, score=-0.3)], "good 天 气"),  # the beginning
        (f"{TIAN_QI} G UH D {TIAN_QI}", [0, 1, 0, 1], [candidate(2, score=-0.3)], "天 气 good 天 气"),
        (TIAN_QI, [], [candidate(0, 1, score=-0.3)], "天 气"),  # an empty transcript
        (f"{TIAN_QI} N OW {TIAN_QI} G UH D", [0, 1, 0, 1], [candidate(3), candidate(2, score=-0.3)], None),
    ],
)
def test_a_gap_is_filled(guard, emit, phones, ids, pieces, text):
    log_probs = emit(phones)
    hypothesis = guard.verify(log_probs, candidate(*ids))
    filled = guard.fill(log_probs, hypothesis, pieces)
    if text is None:  # two gaps; "N OW" alone has two labels of at most ten nats, so the gap is found
        text = "天 气 no 天 气 good"
        assert len(hypothesis.gaps) == 2
    assert (filled.text, filled.score, filled.confidence, filled.flags) == (text, -0.3, 1.0, ())
    assert filled.first == hypothesis and filled.gaps == ()


def test_a_wrong_piece_is_not_taken(guard, emit):
    log_probs = emit(f"{TIAN_QI} G UH D")
    hypothesis = guard.verify(log_probs, candidate(0, 1))
    assert guard.fill(log_probs, hypothesis, [candidate(3, 3, 3)]) is hypothesis  # though of higher confidence
    assert guard.fill(log_probs, hypothesis, [candidate()]) is hypothesis
    assert guard.fill(log_probs, hypothesis, [candidate(2, score=-40.0)]) is hypothesis  # the LLM has a say
    music = hypothesis._replace(confidence=0.0)
    guard.threshold = 1.01  # no text is supported
    assert guard.fill(log_probs, music, [candidate(2)]) is music
    guard.threshold = 0.5
    earlier = hypothesis._replace(first=Hypothesis("good", -1.0))
    assert guard.fill(log_probs, earlier, [candidate(2)]).first.text == "good"  # the first decoding of all


def test_where_a_piece_is_put():
    words = (Word("天", 0.0, 0.2, 1.0), Word("气", 0.3, 0.5, 1.0))
    gap = Gap(0.22, 0.28, "unwritten")
    hypothesis = Hypothesis("天气", -0.1, words=words, gaps=(gap, Gap(0.0, 0.1, "unheard"), Gap(0.9, 1.5, "unwritten")))
    assert insert(hypothesis, ["好", "good"]) == "天好气 good"  # no space between Han characters
    assert insert(hypothesis, ["", ""]) == "天气"
    assert insert(hypothesis._replace(text="天气 5"), ["好", "good"]) is None  # a word without times
    reaching = hypothesis._replace(words=(Word("天", 0.0, 0.25, 1.0), words[1]))  # a word's end is only half-way
    assert span(reaching, gap) == (0.22, 0.3)
    assert span(hypothesis, gap) == (0.2, 0.3) and span(hypothesis, hypothesis.gaps[2]) == pytest.approx((0.6, 1.8))
