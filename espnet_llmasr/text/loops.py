"""Loops: a piece of a sequence that is repeated many times in a row, a common error of language models in decoding."""

from typing import Hashable, Iterator, NamedTuple, Optional, Sequence, Tuple

MAX_UNIT = 24  # tokens of the longest repeated piece that counts as a loop


class Loop(NamedTuple):
    """`sequence[start : start + unit]` is repeated `repeats` times in a row; a part of it may follow."""

    start: int
    unit: int
    repeats: int

    @property
    def length(self) -> int:
        """Tokens in whole repeats."""
        return self.unit * self.repeats


def find_loop(
    sequence: Sequence[Hashable], min_repeats: int, min_length: int = 1, max_unit: int = MAX_UNIT
) -> Optional[Loop]:
    """The longest loop with at least `min_repeats` (2 or more) repeats and `min_length` tokens, or None.

    Of equally long loops it is the one with the shortest unit, then the first. A line without a loop takes a few
    microseconds.

    >>> find_loop("so yes yes yes yes".split(), min_repeats=4)
    Loop(start=1, unit=1, repeats=4)
    """
    shortest = max(min_repeats, min_length)
    least = -(-shortest * (min_repeats - 1) // min_repeats)  # tokens of a loop that also occur one unit earlier
    if len(sequence) - len(set(sequence)) < least:
        return None
    best: Optional[Loop] = None
    for begin, end in _recurring(sequence, max_unit, least):
        for unit in range(1, min(max_unit, (end - begin) // (min_repeats - 1)) + 1):
            for loop in _loops(sequence, unit, begin, end):
                if loop.repeats < min_repeats or loop.length < min_length:
                    continue
                if best is None or (loop.length, -loop.unit) > (best.length, -best.unit):
                    best = loop
    return best


def _recurring(sequence: Sequence[Hashable], reach: int, least: int) -> Iterator[Tuple[int, int]]:
    """Ranges [begin, end) of at least `least` tokens that all occur also within the `reach` tokens before them.

    Every loop without its first unit lies in one of these ranges.
    """
    begin, last = 0, {}
    for end, token in enumerate(sequence):
        if end - last.get(token, -reach - 1) > reach:
            if end - begin >= least:
                yield begin, end
            begin = end + 1
        last[token] = end
    if len(sequence) - begin >= least:
        yield begin, len(sequence)


def _loops(sequence: Sequence[Hashable], unit: int, begin: int, end: int) -> Iterator[Loop]:
    """The loops in [begin, end): ranges of tokens that equal the tokens `unit` places earlier."""
    start = begin = max(begin, unit)
    for position in range(begin, end + 1):
        if position == end or sequence[position] != sequence[position - unit]:
            yield Loop(start - unit, unit, (position - start) // unit + 1)
            start = position + 1
