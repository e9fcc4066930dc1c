"""Power of paired t tests: against tables of the literature, by simulation, and the command on runs by hand."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from espnet_llmasr.bin import power as command
from espnet_llmasr.experiments.power import pairs_needed, power_of, smallest_effect, spreads
from espnet_llmasr.experiments.runs import read_runs


def test_known_sample_sizes_of_matched_pairs():
    """Effects of 0.2, 0.5 and 0.8 take 199, 34 and 15 pairs at alpha 0.05 and a power of 0.8 (as G*Power says)."""
    assert [pairs_needed(effect, 0.05) for effect in (0.2, -0.5, 0.8)] == [199, 34, 15]
    assert pairs_needed(0.01, 0.05) == math.inf
    assert smallest_effect(34, 0.05) == pytest.approx(0.495, abs=0.003)
    with pytest.raises(ValueError, match="2 pairs give no test: give at least 3 seeds"):
        smallest_effect(2, 0.05)


@pytest.mark.parametrize("pairs, alpha", [(3, 0.05), (8, 0.05), (8, 0.05 / 3)])
def test_a_simulation_finds_as_much(pairs, alpha):
    effect = smallest_effect(pairs, alpha)
    draws = np.random.default_rng(0).normal(effect, 1, (20_000, pairs))
    result = stats.ttest_1samp(draws, 0, axis=1)
    assert np.mean((result.pvalue < alpha) & (result.statistic > 0)) == pytest.approx(0.8, abs=0.01)
    assert power_of(effect, pairs, alpha) == pytest.approx(0.8, abs=1e-6)


@pytest.fixture
def files(tmp_path):
    """Two files with the same seeds: differences 1, 3 and 2, 2, 5."""
    paths = []
    for number, differences in enumerate(([1, 3], [2, 2, 5])):
        rows = []
        for seed, difference in enumerate(differences):
            for strategy, value in (("ia_sft", 10.0 * seed), ("no_swap", 10.0 * seed + difference)):
                values = {"MER %": value, "always 0": 0.0, "no pair": None}
                rows.append(dict(strategy=strategy, seed=seed, flops={"pretrain": 1e9}, values=values))
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def test_deviations_are_pooled_within_the_files(files):
    found = spreads([read_runs(path) for path in files], "ia_sft")
    pairs, mean, deviation = found["MER %"]["no_swap"]
    assert (pairs, mean) == (5, 13 / 5) and deviation == pytest.approx(math.sqrt((2 + 6) / 3))
    assert found["always 0"]["no_swap"].deviation == 0 and "no pair" not in found


def test_the_table(files, capsys):
    command.main(["--runs", *map(str, files), "--seeds", "8", "--family", "3"])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3 and table[0].count("|") == table[2].count("|") == 9
    cells = [cell.strip() for cell in table[2].split("|")[1:-1]]
    deviation = math.sqrt(8 / 3)
    shown = [f"{smallest_effect(8, alpha) * deviation:.3g}" for alpha in (0.05, 0.05 / 3)]
    assert cells == ["MER %", "no_swap", "5", "+2.6", "1.63", *shown, str(pairs_needed(2.6 / deviation, 0.05 / 3))]
    with pytest.raises(ValueError, match="--strategies efin: .*0.jsonl has ia_sft, no_swap"):
        command.main(["--runs", *map(str, files), "--strategies", "efin"])
