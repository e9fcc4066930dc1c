"""The reading of the matrix of docs/evidence.md: each claim with its test, its reading, and what would decide it.

    python benchmarks/evidence.py egs2/misheard/llmasr1/results [--figures docs] [--earlier FILE...]

The folder holds strategies.jsonl, 60.jsonl and 160.jsonl (other budgets), fast_encoder_again.jsonl (the second
experiment), smollm2.jsonl, smollm2_again.jsonl, fast_encoder.jsonl and one_swap.jsonl (described, not tested), as
strategies.sh writes them, and drift.jsonl (see `drift`); of a part that is missing or not complete the claims say so.
With `--matrix minilm` families A to G are read from minilm.jsonl and I from fast_encoder_minilm.jsonl, and nothing else
(the third experiment).
Families, directions and effects are those of the document, which was written before the runs. `--earlier` sets the
matrices of another design beside it, in one table.
"""

import argparse
import math
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy import stats

from espnet_llmasr.experiments.power import pairs_needed, smallest_effect
from espnet_llmasr.experiments.runs import Run, read_runs
from espnet_llmasr.experiments.statistics import Difference, by_seed, holm, mean_interval, paired_difference
from espnet_llmasr.files import read_json_lines
from espnet_llmasr.observe.plot_style import colour, legend_below, marker, new_figure, save, style
from espnet_llmasr.scoring.markdown import markdown, p_value

ALPHA, FEW = 0.05, 3
BUDGETS = ("60", "strategies", "160")
SECOND = "fast_encoder_again"  # the runs of family I
DESCRIBED = (  # what, file and strategy, less file and strategy
    ("SmolLM2, no_ia_sft", ("smollm2", "no_ia_sft"), ("smollm2", "ia_sft")),
    ("fast encoder, no_ia_sft", ("fast_encoder", "no_ia_sft"), ("fast_encoder", "ia_sft")),
    ("SmolLM2 again, no_ia_sft", ("smollm2_again", "no_ia_sft"), ("smollm2_again", "ia_sft")),
    ("one swap", ("one_swap", "ia_sft"), ("strategies", "ia_sft")),
    ("one swap, to no_ia_sft", ("one_swap", "ia_sft"), ("strategies", "no_ia_sft")),
    ("efin", ("strategies", "efin"), ("strategies", "ia_sft")),
    ("efin, to no_joint", ("strategies", "efin"), ("strategies", "no_joint")),
    ("joint_only", ("strategies", "joint_only"), ("strategies", "ia_sft")),
)
OF_INTEREST = ("MER %", "hallucinated (paper) %", "nonspeech: chars/min", "NSE change", "PAI", "CSAI", "CKA to start")
PAPER = {"no_joint": 0.21, "no_ia_sft": 0.10, "no_swap": 0.02}
"""Table 3 of the paper: MER without a part, relative to that of ia_sft (means of four columns)."""
Runs = Dict[str, Dict[str, Dict[int, Run]]]
"""File -> strategy -> seed -> run."""


class Claim(NamedTuple):
    """A difference or a change that should be above 0 (sign 1) or below it (-1).

    `pairs` gives (n,) numbers and (n,) numbers to which they are compared; `effect` is the smallest one that matters;
    without `also` the claim does not hold, whatever the test says. A null needs the power to show the effect if
    `null_needs_power`.
    """

    family: str
    text: str
    sign: int
    pairs: Callable[[Runs], np.ndarray]
    effect: Callable[[Runs], float]
    also: Callable[[Runs], bool] = lambda runs: True
    null_needs_power: bool = False


class Reading(NamedTuple):
    claim: Claim
    difference: Difference
    effect: float
    p_holm: float
    tests: int
    """In the family."""
    also: bool
    """Whether the further condition of the claim is met."""


def values(runs: Runs, strategy: str, value: str, file: str = "strategies") -> Dict[int, float]:
    """Seed -> value, where it is known."""
    found = {seed: run.values.get(value) for seed, run in runs.get(file, {}).get(strategy, {}).items()}
    return {seed: number for seed, number in found.items() if number is not None}


def joined(first: Dict[int, float], second: Dict[int, float]) -> np.ndarray:
    """(2, n): the numbers of the seeds that both have."""
    seeds = sorted(first.keys() & second.keys())
    return np.array([[one[seed] for seed in seeds] for one in (first, second)], float).reshape(2, -1)


def between(strategy: str, value: str, file: str = "strategies") -> Callable[[Runs], np.ndarray]:
    return lambda runs: joined(values(runs, strategy, value, file), values(runs, "ia_sft", value, file))


def change(value: str) -> Callable[[Runs], np.ndarray]:
    """Of ia_sft in joint SFT, against no change."""

    def pairs(runs: Runs) -> np.ndarray:
        found = values(runs, "ia_sft", value)
        return joined(found, dict.fromkeys(found, 0.0))

    return pairs


def half_deviation(value: str, file: str = "strategies") -> Callable[[Runs], float]:
    """Half a standard deviation of ia_sft over seeds, where the paper prints curves without numbers.

    Of a change it is that of the value after it: that of the change itself would be half its own deviation, whatever
    the runs, and no number of them below 13 could show a null.
    """
    value = value.removesuffix(" change")
    return lambda runs: half(values(runs, "ia_sft", value, file))


def half(found: Dict[int, float]) -> float:
    """Half a standard deviation; nan of fewer than two numbers."""
    return 0.5 * float(np.std([*found.values()], ddof=1)) if len(found) > 1 else math.nan


def share_of_error(share: float, file: str = "strategies") -> Callable[[Runs], float]:
    """A share of the mean MER of ia_sft."""
    return lambda runs: share * float(np.mean([*values(runs, "ia_sft", "MER %", file).values()] or math.nan))


def slopes(runs: Runs, strategy: str) -> Dict[int, float]:
    """Seed -> slope of log MER on log FLOPs over the budgets; of seeds that have all of them."""
    found = {}
    for seed in runs.get("strategies", {}).get(strategy, {}):
        rows = [runs.get(file, {}).get(strategy, {}).get(seed) for file in BUDGETS]
        if all(run and run.values.get("MER %") for run in rows):
            compute, errors = np.log([(run.total, run.values["MER %"]) for run in rows]).T
            found[seed] = float(np.polyfit(compute, errors, 1)[0])
    return found


def lower_everywhere(runs: Runs) -> bool:
    """Mean MER of efin is below that of joint_only at each budget."""
    pairs = (joined(*(values(runs, name, "MER %", file) for name in ("efin", "joint_only"))) for file in BUDGETS)
    return all(pair.size and pair[0].mean() < pair[1].mean() for pair in pairs)


def claims() -> List[Claim]:
    found = [
        Claim(
            "A",
            f"MER: {name} is worse",
            1,
            between(name, "MER %"),
            share_of_error(PAPER[name]),
            null_needs_power=True,
        )
        for name in PAPER
    ]
    found += [
        Claim(
            "B", f"ia_sft, joint SFT: {name} {word}", sign, change(f"{name} change"), half_deviation(f"{name} change")
        )
        for name, sign, word in (("NSE", -1, "falls"), ("PAI", 1, "rises"), ("CSAI", -1, "does not rise"))
    ]

    def without(family: str, *rows) -> List[Claim]:
        return [
            Claim(
                family,
                f"{strategy}: {value} is {'higher' if sign > 0 else 'lower'}",
                sign,
                between(strategy, value),
                half_deviation(value),
            )
            for strategy, value, sign in rows
        ]

    found += without("C", ("no_ia_sft", "NSE change", 1), ("no_ia_sft", "PAI", -1), ("no_ia_sft", "CSAI", -1))
    found += without("D", ("no_ia_sft", "PAI change", -1), ("no_ia_sft", "CSAI change", 1))
    found += without("E", ("no_ia_sft", "CKA to start", -1))
    rules = [f"hallucinated ({rule}) %" for rule in ("paper", "length", "loop")]
    found += without("F", *(("no_ia_sft", value, 1) for value in (*rules, "nonspeech: chars/min")))
    found += without("G", ("char", "PAI", -1), ("char", "CSAI", 1))
    slope = Claim(
        "H",
        "slope of log MER on log FLOPs: efin is steeper",
        -1,
        lambda runs: joined(slopes(runs, "efin"), slopes(runs, "joint_only")),
        lambda runs: half(slopes(runs, "joint_only")),
        lower_everywhere,
    )
    found.append(slope)
    for value, sign in (("MER %", 1), ("CSAI change", 1), ("CKA to start", -1)):
        effect = share_of_error(PAPER["no_ia_sft"], SECOND) if value == "MER %" else half_deviation(value, SECOND)
        text = f"fast encoder, no_ia_sft: {value} is {'higher' if sign > 0 else 'lower'}"
        pairs = between("no_ia_sft", value, SECOND)
        found.append(Claim("I", text, sign, pairs, effect, null_needs_power=value == "MER %"))
    return found


def read(runs: Runs) -> List[Reading]:
    """The tests, with Holm in each family."""
    found: List[Reading] = []
    for family in dict.fromkeys(claim.family for claim in claims()):
        rows = [claim for claim in claims() if claim.family == family]
        tests = [paired_difference(*claim.pairs(runs)) for claim in rows]
        p_values = [test.p_t if is_test(test) else math.nan for test in tests]
        number = sum(map(is_test, tests))
        found += [
            Reading(claim, test, claim.effect(runs), p, number, claim.also(runs))
            for claim, test, p in zip(rows, tests, holm(p_values))
        ]
    return found


def is_test(difference: Difference) -> bool:
    """Three pairs or more, whose differences are not all equal."""
    return difference.mean.n >= FEW and not math.isnan(difference.mean.interval[0])


def interval(row: Reading, level: float) -> Sequence[float]:
    """t interval of the mean difference."""
    mean = row.difference.mean
    reach = deviation(row) / math.sqrt(mean.n) * stats.t.ppf((1 + level) / 2, mean.n - 1)
    return mean.mean - reach, mean.mean + reach


def deviation(row: Reading) -> float:
    """Standard deviation of the differences, from their 95 % interval."""
    mean = row.difference.mean
    low, high = mean.interval
    return (high - low) / 2 / stats.t.ppf(0.975, mean.n - 1) * math.sqrt(mean.n)


def shown(row: Reading) -> float:
    """The smallest difference that so many pairs can show, after Holm."""
    return smallest_effect(row.difference.mean.n, ALPHA / row.tests) * deviation(row)


def word_of(row: Reading) -> str:
    """holds, contradicted, null or undecided, as the document says."""
    mean, claim = row.difference.mean, row.claim
    if mean.n < FEW:
        return "not run" if not mean.n else f"{mean.n} pairs only"
    if not is_test(row.difference):
        return "undecided: all differences are equal"
    low, high = interval(row, 0.90)
    if row.p_holm < ALPHA and mean.mean * claim.sign < 0:
        return "contradicted"
    if row.p_holm < ALPHA:
        return "holds" if row.also else "undecided: lower at some budgets only"
    if claim.text.endswith("does not rise") and interval(row, 0.95)[1] < row.effect:
        return "holds"
    can_show = not claim.null_needs_power or shown(row) <= row.effect
    if can_show and -row.effect < low and high < row.effect:
        return "null"
    needed = pairs_needed(row.effect / deviation(row), ALPHA / row.tests)
    return f"undecided: {'over 1000' if math.isinf(needed) else needed} seeds"


def table(found: Sequence[Reading]) -> str:
    heads = [
        "",
        "claim",
        "n",
        "difference",
        "95 % interval",
        "p (t)",
        "p (signs)",
        "p (t), Holm",
        "effect",
        "shown",
        "reading",
    ]
    rows = [heads]
    for row in found:
        mean = row.difference.mean
        if mean.n < 2 or math.isnan(mean.interval[0]):
            figures = [f"{mean.mean:+.3g}" if mean.n else "-", *["-"] * 6]
        else:
            low, high = mean.interval
            p = [p_value(value) for value in (row.difference.p_t, row.difference.p_sign_flip, row.p_holm)]
            least = shown(row) if mean.n >= FEW else math.nan
            figures = [f"{mean.mean:+.3g}", f"{low:.3g} to {high:.3g}", *p, f"{row.effect:.2g}", f"{least:.2g}"]
        rows.append([row.claim.family, row.claim.text, str(mean.n), *figures, word_of(row)])
    return markdown(rows)


def beside(runs: Runs, earlier: Sequence[Path]) -> str:
    """All matrices in one table: log ratios of the MER, which hold for any error rate; differences of the other values.

    Of other designs, so there is no mean of all.
    """
    matrices = [*({"strategies": by_seed(read_runs(path))} for path in earlier), runs]
    rows = [["value", "less ia_sft", *(path.stem for path in earlier), "this matrix"]]
    for value in ("MER %", "PAI", "CSAI", "NSE change", "CKA to start"):  # changes of PAI and CSAI differ by as much
        for strategy in ("no_swap", "no_ia_sft", "no_joint"):
            pairs = [joined(*(values(one, name, value) for name in (strategy, "ia_sft"))) for one in matrices]
            differences = [np.log(a / b) * 100 if value == "MER %" else a - b for a, b in pairs]
            if any(map(len, differences)):
                name = "100 log MER" if value == "MER %" else value
                rows.append([name, strategy, *map(mean_cell, differences)])
    return markdown(rows)


def mean_cell(numbers: np.ndarray) -> str:
    mean = mean_interval(numbers)
    return f"{mean.mean:+.3g} ({mean.interval[0]:.3g} to {mean.interval[1]:.3g}), n {mean.n}" if mean.n else "-"


def each_seed(runs: Runs) -> str:
    """MER % of every run at the full budget."""
    seeds = sorted({seed for found in runs["strategies"].values() for seed in found})
    rows = [["MER %, seed", *map(str, seeds)]]
    for strategy in runs["strategies"]:
        found = values(runs, strategy, "MER %")
        rows.append([strategy, *(f"{found[seed]:.1f}" if seed in found else "" for seed in seeds)])
    return markdown(rows)


def lengths(runs: Runs) -> str:
    """MER % of efin and joint_only at each budget, mean and range over the seeds that all budgets have; the slope."""
    budgets = ["100" if budget == "strategies" else budget for budget in BUDGETS]
    rows = [["MER %, mean (range)", "n", *budgets, "slope of log MER on log FLOPs"]]
    for strategy in ("efin", "joint_only"):
        found = [values(runs, strategy, "MER %", budget) for budget in BUDGETS]
        if seeds := set.intersection(*map(set, found)):
            of = [[one[seed] for seed in seeds] for one in found]
            cells = [f"{np.mean(o):.1f} ({min(o):.1f} to {max(o):.1f})" for o in of]
            rows.append([strategy, str(len(seeds)), *cells, f"{np.mean([*slopes(runs, strategy).values()]):.2f}"])
    return markdown(rows) if len(rows) > 1 else ""


def described(runs: Runs) -> str:
    """What no family tests: mean difference, and the lowest and highest of a seed; '' without any."""
    rows = [["", "n", "MER % of both", *OF_INTEREST]]
    for text, (file, strategy), (other_file, other) in DESCRIBED:
        pairs = [joined(values(runs, strategy, v, file), values(runs, other, v, other_file)) for v in OF_INTEREST]
        if pairs[0].size:  # of the error rate
            less = [first - second for first, second in pairs]
            cells = [f"{one.mean():+.3g} ({one.min():.3g} to {one.max():.3g})" if one.size else "-" for one in less]
            rows.append([text, str(len(less[0])), "{:.1f}, {:.1f}".format(*pairs[0].mean(1)), *cells])
    return markdown(rows) if len(rows) > 1 else ""


def drift(path: Path) -> str:
    """CKA to the start after as many updates of joint SFT for all strategies of a part, and at the end of each.

    `path` has lines with part, strategy, seed, and `cka`, that of each epoch of its joint_sft/drift.jsonl from 0 on.
    """
    parts: Dict[str, Dict[str, List[List[float]]]] = {}
    for row in read_json_lines(path):
        parts.setdefault(row["part"], {}).setdefault(row["strategy"], []).append(row["cka"])
    rows = [["CKA to start", "strategy", "n", "epochs", "after the epochs of all", "at the end"]]
    for part, strategies in parts.items():
        common = min(len(cka) for found in strategies.values() for cka in found) - 1
        for strategy, found in strategies.items():
            lengths = sorted({len(cka) - 1 for cka in found})
            epochs = " to ".join(map(str, dict.fromkeys((lengths[0], lengths[-1]))))
            equal, end = ([cka[place] for cka in found] for place in (common, -1))
            cells = [f"{np.mean(one):.4f} ({min(one):.4f} to {max(one):.4f})" for one in (equal, end)]
            rows.append([f"{part}, {common} epochs", strategy, str(len(found)), epochs, *cells])
    return markdown(rows)


def draw(found: Sequence[Reading], folder: Path, name: str) -> None:
    """<name>.svg: the difference of each claim with its 95 % interval, over the effect that matters."""
    from matplotlib import rc_context

    rows = [row for row in found if is_test(row.difference) and row.effect > 0]
    words = ("holds", "contradicted", "null", "undecided")
    with style(), rc_context({"svg.fonttype": "none"}):  # text stays text
        figure, (axes,) = new_figure(1, 7.5, 0.32 * len(rows) + 1.2)
        axes.axvspan(-1, 1, color="0.92", linewidth=0)
        axes.axvline(0, color="0.5", linewidth=0.8)
        for place, row in enumerate(rows):
            mean, scale = row.difference.mean, row.claim.sign * row.effect
            low, high = sorted(end / scale for end in mean.interval)
            kind = words.index(word_of(row).partition(":")[0])
            look = dict(color=colour(kind), marker=marker(kind), markersize=5)
            axes.plot([low, high], [place, place], color=colour(kind), linewidth=1.2)
            axes.plot(mean.mean / scale, place, **look)
        for kind, word in enumerate(words):
            axes.plot([], [], color=colour(kind), marker=marker(kind), label=word)
        axes.set_yticks(
            range(len(rows)), [f"{row.claim.family}: {row.claim.text} (n {row.difference.mean.n})" for row in rows]
        )
        axes.set_xscale("symlog", linthresh=1)
        axes.set(xlabel="difference / effect that matters (right: as claimed)")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.invert_yaxis()
        legend_below(figure, [axes], columns=4)
        save(figure, folder, name)


def load(folder: Path, matrix: str = "strategies") -> Runs:
    """All parts of the first two experiments; or the third alone, in the place of the first."""
    if not (folder / f"{matrix}.jsonl").is_file():
        raise SystemExit(
            f"{folder} has no {matrix}.jsonl: give the folder of the runs, such as .../misheard/llmasr1/results"
        )
    if matrix != "strategies":
        files = {"strategies": folder / f"{matrix}.jsonl", SECOND: folder / f"fast_encoder_{matrix}.jsonl"}
        return {file: by_seed(read_runs(path)) for file, path in files.items() if path.is_file()}
    names = dict.fromkeys([*BUDGETS, *(file for _, (file, _), _ in DESCRIBED), SECOND])
    files = {file: folder / f"{file}.jsonl" for file in names}
    return {file: by_seed(read_runs(path)) for file, path in files.items() if path.is_file()}


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the runs")
    parser.add_argument(
        "--matrix", choices=("strategies", "minilm"), default="strategies", help="the runs of the families"
    )
    parser.add_argument("--figures", type=Path, help="folder for evidence.svg and .png, or minilm.svg and .png")
    parser.add_argument("--earlier", type=Path, nargs="+", default=[], help="runs of matrices of another design")
    args = parser.parse_args(argv)
    runs = load(args.results, args.matrix)
    found = read(runs)
    print(table(found), end="")
    if args.figures:
        draw(found, args.figures, "evidence" if args.matrix == "strategies" else args.matrix)
    print(f"\n{each_seed(runs)}", end="")
    for text in filter(None, (lengths(runs), described(runs))):
        print(f"\n{text}", end="")
    if args.matrix == "strategies" and (path := args.results / "drift.jsonl").is_file():
        print(f"\n{drift(path)}", end="")
    if args.earlier:
        print(f"\n{beside(runs, args.earlier)}", end="")
    print("\nD holds if both of its tests do.")


if __name__ == "__main__":
    main()
