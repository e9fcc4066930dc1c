"""Loops: a piece of a sequence that is repeated again and again, as language models do when they lose the speech."""

from typing import Hashable, Iterator, NamedTuple, Optional, Sequence, Tuple

MAX_UNIT = 24  # tokens of the longest repeated piece that is looked for


class Loop(NamedTuple):
    """`sequence[start : start + unit]` stands there `repeats` times in a row (after the last perhaps a part of it)."""

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

    Of equally long ones it is that of the shortest unit, then the first. A line without a loop takes some microseconds.

    >>> find_loop("so yes yes yes yes".split(), min_repeats=4)
    Loop(start=1, unit=1, repeats=4)
    """
    shortest = max(min_repeats, min_length)
    least = -(-shortest * (min_repeats - 1) // min_repeats)  # tokens of a loop that have stood one unit earlier
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
    """Stretches [begin, end) of at least `least` tokens that have each stood within `reach` tokens before.

    A loop lies in one of them, but for its first unit.
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
    """All stretches of tokens in [begin, end) that equal the ones `unit` before, as loops."""
    start = begin = max(begin, unit)
    for position in range(begin, end + 1):
        if position == end or sequence[position] != sequence[position - unit]:
            yield Loop(start - unit, unit, (position - start) // unit + 1)
            start = position + 1
