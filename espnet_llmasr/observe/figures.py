"""The paper's Figures 1, 3, 4 and 5 from observations (arXiv 2604.08003). Each returns a matplotlib figure."""

import math
from typing import Sequence

from espnet_llmasr.observe import canvas
from espnet_llmasr.observe.observations import Observation
from espnet_llmasr.observe.series import Line, Pair, Series
from espnet_llmasr.observe.stages import STAGES
from espnet_llmasr.encoder_swap.rule import Check

STAGE_NAMES = {"pretrain": "pretraining", "ia_sft": "IA-SFT", "joint_sft": "joint SFT"}
SPREAD, BIAS = "standard deviation over utterances", "with permuted utterances (bias)"
INTERVAL = "95 % interval of the mean over utterances"
TRIGGERS = {"publish": ("v", "published, new reference"), "final": ("s", "last encoder published")}


def before_and_after(pairs: Sequence[Pair]):
    """Figure 1: the three metrics before and after joint training, a group of two bars for each pair."""
    longest = max(len(pair.label) for pair in pairs)
    inches = max(1.1, 0.1 * longest)  # so wide are the two values over a pair, or its label
    figure, axes = canvas.new_figure(3, max(9.0, 3 * (0.6 + inches * len(pairs))), 3.9)
    for axis, (metric, title) in zip(axes, canvas.METRICS):
        for side, offset in enumerate((-0.2, 0.2)):
            _bars(axis, [pair[1 + side] for pair in pairs], metric, offset, side)
        axis.set(title=title, xticks=range(len(pairs)), xlim=(-0.6, len(pairs) - 0.4))
        axis.set_xticklabels([pair.label for pair in pairs])
        axis.grid(axis="x", visible=False)
        axis.margins(y=0.12)
    canvas.legend_below(figure, axes, 2)
    return figure


def _bars(axis, rows: Sequence[Observation], metric: str, offset: float, side: int) -> None:
    """The bars of one side with their values, the spread of NSE, and the bias of PAI and CSAI as a line across."""
    places, heights = [number + offset for number in range(len(rows))], [getattr(row, metric) for row in rows]
    label = ("before joint training", "after joint training")[side]
    axis.bar(places, heights, 0.36, color=canvas.colour(side), hatch=("", "//")[side], edgecolor="white", label=label)
    tops = heights
    if metric == "nse":
        spread = [row.nse_std for row in rows]
        axis.errorbar(places, heights, spread, fmt="none", ecolor="black", capsize=3, label=SPREAD)
        tops = [height + std for height, std in zip(heights, spread)]
    else:
        bias = [getattr(row, f"{metric}_baseline") for row in rows]
        left, right = [place - 0.18 for place in places], [place + 0.18 for place in places]
        axis.hlines(bias, left, right, color="black", linestyles="dotted", linewidth=1.5, label=BIAS)
    for place, height, top in zip(places, heights, tops):
        axis.annotate(f"{height:.3g}", (place, top), (0, 3), textcoords="offset points", ha="center", fontsize=9)


def trajectory(series: Sequence[Series]):
    """Figure 3: the three metrics along pretraining, IA-SFT and joint SFT; each stage as wide as the others.

    IA-SFT changes no encoder but swaps in those of the pretraining beside which it runs, hence the steps, and no line
    from the end of the pretraining to its start.
    """
    figure, axes = canvas.new_figure(3, 12.5, 4.0)
    stages = [stage for stage in STAGES if any(one.stage(stage) for one in series)]
    longest = {stage: max([row.step for one in series for row in one.stage(stage)] + [1]) for stage in stages}
    for axis, (metric, title) in zip(axes, canvas.METRICS):
        for number, one in enumerate(series):
            _path(axis, one, metric, number, longest)
        _stage_axis(axis, longest)
        axis.set_title(title)
    axes[1].set_xlabel("updates of each stage; IA-SFT runs beside the pretraining")
    canvas.legend_below(figure, axes, 2 + len(series))
    return figure


def _path(axis, one: Series, metric: str, number: int, longest) -> None:
    """The metric of one series over all stages; dashed: with permuted utterances."""
    style, last = dict(color=canvas.colour(number)), None
    for place, stage in enumerate(longest):
        points = [(place + 0.06 + 0.88 * row.step / longest[stage], row) for row in one.stage(stage)]
        if not points:
            continue
        if last and stage != "ia_sft":
            _line(axis, [last, points[0]], metric, linewidth=0.8, linestyle=":", **style)
        steps = dict(drawstyle="steps-post") if stage == "ia_sft" else {}
        _line(axis, points, metric, marker=canvas.marker(number), markersize=4.5, label=one.label, **steps, **style)
        if metric == "nse":
            spread = [1.96 * row.nse_std / math.sqrt(row.utterances) for _, row in points]
            places, values = zip(*((x, row.nse) for x, row in points))
            axis.errorbar(places, values, spread, fmt="none", capsize=2, linewidth=0.8, label=INTERVAL, **style)
        else:
            faint = dict(linewidth=1, alpha=0.6, linestyle="--", label=BIAS)
            _line(axis, points, f"{metric}_baseline", **faint, **style)
        last = points[-1]


def _line(axis, points, metric: str, **style) -> None:
    axis.plot([x for x, _ in points], [getattr(row, metric) for _, row in points], **style)


def _stage_axis(axis, longest) -> None:
    """Stage names and their updates under the axis, a line between two stages."""
    places = range(len(longest))
    names = [f"{STAGE_NAMES[stage]}\n0 to {steps:,}" for stage, steps in longest.items()]
    axis.set_xticks([place + 0.5 for place in places], names)
    axis.set(xlim=(0, len(longest)))
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="x", visible=False)
    for place in places[1:]:
        axis.axvline(place, color=canvas.GREY, linewidth=0.8)


def layers(lines: Sequence[Line]):
    """Figure 4: CKA of every layer, and of the adaptor as the last point, to the text (Eq. 10)."""
    figure, (axis,) = canvas.new_figure(1, 7.5, 4.4)
    deepest = max(len(line.row.cka_text) for line in lines)
    for label, row, number, dashed in lines:
        places, values = list(range(1, len(row.cka_text) + 1)), list(row.cka_text)
        if row.cka_text_adaptor is not None:
            places, values = [*places, deepest + 1], [*values, row.cka_text_adaptor]
        style = dict(color=canvas.colour(number), marker=canvas.marker(number), label=label)
        axis.plot(places, values, "--" if dashed else "-", fillstyle="none" if dashed else "full", **style)
    every = max(1, deepest // 16)
    ticks = list(range(1, deepest + 1, every))
    names = [str(tick) for tick in ticks]
    if any(line.row.cka_text_adaptor is not None for line in lines):
        ticks, names = [*ticks, deepest + 1], [*names, "Adap."]
        axis.axvline(deepest + 0.5, color=canvas.GREY, linewidth=0.8)
    axis.set_xticks(ticks, names)
    axis.set(xlabel="encoder layer", ylabel="linear CKA to the text embeddings")
    canvas.legend_below(figure, [axis], 2)
    return figure


def reference_cka(checks: Sequence[Check], threshold: float):
    """Figure 5: CKA of the pretrained encoder to the reference over pretraining updates, and what it triggered."""
    figure, (axis,) = canvas.new_figure(1, 8.5, 4.5)
    references = sorted({check.reference_step for check in checks if check.cka is not None})
    for number, step in enumerate(references):
        # the reference is itself at 1
        points = [(step, 1.0), *((c.step, c.cka) for c in checks if c.cka is not None and c.reference_step == step)]
        style = dict(
            color=canvas.COLOURS[number % 2],
            linestyle=("-", "--")[number % 2],
            label="CKA (another colour: another reference)",
        )
        axis.plot(*zip(*points), marker=".", markersize=5, linewidth=1.2, **style)
        axis.axvline(step, color=canvas.GREY, linewidth=0.6, linestyle=":")
    for action, (shape, label) in TRIGGERS.items():
        points = [(check.step, check.cka) for check in checks if check.action == action and check.cka is not None]
        if points:
            axis.scatter(*zip(*points), marker=shape, s=60, color="black", zorder=3, label=label)
    axis.axhline(threshold, color=canvas.COLOURS[3], linewidth=1.5, linestyle="-.", label=f"threshold {threshold:g}")
    axis.set(xlabel="pretraining updates", ylabel="CKA to the reference encoder")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    canvas.legend_below(figure, [axis], 2)
    return figure
