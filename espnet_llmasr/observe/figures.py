"""The paper's Figures 1, 3, 4 and 5 (arXiv 2604.08003) for which there are observations.

A function that draws returns a matplotlib figure.
"""

import logging
import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_llmasr.encoder_swap.rule import CKACheck, cka_log, read_rule
from espnet_llmasr.metrics.encoder_metrics import METRICS, UTTERANCE_METRICS
from espnet_llmasr.observe import plot_style
from espnet_llmasr.observe.observations import FILE, Observation, read_observations
from espnet_llmasr.observe.stages import STAGES, store_of

STAGE_NAMES = {"pretrain": "pretraining", "ia_sft": "IA-SFT", "joint_sft": "joint SFT"}
SPREAD, BIAS = "standard deviation over utterances", "with permuted utterances (bias)"
INTERVAL = "95 % interval of the mean over utterances"
TRIGGERS = {"publish": ("v", "published, new reference"), "final": ("s", "last encoder published")}


class Series(NamedTuple):
    """The observations of one experiment under the name that the figures give it."""

    label: str
    rows: List[Observation]

    def stage(self, stage: str) -> List[Observation]:
        """The observations of a stage of the recipe, by updates."""
        return sorted((row for row in self.rows if row.stage == stage and row.step is not None), key=lambda r: r.step)

    def others(self) -> List[Observation]:
        """Models that --model named; they have no place on the trajectory."""
        return [row for row in self.rows if row.step is None or row.stage not in STAGES]

    def before_joint(self) -> Optional[Observation]:
        """The encoder that joint SFT starts from, else the newest one of the stages before it."""
        earlier = [row for stage in STAGES[:-1] for row in self.stage(stage)]
        return next((row for row in self.stage("joint_sft") if row.step == 0), earlier[-1] if earlier else None)

    def after_joint(self) -> Optional[Observation]:
        """The newest encoder of the joint SFT."""
        rows = [row for row in self.stage("joint_sft") if row.step]
        return rows[-1] if rows else None


class Pair(NamedTuple):
    """An encoder before and after joint training (Figure 1)."""

    label: str
    before: Observation
    after: Observation


class Line(NamedTuple):
    """A line of Figure 4; those of one experiment have one colour."""

    label: str
    row: Observation
    colour: int
    dashed: bool


def check_options(compare: Sequence[str], pairs: Sequence[str]) -> None:
    """Raises ValueError for options that would stop `draw_all`, before hours of measuring."""
    plot_style.require_matplotlib()
    for spec in compare:
        _compared(spec)
    for spec in pairs:
        split_pair(spec)


def draw_all(out: Path, label: str, compare: Sequence[str], pairs: Sequence[str], exp: Optional[Path]) -> List[Path]:
    """Draws and saves every figure that has data and logs what the others lack. Returns the files.

    Raises ValueError for no observations in `out` or in a folder of --compare, or a wrong --pair.
    """
    series = [Series(label, read_observations(out / FILE)), *map(_compared, compare)]
    if len({group.label for group in series}) < len(series):
        raise ValueError("--label and --compare give two series one label: choose another")
    if differing(series):
        logging.warning("not comparable: the observations were made with %s", differing(series))
    ends, lines = pairs_of(series, pairs), lines_of(series)
    on_path = [group for group in series if any(map(group.stage, STAGE_NAMES))]
    files: List[Path] = []
    with plot_style.style():
        for name, lacking, drawn in (
            ("figure_1", "an encoder before and after joint SFT (or --pair)", ends and before_and_after(ends)),
            ("figure_3", "encoders of the recipe's stages (--exp)", on_path and trajectory(on_path)),
            ("figure_4", "any observation", lines and layers(lines)),
            ("figure_5", "cka.jsonl of the watcher with a reference (--exp)", exp and _watched(exp)),
        ):
            if drawn:
                files += plot_style.save(drawn, out, name)
            else:
                logging.info("%s is not drawn: it needs %s", name, lacking)
    return files


def _compared(spec: str) -> Series:
    """LABEL=DIR. Raises ValueError for another form, or a folder without observations."""
    label, _, directory = spec.partition("=")
    if not (label and directory):
        raise ValueError(f"--compare {spec}: expected LABEL=DIR, such as characters=exp_char/observe")
    return Series(label, read_observations(Path(directory) / FILE))


def _watched(exp: Path):
    """Figure 5 of an experiment; None if its watcher has compared nothing yet."""
    store = store_of(exp).directory
    checks = cka_log(store).read()
    if not any(check.cka is not None for check in checks):
        return None
    return reference_cka(checks, read_rule(store / "watch.yaml").threshold)


def pairs_of(series: Sequence[Series], given: Sequence[str]) -> List[Pair]:
    """The pairs that --pair names, else those of the experiments that have had a joint SFT.

    Raises ValueError for a name that was not measured, or another form than LABEL=BEFORE,AFTER.
    """
    rows: Dict[str, Observation] = {row.name: row for group in reversed(series) for row in group.rows}
    if not given:
        pairs = [Pair(group.label, group.before_joint(), group.after_joint()) for group in series]
        return [pair for pair in pairs if pair.before and pair.after]
    pairs = []
    for spec in given:
        label, names = split_pair(spec)
        for name in names:
            if name not in rows:
                raise ValueError(f"--pair {spec}: '{name}' was not measured; there are {', '.join(rows)}")
        pairs.append(Pair(label, *(rows[name] for name in names)))
    return pairs


def split_pair(spec: str) -> Tuple[str, List[str]]:
    """LABEL=BEFORE,AFTER -> (label, the two names). Raises ValueError for another form."""
    label, _, names = spec.partition("=")
    if not label or names.count(",") != 1:
        raise ValueError(f"--pair {spec}: expected LABEL=BEFORE,AFTER with two names that were measured")
    return label, names.split(",")


def lines_of(series: Sequence[Series]) -> List[Line]:
    """The lines of Figure 4: of each experiment before and after joint SFT (dashed), and every other model."""
    lines = []
    for number, group in enumerate(series):
        ends = (("before", group.before_joint(), False), ("after", group.after_joint(), True))
        lines += [Line(f"{group.label}, {when} joint SFT", row, number, dashed) for when, row, dashed in ends if row]
    others = [row for group in series for row in group.others()]
    return [*lines, *(Line(row.name, row, len(series) + number, False) for number, row in enumerate(others))]


def differing(series: Sequence[Series]) -> str:
    """The sets, numbers of utterances or estimators in which these series differ; "" if they are comparable."""
    for name in ("set", "utterances", "estimator"):
        values = {str(getattr(row, name)) for group in series for row in group.rows}
        if len(values) > 1:
            return f"{name} {' and '.join(sorted(values))}"
    return ""


def before_and_after(pairs: Sequence[Pair]):
    """Figure 1: all metrics before and after joint training, a group of two bars for each pair."""
    longest = max(len(pair.label) for pair in pairs)
    inches = max(1.1, 0.1 * longest)  # the width of the two values over a pair, or of its label
    panel = max(3.0, 0.6 + inches * len(pairs))
    figure, axes = plot_style.new_figure(len(METRICS), panel * len(METRICS), 3.9)
    for axis, (metric, about) in zip(axes, METRICS.items()):
        for side, offset in enumerate((-0.2, 0.2)):
            _bars(axis, [pair[1 + side] for pair in pairs], metric, offset, side)
        axis.set(title=about.label, xticks=range(len(pairs)), xlim=(-0.6, len(pairs) - 0.4))
        axis.set_xticklabels([pair.label for pair in pairs])
        axis.grid(axis="x", visible=False)
        axis.margins(y=0.12)
    plot_style.legend_below(figure, axes, 2)
    return figure


def _bars(axis, rows: Sequence[Observation], metric: str, offset: float, side: int) -> None:
    """The bars of one side with their values; the spread over utterances, or the bias as a line across."""
    places, heights = [number + offset for number in range(len(rows))], [row.values[metric] for row in rows]
    label = ("before joint training", "after joint training")[side]
    look = dict(color=plot_style.colour(side), hatch=("", "//")[side], edgecolor="white")
    axis.bar(places, heights, 0.36, label=label, **look)
    spread = [row.values.get(f"{metric}_std", 0.0) for row in rows]
    if metric in UTTERANCE_METRICS:
        axis.errorbar(places, heights, spread, fmt="none", ecolor="black", capsize=3, label=SPREAD)
    else:
        bias = [row.values[f"{metric}_baseline"] for row in rows]
        ends = [[place + half for place in places] for half in (-0.18, 0.18)]
        axis.hlines(bias, *ends, color="black", linestyles="dotted", linewidth=1.5, label=BIAS)
    for place, height, std in zip(places, heights, spread):
        at = dict(xy=(place, height + std), xytext=(0, 3), textcoords="offset points")
        axis.annotate(f"{height:.3g}", **at, ha="center", fontsize=9)


def trajectory(series: Sequence[Series]):
    """Figure 3: all metrics along pretraining, IA-SFT and joint SFT; each stage as wide as the others.

    IA-SFT changes no encoder but swaps in those of the pretraining beside which it runs, hence the steps, and no line
    from the end of the pretraining to its start.
    """
    figure, axes = plot_style.new_figure(len(METRICS), 4.2 * len(METRICS), 4.0)
    stages = [stage for stage in STAGES if any(group.stage(stage) for group in series)]
    longest = {stage: max([row.step for group in series for row in group.stage(stage)] + [1]) for stage in stages}
    for axis, (metric, about) in zip(axes, METRICS.items()):
        for number, group in enumerate(series):
            _path(axis, group, metric, number, longest)
        _stage_axis(axis, longest)
        axis.set_title(about.label)
    axes[1].set_xlabel("updates of each stage; IA-SFT runs beside the pretraining")
    plot_style.legend_below(figure, axes, 2 + len(series))
    return figure


def _path(axis, series: Series, metric: str, number: int, longest) -> None:
    """The metric of one series over all stages; dashed: with permuted utterances."""
    style, last = dict(color=plot_style.colour(number)), None
    for place, stage in enumerate(longest):
        points = [(place + 0.06 + 0.88 * row.step / longest[stage], row) for row in series.stage(stage)]
        if not points:
            continue
        if last and stage != "ia_sft":
            _line(axis, [last, points[0]], metric, linewidth=0.8, linestyle=":", **style)
        steps = dict(drawstyle="steps-post") if stage == "ia_sft" else {}
        marks = dict(marker=plot_style.marker(number), markersize=4.5)
        _line(axis, points, metric, label=series.label, **marks, **steps, **style)
        if metric in UTTERANCE_METRICS:
            spread = [1.96 * row.values[f"{metric}_std"] / math.sqrt(row.utterances) for _, row in points]
            places, values = zip(*((x, row.values[metric]) for x, row in points))
            axis.errorbar(places, values, spread, fmt="none", capsize=2, linewidth=0.8, label=INTERVAL, **style)
        else:
            _line(axis, points, f"{metric}_baseline", linewidth=1, alpha=0.6, linestyle="--", label=BIAS, **style)
        last = points[-1]


def _line(axis, points, metric: str, **style) -> None:
    axis.plot([x for x, _ in points], [row.values[metric] for _, row in points], **style)


def _stage_axis(axis, longest) -> None:
    """Stage names and their updates under the axis, a line between two stages."""
    places = range(len(longest))
    names = [f"{STAGE_NAMES[stage]}\n0 to {steps:,}" for stage, steps in longest.items()]
    axis.set_xticks([place + 0.5 for place in places], names)
    axis.set(xlim=(0, len(longest)))
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="x", visible=False)
    for place in places[1:]:
        axis.axvline(place, color=plot_style.GREY, linewidth=0.8)


def layers(lines: Sequence[Line]):
    """Figure 4: CKA of every layer, and of the adaptor as the last point, to the text (Eq. 10)."""
    figure, (axis,) = plot_style.new_figure(1, 7.5, 4.4)
    deepest = max(len(line.row.cka_text) for line in lines)
    for label, row, number, dashed in lines:
        places, values = list(range(1, len(row.cka_text) + 1)), list(row.cka_text)
        if row.cka_text_adaptor is not None:
            places, values = [*places, deepest + 1], [*values, row.cka_text_adaptor]
        style = dict(color=plot_style.colour(number), marker=plot_style.marker(number), label=label)
        axis.plot(places, values, "--" if dashed else "-", fillstyle="none" if dashed else "full", **style)
    ticks = list(range(1, deepest + 1, max(1, deepest // 16)))
    names = [str(tick) for tick in ticks]
    if any(line.row.cka_text_adaptor is not None for line in lines):
        ticks, names = [*ticks, deepest + 1], [*names, "Adap."]
        axis.axvline(deepest + 0.5, color=plot_style.GREY, linewidth=0.8)
    axis.set_xticks(ticks, names)
    axis.set(xlabel="encoder layer", ylabel="linear CKA to the text embeddings")
    plot_style.legend_below(figure, [axis], 2)
    return figure


def reference_cka(checks: Sequence[CKACheck], threshold: float):
    """Figure 5: CKA of the pretrained encoder to the reference over pretraining updates, and the published encoders."""
    figure, (axis,) = plot_style.new_figure(1, 8.5, 4.5)
    references = sorted({check.reference_step for check in checks if check.cka is not None})
    for number, step in enumerate(references):
        # the reference is itself at 1
        points = [(step, 1.0), *((c.step, c.cka) for c in checks if c.cka is not None and c.reference_step == step)]
        style = dict(color=plot_style.COLOURS[number % 2], linestyle=("-", "--")[number % 2], marker=".", markersize=5)
        axis.plot(*zip(*points), linewidth=1.2, label="CKA (another colour: another reference)", **style)
        axis.axvline(step, color=plot_style.GREY, linewidth=0.6, linestyle=":")
    for action, (shape, label) in TRIGGERS.items():
        points = [(check.step, check.cka) for check in checks if check.action == action and check.cka is not None]
        if points:
            axis.scatter(*zip(*points), marker=shape, s=60, color="black", zorder=3, label=label)
    style = dict(color=plot_style.COLOURS[3], linewidth=1.5, linestyle="-.")
    axis.axhline(threshold, label=f"threshold {threshold:g}", **style)
    axis.set(xlabel="pretraining updates", ylabel="CKA to the reference encoder")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    plot_style.legend_below(figure, [axis], 2)
    return figure
