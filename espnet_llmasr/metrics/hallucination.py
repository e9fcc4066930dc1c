"""Hallucination: words that the audio does not explain, by three definitions, and a rate for audio without speech.

The definitions compare score tokens (`text.normalize.score_tokens`). Intervals of shares are Wilson's, that of the rate
is a bootstrap over utterances (`metrics.intervals`).

    paper   section 4.3 of arXiv 2604.08003; "entirely unrelated" is open there, benchmarks/hallucination.md measures it
    length  the reward rule of section 6.2 of the sibling paper NIM4-ASR
    loop    ours: error rates hide loops, since one looping utterance is one utterance
"""

from typing import NamedTuple, Sequence, Tuple

from rapidfuzz.distance import Levenshtein

from espnet_llmasr.metrics.intervals import Interval, bootstrap_interval
from espnet_llmasr.text.loops import MAX_UNIT, find_loop

PAPER_RATIO, PAPER_SHARE = 1.5, 0.3
LENGTH_SHORTEST, LENGTH_LONGEST = 0.5, 2.0
LOOP_REPEATS, LOOP_TOKENS = 4, 6
WORD_REPEATS, WORD_CHARACTERS = 6, 16
ALARM_CHARS_PER_MINUTE = 1500  # text for audio without speech above it is an alarm in the field's tests on MUSAN

DEFINITIONS = ("paper", "length", "loop")
DESCRIPTIONS = {
    "paper": f"more than {PAPER_RATIO:g} times the reference's tokens, and at most {PAPER_SHARE:.0%} of the "
    "reference's tokens found again (correct less deleted ones of a minimum edit alignment).",
    "length": f"more than {LENGTH_LONGEST:g} times or less than {LENGTH_SHORTEST:g} times the reference's tokens; "
    "an empty hypothesis is one.",
    "loop": f"a piece of 1 to {MAX_UNIT} tokens stands {LOOP_REPEATS} or more times in a row over {LOOP_TOKENS} or "
    f"more tokens (within a word: characters, {WORD_REPEATS} times over {WORD_CHARACTERS}), and the reference repeats "
    "nothing half as long.",
}


def judge(reference: Sequence[str], hypothesis: Sequence[str]) -> Tuple[str, ...]:
    """The definitions by which the hypothesis is a hallucination, in the order of DEFINITIONS; both are score tokens.

    For an empty reference any words at all are one by `paper` and by `length`.
    """
    rules = (is_unrelated, has_wrong_length, has_loop)
    return tuple(name for name, rule in zip(DEFINITIONS, rules) if rule(reference, hypothesis))


def is_unrelated(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """`paper`: too long and unrelated."""
    too_long = len(hypothesis) > PAPER_RATIO * len(reference)
    return too_long and found_again(reference, hypothesis) <= PAPER_SHARE * len(reference)


def found_again(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Correct less deleted tokens, which is the same number in every alignment of minimum edit distance.

    distance = S + D + I and the lengths are N = C + S + D and M = C + S + I, so C - D = M - distance.
    """
    return len(hypothesis) - Levenshtein.distance(reference, hypothesis)


def has_wrong_length(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """`length`: too long or too short."""
    return not LENGTH_SHORTEST * len(reference) <= len(hypothesis) <= LENGTH_LONGEST * len(reference)


def has_loop(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """`loop`: the hypothesis repeats itself, in tokens or within a word, and the reference does nothing like it.

    The two are compared in characters, so that "ha ha ha ha ha ha" excuses "hahahahahaha".
    """
    characters = _looping_characters(hypothesis)
    if not characters:
        return False
    text = "".join(reference)
    loop = find_loop(text, LOOP_REPEATS, max_unit=len(text))
    return loop is None or 2 * loop.length < characters


def _looping_characters(tokens: Sequence[str]) -> int:
    """Characters of the longest loop of tokens; if there is none, of the longest loop within a token; else 0."""
    loop = find_loop(tokens, LOOP_REPEATS, LOOP_TOKENS)
    if loop:
        return len("".join(tokens[loop.start : loop.start + loop.length]))
    long = (token for token in tokens if len(token) >= WORD_CHARACTERS)
    loops = filter(None, (find_loop(token, WORD_REPEATS, WORD_CHARACTERS) for token in long))
    return max((loop.length for loop in loops), default=0)


class CharsPerMinute(NamedTuple):
    """Characters of text (blanks not counted) a minute of audio, with the 95 % interval; without speech 0 is ideal."""

    rate: float
    interval: Interval


def chars_per_minute(characters: Sequence[int], seconds: Sequence[float]) -> CharsPerMinute:
    """From the characters and the length of every utterance; the interval is (nan, nan) for less than two of them."""
    low, high = bootstrap_interval(characters, seconds)
    return CharsPerMinute(60.0 * sum(characters) / sum(seconds), (60.0 * low, 60.0 * high))
