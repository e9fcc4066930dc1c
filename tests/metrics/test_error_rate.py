import math
import random

import pytest
from espnet_llmasr.metrics.error_rate import Counts, align, count_errors, score_set


def distance(reference, hypothesis):
    """Edit distance by the textbook table."""
    table = [[max(i, j) for j in range(len(hypothesis) + 1)] for i in range(len(reference) + 1)]
    for i, r in enumerate(reference, 1):
        for j, h in enumerate(hypothesis, 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (r != h))
    return table[-1][-1]


def random_pairs(number, seed=0):
    draw = random.Random(seed)
    words = ["a", "bb", "it's", "今", "天", "x y"]
    for _ in range(number):
        yield tuple([draw.choice(words) for _ in range(draw.randrange(12))] for _ in range(2))


def test_errors_equal_a_plain_dynamic_programme():
    for reference, hypothesis in random_pairs(400):
        counts = count_errors(reference, hypothesis)
        assert counts.errors == distance(reference, hypothesis)
        assert counts.reference_length == len(reference)
        assert counts.correct + counts.substitutions + counts.insertions == len(hypothesis)


def test_alignment_spells_both_sides():
    for reference, hypothesis in random_pairs(200, seed=1):
        pairs = align(reference, hypothesis)
        assert [r for _, r, _ in pairs if r is not None] == reference
        assert [h for _, _, h in pairs if h is not None] == hypothesis
        for operation, r, h in pairs:
            expected = (
                "insertion" if r is None else "deletion" if h is None else "correct" if r == h else "substitution"
            )
            assert operation == expected


@pytest.mark.parametrize(
    "reference, hypothesis, counts",
    [
        ("a b c", "a b c", Counts(3, 0, 0, 0)),
        ("a b c", "a x c d", Counts(2, 1, 0, 1)),
        ("a b c", "c", Counts(1, 0, 2, 0)),
        ("a b", "", Counts(0, 0, 2, 0)),
        ("", "a b", Counts(0, 0, 0, 2)),
        ("", "", Counts(0, 0, 0, 0)),
    ],
)
def test_counts(reference, hypothesis, counts):
    assert count_errors(reference.split(), hypothesis.split()) == counts


def test_rates():
    assert Counts(2, 1, 1, 2).rate == pytest.approx(4 / 4)
    assert Counts().rate == 0.0 and math.isinf(Counts(insertions=1).rate)
    assert Counts(1, 2, 3, 4) + Counts(4, 3, 2, 1) == Counts(5, 5, 5, 5)


def test_mixed_set_by_hand():
    references = {"1": "今天 meeting 取消", "2": "Hello, world!", "3": "你好"}
    hypotheses = {"1": "今天 meting 取了消", "2": "hello world", "3": ""}
    score = score_set(references, hypotheses)
    assert score.tokens == Counts(6, 1, 2, 1) and score.tokens.rate == pytest.approx(4 / 9)
    assert score.han == Counts(4, 0, 2, 1) and score.words == Counts(2, 1, 0, 0)
    assert (score.utterances, score.sentence_errors, score.empty_hypotheses, score.hallucinations) == (3, 2, 1, 0)
    assert score.sentence_error_rate == pytest.approx(2 / 3)


def test_scripts_are_aligned_apart():
    score = score_set({"1": "北京 is big"}, {"1": "beijing is big"})
    assert score.han == Counts(0, 0, 2, 0) and score.words == Counts(2, 0, 0, 1)


def test_normalisation_is_shared_by_both_sides():
    score = score_set({"1": "ＡＢＣ，don’t 好。"}, {"1": "abc don't, 好"})
    assert score.tokens == Counts(correct=3)


def test_details_are_kept_per_utterance():
    detail = score_set({"u": "a b"}, {"u": "a"}).details[0]
    assert detail["id"] == "u" and detail["deletions"] == 1
    assert detail["alignment"] == [("correct", "a", "a"), ("deletion", "b", None)]


def test_phones_keep_their_case():
    assert score_set({"u": "n N"}, {"u": "n n"}, str.split).tokens == Counts(1, 1, 0, 0)


def test_missing_and_unknown_ids_are_named():
    with pytest.raises(ValueError, match=r"2 references have no hypothesis.*\(a, c\)"):
        score_set({"a": "", "b": "", "c": ""}, {"b": ""})
    with pytest.raises(ValueError, match=r"1 hypotheses have no reference.*\(z\)"):
        score_set({"a": ""}, {"a": "", "z": ""})
    with pytest.raises(ValueError, match="7 references.*u0, u1, u2, u3, u4, \\.\\.\\."):
        score_set({f"u{n}": "" for n in range(7)}, {})
    with pytest.raises(ValueError, match="no references"):
        score_set({}, {})
