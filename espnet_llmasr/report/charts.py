"""Charts as SVG inside the page: text is text, colours follow the page's, ids are unique in it."""

import base64
import io
import math
import re
import warnings
from html import escape
from pathlib import Path
from typing import Callable, List, NamedTuple, Sequence, Tuple

from espnet_llmasr.report.html import box, note

SIZE = (4.0, 2.5)  # inches; on a phone the letters are as large as those of the page's small print
DRAWN = {"#010101": "currentColor", "#020202": "var(--line)"}
SERIES = {f"#04040{number}": f"var(--c{number})" for number in (1, 2, 3, 4)}
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D")
LONGEST_LABEL = 24
RC = {
    **{"svg.fonttype": "none", "font.size": 10, "text.parse_math": False, "axes.spines.top": False},
    **{name: "#010101" for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")},
    **{
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "grid.color": "#020202",
        "axes.grid": True,
        "axes.axisbelow": True,
    },
    **{"axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 9, "lines.markersize": 3.5},
}


class Line(NamedTuple):
    """One curve; `marker` draws points without a line."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marker: str = ""


class Bar(NamedTuple):
    """A row of the timeline, in hours since its beginning, with `points` that are marked on it."""

    label: str
    begin: float
    end: float
    points: Sequence[float] = ()


def line_chart(
    ident: str,
    title: str,
    lines: Sequence[Line],
    labels: Tuple[str, str],
    levels: Sequence[Tuple[str, float]] = (),
    marks: Sequence[float] = (),
) -> str:
    """Curves over `labels[0]`; `levels` are horizontal lines with their names, `marks` vertical ones.

    Empty where no line has a point. Curves differ in their dashes and not in colour alone.
    """
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return ""

    def draw(axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for number, line in enumerate(lines):
            shape = _shape(line, number)
            axes.plot(line.x, line.y, color=_color(number), label=_label(line.label), zorder=3, **shape)
        for name, height in levels:
            axes.axhline(height, color="#010101", linestyle=(0, (1, 2)), linewidth=1.2, label=_label(name))
        for place in marks:
            axes.axvline(place, color="#010101", linestyle=":", linewidth=1.2)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        _legend(axes, len(lines) + len(levels))

    return figure(ident, title, _alt(title, lines, labels), draw)


def _shape(line: Line, number: int) -> dict:
    if line.marker:
        return {"linestyle": "none", "marker": line.marker, "markersize": 7}
    few = len(line.x) <= 12
    return {"linestyle": STYLES[number % 4], "marker": MARKERS[number % 4] if few else "", "linewidth": 1.5}


def _legend(axes, count: int) -> None:
    """Above the axes, where it covers nothing; two names in a row."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.12, 1.0), ncols=min(count, 2), borderaxespad=0.2, columnspacing=1)


def _alt(title: str, lines: Sequence[Line], labels: Tuple[str, str]) -> str:
    """What a reader who does not see the chart is told: where each curve begins and ends."""
    told = (
        f"{line.label}: {line.y[0]:.4g} at {line.x[0]:g}, {line.y[-1]:.4g} at {line.x[-1]:g}"
        for line in lines
        if not line.marker
    )
    return f"{title}, {labels[1]} over {labels[0]}. {'; '.join(told)}"


def interval_chart(ident: str, title: str, rows: Sequence[Tuple[str, float, Tuple[float, float]]], label: str) -> str:
    """One row a name: a point and its interval."""

    def draw(axes) -> None:
        places = range(len(rows))
        for place, (_, value, (low, high)) in zip(places, rows):
            axes.plot([low, high], [place, place], color=_color(0), linewidth=2, marker="|", markersize=8)
            axes.plot([value], [place], color=_color(0), marker="o", markersize=6)
        _name_rows(axes, [name for name, _, _ in rows])
        axes.set_xlim(left=0)
        axes.set_xlabel(label)

    told = "; ".join(f"{name} {value:.2f} ({low:.2f}-{high:.2f})" for name, value, (low, high) in rows)
    return figure(ident, title, f"{title}: {told}", draw, height=0.8 + 0.3 * len(rows)) if rows else ""


def timeline(ident: str, title: str, bars: Sequence[Bar], alt: str) -> str:
    """Bars over the hours (minutes, days) since the first of them began."""
    longest = max((bar.end for bar in bars), default=0)
    unit, factor = ("minutes", 60) if longest < 2 else ("hours", 1) if longest < 72 else ("days", 1 / 24)

    def draw(axes) -> None:
        for place, bar in enumerate(bars):
            width = max(bar.end - bar.begin, longest / 300)
            axes.barh(place, width * factor, left=bar.begin * factor, color=_color(0), height=0.55)
            axes.plot([p * factor for p in bar.points], [place] * len(bar.points), "d", color=_color(1), markersize=6)
        _name_rows(axes, [bar.label for bar in bars])
        axes.set_xlabel(f"{unit} since the first of them began")

    return figure(ident, title, alt, draw, height=0.9 + 0.24 * len(bars)) if bars else ""


def _name_rows(axes, names: Sequence[str]) -> None:
    """The first row stands at the top."""
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")


def figure(ident: str, title: str, alt: str, draw: Callable, height: float = SIZE[1]) -> str:
    """What `draw(axes)` draws, as <figure>. `ident` goes before every id inside."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**RC, "svg.hashsalt": ident}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has it, though the font that measures has not
        canvas = Figure(figsize=(SIZE[0], height), layout="constrained")
        axes = canvas.add_subplot()
        draw(axes)
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None})
    svg = own_ids(ident, _clean(text.getvalue()))
    opening = f'<svg role="img" aria-label="{escape(alt)}"'
    return f"<figure>\n<figcaption>{escape(title)}</figcaption>\n{svg.replace('<svg', opening, 1)}</figure>\n"


def _clean(svg: str) -> str:
    """Without the head of a file, metadata and a style that would hold for the page; colours and font of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    for drawn, wanted in {**DRAWN, **SERIES}.items():
        svg = svg.replace(drawn, wanted)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r' (?:d|x|y)="[^"]*"', _shorten, svg)


def _shorten(attribute: re.Match) -> str:
    """Places with two decimals, which no eye can tell from six; numbers that are text stay as they are."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0]).replace("\n", " ")


def own_ids(ident: str, svg: str) -> str:
    """Puts `ident` before all ids, and before what refers to them."""
    svg = re.sub(r'\bid="', f'id="{ident}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{ident}-", svg)


def image(path: Path, alt: str) -> str:
    """An SVG file as an image: what it holds can neither run nor touch the page."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f"data:image/svg+xml;base64,{data}"
    inner = f'<img alt="{escape(alt)}" src="{source}">'
    return f"<figure>\n<figcaption>{escape(alt)}</figcaption>\n{box(alt, inner)}</figure>\n"


def charts(drawn: Sequence[str], missing: str) -> str:
    """Charts side by side where there is room; `missing` is said where there is none."""
    drawn = [one for one in drawn if one]
    return f'<div class="charts">\n{"".join(drawn)}</div>\n' if drawn else note(missing)


def finite(label: str, x: Sequence[float], y: Sequence, marker: str = "") -> Line:
    """A line without the points that are None, NaN or infinite."""
    kept: List[Tuple[float, float]] = [(a, b) for a, b in zip(x, y) if b is not None and math.isfinite(b)]
    return Line(label, [a for a, _ in kept], [b for _, b in kept], marker)


def _color(number: int) -> str:
    return list(SERIES)[number % len(SERIES)]


def _label(text: str) -> str:
    """Short, and without what no font can draw."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
