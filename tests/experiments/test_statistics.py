"""Means over seeds and paired differences against scipy, enumeration and hand-made numbers; bin.strategy_table."""

import json
import math
from itertools import product

import numpy as np
import pytest
import scipy.stats

from espnet_llmasr.bin import strategy_table
from espnet_llmasr.experiments.statistics import holm, mean_interval, paired_difference, sign_flip_p

VALUES, BASELINE = [4.2, 3.9, 4.8, 4.4, 4.1], [4.0, 4.1, 4.3, 4.2, 3.7]


@pytest.mark.parametrize("values, n, constant", [([], 0, False), ([3.0], 1, False), ([0.0] * 5, 5, True)])
def test_no_interval_without_spread(values, n, constant):
    result = mean_interval(values)
    assert result.n == n and result.is_constant is constant and all(map(math.isnan, result.interval))


def test_paired_difference_is_scipys():
    result, test = paired_difference(VALUES, BASELINE), scipy.stats.ttest_rel(VALUES, BASELINE)
    assert result.p_t == pytest.approx(test.pvalue, rel=1e-9)
    assert result.mean.interval == pytest.approx(tuple(test.confidence_interval()), rel=1e-9)
    assert result.mean.mean == pytest.approx(0.22)


def test_equal_differences_claim_nothing():
    result = paired_difference([5.3, 4.2, 3.1], [4.2, 3.1, 2.0])  # 1.1 three times, but for rounding
    assert result.mean.is_constant and math.isnan(result.p_t) and result.p_sign_flip == 0.25
    same = paired_difference([0.1 + 0.2, 1.0], [0.3, 1.0])
    assert (same.p_t, same.p_sign_flip, same.mean.mean) == (1.0, 1.0, 0.0)


def enumerated(differences):
    sums = [np.dot(signs, differences) for signs in product((1, -1), repeat=len(differences))]
    return np.mean([abs(value) >= abs(sum(differences)) - 1e-9 for value in sums])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [1, 2, 5, 7, 8])
def test_sign_flips_are_all_enumerated(n, seed):
    """With ties and zeros, of numbers that have no exact binary form."""
    differences = np.random.default_rng(seed).integers(-3, 5, n) / 10
    assert paired_difference(7.3 + differences, np.full(n, 7.3)).p_sign_flip == enumerated(differences)


def test_many_pairs_and_none():
    """Beyond 16 pairs signs are drawn at random, the same ones each time."""
    differences = np.random.default_rng(0).normal(0.5, 1, 36)
    p = sign_flip_p(differences)
    assert p == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, rel=0.3) and p == sign_flip_p(differences)
    assert math.isnan(sign_flip_p([]))


def test_holm_by_hand():
    """0.01 * 3, 0.03 * 2, and 0.04 * 1 not below the one before."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0] and holm([]) == []


def test_holm_does_not_count_what_is_not_known():
    adjusted = holm([0.02, math.nan, 0.03])
    assert adjusted[0] == pytest.approx(0.04) and math.isnan(adjusted[1]) and adjusted[2] == pytest.approx(0.04)


# ---- bin.strategy_table --------------------------------------------------------------------------------------------

MER = {"ia_sft": [4.0, 5.0, 4.5, 4.2, 4.8], "efin": [5.1, 6.0, 5.6, 5.2, 5.9], "char": [4.1, 4.9, 4.6, 4.1, 4.8]}


def row(strategy, seed, values, **flops):
    return {"strategy": strategy, "seed": seed, "flops": flops or {"pretrain": 3e14, "joint": 1e14}, "values": values}


@pytest.fixture
def runs():
    """Three strategies in another order than that of the table, five seeds."""
    names = ["char", "efin", "ia_sft"]
    rows = [row(name, seed, {"MER %": MER[name][seed], "PAI": 12.0 + seed}) for name in names for seed in range(5)]
    for line in rows[5:10]:
        line["flops"] = {"pretrain": 2e14, "align": 2.1e14}
    return rows


@pytest.fixture
def run(tmp_path, capsys):
    """(rows, options) -> the printed tables as lists of cells, and all lines."""

    def run_(rows, *options):
        path = tmp_path / "runs.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in rows))
        capsys.readouterr()
        strategy_table.main(["--runs", str(path), *map(str, options)])
        out = capsys.readouterr().out
        parts = [[line for line in part.splitlines() if line[:1] == "|"] for part in out.split("\n## ")]
        tables = [[[cell.strip() for cell in line.strip("|").split("|")] for line in part] for part in parts]
        return tables, out.splitlines()

    return run_


def test_means(run, runs):
    """ia_sft: mean 4.5, deviation sqrt(0.68 / 4), t(4) = 2.776445: 0.5119 on each side."""
    (means, _, _), lines = run(runs)
    assert means[0] == ["strategy", "n", "MER %", "PAI", "FLOPs a run", "farthest from ia_sft"]
    assert [line[0] for line in means[2:]] == ["ia_sft", "char", "efin"]  # the paper's order
    assert means[2] == ["ia_sft", "5", "4.50 (3.99 to 5.01)", "14.00 (12.04 to 15.96)", "4.00e14", "+0.0 %"]
    assert means[4][-2:] == ["4.10e14", "+2.5 %"]
    assert any(line.startswith("- Equal compute: no run is more than 5 %") for line in lines)


def test_paired_differences(run, runs):
    """efin: 1.1, 1.0, 1.1, 1.0, 1.1, so mean 1.06, deviation 0.05477, half of the interval 0.0680; t = 43.3."""
    (_, pairs, _), _ = run(runs)
    table = {(line[0], line[1]): line[2:] for line in pairs[2:]}
    assert table["MER %", "efin"] == ["5", "+1.06 (+0.99 to +1.13)", "<0.0001", "<0.0001", "0.062", "0.12", "higher"]
    assert table["MER %", "char"][1] == "+0.00 (-0.12 to +0.12)" and table["MER %", "char"][-1] == "within noise"
    assert table["PAI", "efin"] == ["5", "+0.00 (-)", "1.00", "1.00", "1.00", "1.00", "equal"]


def test_holm_is_within_a_value(run):
    """0.1, 0.2, 0.3, 0.1 have t = 3.656, so p = 0.035; of three strategies that is 0.11, however many values."""
    base, moves = [4.0, 4.1, 4.2, 4.3], [0.1, 0.2, 0.3, 0.1]
    rows = [row("ia_sft", seed, {"a": base[seed], "b": 1.0 + seed % 2}) for seed in range(4)]
    rows += [row("x", seed, {"a": base[seed] + moves[seed], "b": 3.0}) for seed in range(4)]
    (_, pairs, _), _ = run(rows)
    assert pairs[2][4:6] == ["0.035", "0.035"] and pairs[2][-1] == "higher"
    for name in ("y", "z"):
        rows += [row(name, seed, {"a": base[seed] + 0.1 * (-1) ** seed, "b": 3.0}) for seed in range(4)]
    (_, pairs, _), _ = run(rows)
    assert pairs[2][4:6] == ["0.035", "0.11"] and pairs[2][-1] == "higher, not after Holm"


def test_stages(run, runs):
    (_, _, stages), _ = run(runs)
    assert stages[0] == ["strategy", "pretrain", "joint", "align", "all"]
    table = {line[0]: line[1:] for line in stages[2:]}
    assert table["ia_sft"] == ["3.00e14 (75.0 %)", "1.00e14 (25.0 %)", "-", "4.00e14"]
    assert table["efin"] == ["2.00e14 (48.8 %)", "-", "2.10e14 (51.2 %)", "4.10e14"]


def test_unequal_compute_is_said(run, runs):
    runs[0]["flops"] = {"pretrain": 3e14}
    for line in runs[5:10]:
        line["flops"] = runs[-1]["flops"]
    (means, _, _), lines = run(runs)
    assert means[3][-2:] == ["3.80e14", "-25.0 %"]  # the farthest run, not the mean of -5 %
    assert any("**Not at equal compute**" in line and line.endswith(": char (-25.0 %).") for line in lines)


@pytest.mark.parametrize(
    "size, values, cells",
    [  # 0, 0, 0, 0, 1: mean 0.2, deviation 0.447, so -0.355 to 0.755; only a rate is cut
        (0.0, ["looped %", "CSAI"], ["0.20 (0.00 to 0.76)", "0.2000 (-0.3553 to 0.7553)"]),
        # 100, 100, 100, 100, 99: mean 99.8, so 99.245 to 100.355; insertions may bring an error rate above 100 %
        (100.0, ["non-empty %", "MER %"], ["99.80 (99.24 to 100.00)", "99.80 (99.24 to 100.36)"]),
    ],
)
def test_rates_end_at_zero_and_shares_at_a_hundred(run, runs, size, values, cells):
    for line in runs:
        number = abs(size - float(line["seed"] == 4 and line["strategy"] == "efin"))
        line["values"] = dict.fromkeys(values, number)
    (means, pairs, _), _ = run(runs)
    assert means[4][2:4] == cells
    if not size:
        assert means[2][2:4] == ["0.00 (all equal)", "0.0000 (all equal)"]
        assert [line[3] for line in pairs if line[1] == "efin"][0] == "+0.20 (-0.36 to +0.76)"


def test_missing_numbers_and_runs(run, runs):
    del runs[-1]  # ia_sft, seed 4
    runs[0]["values"]["MER %"] = None
    del runs[6]["values"]["PAI"]  # efin, seed 1
    (means, pairs, _), lines = run(runs)
    table = {(line[0], line[1]): line[2] for line in pairs[2:]}
    assert table["MER %", "char"] == "3" and table["MER %", "efin"] == "4" and table["PAI", "efin"] == "3"
    assert means[3][2].endswith("; n = 4") and means[2][1] == "4"
    assert "- ia_sft has no run of seed 4, so that of efin is in no pair." in lines


def test_one_seed_and_one_strategy(run, runs):
    (means, stages), _ = run([runs[-1]])
    assert means[2][2] == "4.80 (-)" and stages[2][-1] == "4.00e14"
    (_, pairs, _), _ = run([runs[4], runs[-1]])
    assert pairs[2][3:] == ["+0.00 (-)", "1.00", "1.00", "1.00", "1.00", "too few pairs"]


def test_another_baseline(run, runs):
    (means, pairs, _), _ = run(runs, "--baseline", "efin")
    assert means[0][-1] == "farthest from efin" and {line[1] for line in pairs[2:]} == {"ia_sft", "char"}
    assert pairs[2][3] == "-1.06 (-1.13 to -0.99)" and pairs[2][-1] == "lower"


def test_files(run, runs, tmp_path):
    runs[0]["values"]["PAI"] = None
    _, lines = run(runs, "--out", tmp_path / "t.md", "--json", tmp_path / "t.json")
    assert (tmp_path / "t.md").read_text().splitlines() == lines
    figures = json.loads((tmp_path / "t.json").read_text())
    assert figures["baseline"] == "ia_sft" and figures["means"]["char"]["PAI"]["n"] == 4
    efin = figures["differences"]["MER %"]["efin"]
    assert efin["mean"] == pytest.approx(1.06) and efin["p_sign_flip"] == 0.0625 and efin["p_sign_flip_holm"] == 0.125
    assert figures["differences"]["PAI"]["efin"]["interval"] == [None, None]
    assert figures["flops"]["efin"]["stages"] == {"pretrain": 2e14, "align": 2.1e14}


# ---- mistakes ------------------------------------------------------------------------------------------------------

GOOD = json.dumps(row("ia_sft", 1, {"MER %": 4.0}))
WRONG_LINES = [
    "{",
    "[1]",
    "[" * 100_000,
    '{"strategy": "a", "seed": 1}',
    GOOD.replace('"seed": 1', '"seed": "1"'),
    GOOD.replace('"seed": 1', '"seed": true'),
    GOOD.replace('"ia_sft"', '" "'),
    GOOD.replace('"ia_sft"', "1"),
    GOOD.replace("4.0", "NaN"),
    GOOD.replace("4.0", "1" * 400),
    GOOD.replace("4.0", '"4"'),
    GOOD.replace("300000000000000.0", '1e308, "x": 1e308'),
    GOOD.replace("300000000000000.0", "-1"),
    GOOD.replace("300000000000000.0", "0").replace("100000000000000.0", "0"),
    GOOD.replace('{"MER %": 4.0}', "[4.0]"),
]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "has no runs: expected one JSON line a run"),
        *((line, 'line 1 is no run, expected {"strategy": NAME, "seed": 1, ') for line in WRONG_LINES),
        (f"{GOOD}\n[1]\n", 'line 2 is no run, expected {"strategy"'),
        (f"{GOOD}\n{GOOD}\n", "line 2 (ia_sft, seed 1) repeats line 1: give one run for each strategy and seed"),
        (GOOD.replace("ia_sft", "efin"), "--baseline ia_sft: "),
    ],
    ids=lambda text: text[:20],
)
def test_mistakes(command, tmp_path, text, message):
    path = tmp_path / "runs.jsonl"
    path.write_text(text)
    done = command(strategy_table, "--runs", path, "--out", tmp_path / "t.md")
    assert done.code == 1 and done.err.count("\n") == 1 and message in done.err, done.err
    assert [file.name for file in tmp_path.iterdir()] == ["runs.jsonl"]


def test_no_file_and_its_own_file(command, tmp_path):
    path = tmp_path / "runs.jsonl"
    assert f"{path} does not exist: give a file with one JSON line a run" in command(strategy_table, "--runs", path).err
    path.write_text(GOOD)
    assert "is the file of the runs" in command(strategy_table, "--runs", path, "--json", path).err
    both = ("--out", tmp_path / "t", "--json", tmp_path / "t")
    assert "is the file of another result" in command(strategy_table, "--runs", path, *both).err
    assert path.read_text() == GOOD
