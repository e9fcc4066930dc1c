"""Markdown of every table of this project, and the cells that several tables share: rates, shares, p values."""

import html
import math
import re
from typing import Iterable, Optional, Sequence

from espnet_llmasr.files import printable
from espnet_llmasr.metrics.hallucination import CharsPerMinute
from espnet_llmasr.metrics.intervals import Interval, wilson_interval

_MARKS = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")  # test_clean is no emphasis


def markdown(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table. The first row is the head; the first `left` columns are text, the others numbers."""
    head, *body = rows
    lines = [head, ["---"] * left + ["---:"] * (len(head) - left), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell_text(text: str) -> str:
    """For a cell or a note whose text comes from a user: it shows as it is, neither as HTML nor as Markdown.

    >>> cell_text("<b>a|b")
    '&lt;b&gt;a\\\\|b'
    """
    return _MARKS.sub(r"\\\g<0>", html.escape(printable(" ".join(text.split())), quote=False))


def bullets(notes: Iterable[str]) -> str:
    """A list of all notes that are not empty."""
    return "".join(f"- {note}\n" for note in notes if note)


def percent(rate: float, digits: int = 2) -> str:
    """0.0712 -> "7.12"."""
    return f"{100 * rate:.{digits}f}"


def rate_cell(rate: float, bounds: Optional[Interval] = None, digits: int = 2) -> str:
    """Percent with an interval in brackets, "7.12 (4.72-10.21)"; "7.12 (-)" where the bounds are not known (NaN)."""
    if bounds is None:
        return percent(rate, digits)
    low, high = (percent(bound, digits) for bound in bounds)
    return f"{percent(rate, digits)} ({'-' if math.isnan(bounds[0]) else f'{low}-{high}'})"


def share_cell(hits: int, total: int) -> str:
    """Percent with its 95 % interval (Wilson), "66.67 (20.77-93.85)"; "-" of none."""
    return rate_cell(hits / total, wilson_interval(hits, total)) if total else "-"


def count_cell(hits: int, total: int) -> str:
    """The number and its share: "2, 66.67 (20.77-93.85)"; "-" of none."""
    return f"{hits}, {share_cell(hits, total)}" if total else "-"


def pace_cell(pace: Optional[CharsPerMinute], digits: int) -> str:
    """Characters a minute with so many decimals, and their interval; "-" of None."""
    if pace is None:
        return "-"
    rate, low, high = (f"{number:.{digits}f}" for number in (pace.rate, *pace.interval))
    return f"{rate} (-)" if math.isnan(pace.interval[0]) else f"{rate} ({low}-{high})"


def p_value(p: float) -> str:
    """Two significant digits or more; "-" where p is not known."""
    if math.isnan(p):
        return "-"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.3f}" if p >= 0.001 else f"{p:.4f}" if p >= 0.0001 else "<0.0001"
