import math
import random
from itertools import islice

import jiwer
import numpy as np
import pytest

from espnet_llmasr.metrics.error_rate import (
    PARTS,
    Counts,
    SetCounts,
    TokenLines,
    align,
    check_ids,
    count_errors,
    count_parts,
    details,
    score_tokens_of,
)
from espnet_llmasr.metrics.intervals import bootstrap_interval
from espnet_llmasr.text.normalize import is_han, score_tokens

HAN = [chr(code) for code in (*range(0x4E00, 0x4E0A), 0x35CE, 0x282E2, 0x3007, 0xF900)]
WORDS = ["a", "an", "it's", "python", "25", "café", "o'clock", "あ", "xs", "한"]


def distance(reference, hypothesis):
    """Edit distance by the textbook table."""
    table = [[max(i, j) for j in range(len(hypothesis) + 1)] for i in range(len(reference) + 1)]
    for i, r in enumerate(reference, 1):
        for j, h in enumerate(hypothesis, 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (r != h))
    return table[-1][-1]


def random_pairs(vocabulary, seed, shortest=0):
    """Half of the hypotheses are unrelated to the reference, half are the reference with some errors."""
    draw = random.Random(seed)
    while True:
        reference = draw.choices(vocabulary, k=draw.randint(shortest, 14))
        hypothesis = draw.choices(vocabulary, k=draw.randint(0, 14))
        if draw.random() < 0.5:
            hypothesis = [token for original in reference for token in noisy(original, vocabulary, draw)]
        yield reference, hypothesis


def noisy(token, vocabulary, draw):
    """Nothing, another token, both or (mostly) the token."""
    other = draw.choice(vocabulary)
    return draw.choices([[], [other], [token, other], [token]], weights=[1, 1, 1, 6])[0]


def check_against_alignment(counts, reference, hypothesis):
    """S, D and I are not unique, so they are compared with our own alignment, whose cost must be the distance."""
    pairs = align(reference, hypothesis)
    operations = [operation for operation, _, _ in pairs]
    assert [r for _, r, _ in pairs if r is not None] == reference
    assert [h for _, _, h in pairs if h is not None] == hypothesis
    for operation, r, h in pairs:
        both = "correct" if r == h else "substitution"
        assert operation == ("insertion" if r is None else "deletion" if h is None else both)
    assert tuple(counts) == tuple(map(operations.count, ("correct", "substitution", "deletion", "insertion")))
    assert counts.errors == distance(reference, hypothesis)
    assert counts.reference_length == len(reference)
    assert counts.correct + counts.substitutions + counts.insertions == len(hypothesis)


@pytest.mark.parametrize(
    "vocabulary, joint, rate, output",
    [(HAN, "", jiwer.cer, jiwer.process_characters), (WORDS, " ", jiwer.wer, jiwer.process_words)],
    ids=["CER", "WER"],
)
def test_10000_pairs_equal_jiwer_and_a_plain_dynamic_programme(vocabulary, joint, rate, output):
    texts = []
    for reference, hypothesis in islice(random_pairs(vocabulary, seed=1, shortest=1), 10_000):
        texts.append((joint.join(reference), joint.join(hypothesis)))
        counts = count_errors(*map(score_tokens, texts[-1]))
        assert counts.rate == rate(*texts[-1])
        check_against_alignment(counts, reference, hypothesis)
    score = score_tokens_of((str(n), *map(score_tokens, pair), False) for n, pair in enumerate(texts))
    theirs = output(*map(list, zip(*texts)))
    total = score.total("han" if joint == "" else "words")
    assert total == score.total()
    assert total.rate == rate(*map(list, zip(*texts)))
    assert total.reference_length == theirs.hits + theirs.substitutions + theirs.deletions
    assert total.errors == theirs.substitutions + theirs.deletions + theirs.insertions


def test_10000_mixed_pairs_equal_jiwer_on_our_tokens():
    """MER on all tokens, CER and WER on those of one script."""
    for pair in islice(random_pairs(HAN + WORDS, seed=2, shortest=1), 10_000):
        han, words = ([[t for t in side if is_han(t) is wanted] for side in pair] for wanted in (True, False))
        parts = count_parts(*pair)
        for counts, sides in zip(parts, (pair, han, words)):
            check_against_alignment(counts, *sides)
            if sides[0]:
                assert counts.rate == jiwer.wer(" ".join(sides[0]), " ".join(sides[1]))


@pytest.mark.parametrize(
    "reference, hypothesis, counts",
    [
        ("a b c d", "b c d x", Counts(3, 0, 1, 1)),
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


def score(*pairs):
    return score_tokens_of((f"u{n}", score_tokens(r), score_tokens(h), False) for n, (r, h) in enumerate(pairs))


MIXED = ("今天 meeting 取消", "今天 meting 取了消"), ("Hello, world!", "hello world"), ("你好", "")


def test_mixed_set_by_hand():
    found = score(*MIXED)
    assert found.total() == Counts(6, 1, 2, 1) and found.total().rate == pytest.approx(4 / 9)
    assert found.total("han") == Counts(4, 0, 2, 1) and found.total("words") == Counts(2, 1, 0, 0)
    assert (len(found), found.sentence_errors, found.empty_hypotheses) == (3, 2, 1)
    assert found.errors().tolist() == [2, 0, 2] and found.lengths("han").tolist() == [4, 0, 2]
    apart = score(("北京 is big", "beijing is big"))  # scripts are aligned by themselves
    assert apart.total("han") == Counts(0, 0, 2, 0) and apart.total("words") == Counts(2, 0, 0, 1)


def test_letters_by_hand():
    found = score(*MIXED, ("用 don’t", "用dont A"))
    assert found.letter_counts().tolist() == [[10, 0, 1, 1], [10, 0, 0, 0], [0, 0, 2, 0], [5, 0, 0, 1]]
    assert found.total("letters") == Counts(25, 0, 3, 2)
    assert found.errors("letters").tolist() == [2, 0, 2, 1] and found.lengths("letters").tolist() == [11, 10, 2, 5]


@pytest.mark.parametrize("part", [*PARTS, "letters"])
def test_interval_is_that_of_the_part(part):
    found = score(*MIXED, ("不 e", ""), ("f", "f"))
    assert found.interval(part) == bootstrap_interval(found.errors(part), found.lengths(part))


def test_sets_add_up():
    both = score(MIXED[0]) + score(*MIXED[1:])
    both_letters = score(MIXED[0])
    both_letters.letter_counts()
    both_letters = both_letters + score(*MIXED[1:])
    assert both.counts.tolist() == score(*MIXED).counts.tolist() and both.ids == ["u0", "u0", "u1"]
    assert both_letters.total("letters") == score(*MIXED).total("letters")
    assert (SetCounts() + score(*MIXED)).total() == score(*MIXED).total()


def test_empty_set_and_fallbacks():
    empty = score_tokens_of(iter([]))
    assert len(empty) == 0 and empty.counts.shape == (0, len(PARTS), 4) and empty.letter_counts().shape == (0, 4)
    assert empty.total() == Counts() and empty.total("letters") == Counts()
    assert score_tokens_of([("a", [], [], False), ("b", ["x"], [], True)]).fallbacks == ["b"]


def test_tokens_come_back_as_they_were():
    found = score(*MIXED)
    assert list(found.references) == [score_tokens(reference) for reference, _ in MIXED]
    assert list(found.hypotheses) == [score_tokens(hypothesis) for _, hypothesis in MIXED]
    assert found.hypotheses[2] == [] and found.hypotheses[-2] == ["hello", "world"]
    assert list(TokenLines([["a", "b"], []]) + TokenLines([["你"]])) == [["a", "b"], [], ["你"]]
    assert found.counts.dtype == np.int64


def test_phones_keep_their_case():
    assert score_tokens_of([("u", "n N ɑ".split(), "n n ɑ".split(), False)]).total() == Counts(2, 1, 0, 0)


def test_details_are_kept_per_utterance():
    detail = next(iter(details(score(("a b", "a")))))
    assert detail["id"] == "u0" and detail["deletions"] == 1
    assert detail["alignment"] == [("correct", "a", "a"), ("deletion", "b", None)]


def test_missing_and_unknown_ids_are_named():
    with pytest.raises(ValueError, match=r"2 references have no hypothesis.*\(a, c\)"):
        check_ids({"a": "", "b": "", "c": ""}, {"b": ""})
    with pytest.raises(ValueError, match=r"1 hypotheses have no reference.*\(z\)"):
        check_ids({"a": ""}, {"a": "", "z": ""})
    with pytest.raises(ValueError, match="7 references.*u0, u1, u2, u3, u4, \\.\\.\\."):
        check_ids({f"u{n}": "" for n in range(7)}, {})
