"""The style of all figures: matplotlib without a display, colours that colour-blind readers can tell apart, files."""

from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator, List

from espnet_llmasr.files import atomic_path

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
MARKERS = "osD^vP*"
GREY = "#666666"
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "espnet_llmasr",  # the same drawing gives the same file
}


def colour(number: int) -> str:
    """The colour of a series."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """The marker of a series, so that it is known without its colour."""
    return MARKERS[number % len(MARKERS)]


def require_matplotlib() -> None:
    """Raises ValueError, with the command that installs it, where matplotlib is missing; call it before any work."""
    if find_spec("matplotlib") is None:
        raise ValueError("figures need matplotlib, which is not installed: pip install matplotlib")


@contextmanager
def style() -> Iterator[None]:
    """A context in which figures are drawn and saved in our style; the caller's own settings come back afterwards."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(columns: int, width_in: float, height_in: float):
    """A figure with panels side by side: (figure, list of axes)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def legend_below(figure, axes, columns: int = 3) -> None:
    """One legend for all panels, under them, each entry once."""
    entries = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(entries.values(), entries, loc="outside lower center", ncols=min(columns, len(entries)))


def save(figure, directory: Path, name: str) -> List[Path]:
    """Writes <name>.png (200 dots per inch) and <name>.svg."""
    paths = [directory / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        with atomic_path(path) as temporary:
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(temporary, format=path.suffix[1:], dpi=200, metadata=metadata)
    return paths
