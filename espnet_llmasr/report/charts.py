"""Charts as images inside the page: nothing in them can run or touch the page."""

import base64
import io
import math
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

Points = Sequence[Tuple[float, Optional[float]]]
SIZE = (6.0, 3.0)  # inches
MARKERS, FEW = "osD^", 12  # curves of few points get markers


def line_chart(
    title: str, lines: Mapping[str, Points], labels: Tuple[str, str], threshold: Optional[float] = None
) -> Optional[Dict[str, str]]:
    """Curves of (x, y) by their names, values that are not finite left out; None without any point.

    `labels`: of the axes. `threshold`: a horizontal line.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    finite = {name: [(x, y) for x, y in points if y is not None and math.isfinite(y)] for name, points in lines.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    with matplotlib.rc_context({"svg.hashsalt": title, "text.parse_math": False, "font.size": 10}):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot(xlabel=labels[0], ylabel=labels[1])
        for number, (name, points) in enumerate(finite.items()):
            marker = MARKERS[number % len(MARKERS)] if len(points) <= FEW else ""
            axes.plot(*zip(*points), marker=marker, markersize=4, label=name)
        if threshold is not None:
            axes.axhline(threshold, color="black", linestyle=":", label=f"threshold {threshold:g}")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    ends = [f"{name}: {p[0][1]:.4g} at {p[0][0]:g}, {p[-1][1]:.4g} at {p[-1][0]:g}" for name, p in finite.items()]
    return figure_block(title, f"{labels[1]} over {labels[0]}. {'; '.join(ends)}", file.getvalue())


def figure_file(path: Path) -> Dict[str, str]:
    """An SVG file; its name is its title."""
    title = path.stem.replace("_", " ")
    return figure_block(title, title, path.read_bytes())


def figure_block(title: str, alt: str, svg: bytes) -> Dict[str, str]:
    """A block of the page: an image with its text for readers who do not see it."""
    return {"figure": title, "alt": alt, "src": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"}
