"""The figure of bin.fit_scaling: error against training compute, with the fitted laws."""

import io
from typing import Dict

import numpy as np

from espnet_llmasr.experiments.runs import flops_text
from espnet_llmasr.experiments.scaling import Fit
from espnet_llmasr.observe.plot_style import colour, marker

POINTS = 200


def draw(fits: Dict[str, Fit], value: str) -> Dict[str, bytes]:
    """{"png": ..., "svg": ...}: runs as points, budgets with the range of their runs, each law with its 95 % band.

    A dashed line is the floor c of a law; where c is 0 there is none. Both axes are logarithmic.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scaling", "font.size": 10}):
        figure = Figure(figsize=(7, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(xscale="log", yscale="log", xlabel="training compute (FLOPs)")
        axes.set_ylabel(value, parse_math=False)
        for number, (name, fit) in enumerate(fits.items()):
            _draw_fit(axes, name, fit, colour(number), marker(number))
        axes.grid(which="both", alpha=0.25, linewidth=0.5)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.legend()
        return {kind: _bytes_of(figure, kind) for kind in ("png", "svg")}


def _draw_fit(axes, name: str, fit: Fit, colour: str, marker: str) -> None:
    law, compute = fit.law, np.geomspace(fit.compute.min(), fit.compute.max(), POINTS)
    low, high = fit.band(compute)
    name = name.replace("$", r"\$")
    label = f"{name}: {law.a:.3g} (C / {flops_text(law.scale)})$^{{-{law.b:.3g}}}$ + {law.c:.3g}"
    axes.fill_between(compute, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(compute, law.predict(compute), color=colour, label=label)
    axes.plot(fit.compute, fit.errors, marker, color=colour, markersize=3.5, alpha=0.5)
    groups = [fit.errors[fit.budgets == budget] for budget in range(len(fit.centres))]
    means = np.array([np.exp(np.log(group).mean()) for group in groups])
    reach = [
        [mean - group.min() for mean, group in zip(means, groups)],
        [group.max() - mean for mean, group in zip(means, groups)],
    ]
    axes.errorbar(fit.centres, means, np.maximum(reach, 0), fmt=marker, color=colour, capsize=3, markersize=6)
    if law.c > 0:
        axes.axhline(law.c, color=colour, linestyle="--", linewidth=0.9, label=f"{name}: floor c = {law.c:.3g}")


def _bytes_of(figure, kind: str) -> bytes:
    """The same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
