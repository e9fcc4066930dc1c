"""The reading of the matrix (benchmarks/evidence.py) on made runs, of which the right reading is known."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = {"MER %": 20.0, "NSE change": -0.02, "PAI change": 0.3, "CSAI change": 0.0, "PAI": 5.0, "CSAI": 3.0}
BASE |= {"CKA to start": 0.99, "nonspeech: chars/min": 50.0}
BASE |= {f"hallucinated ({rule}) %": 1.0 for rule in ("paper", "length", "loop")}


@pytest.fixture(scope="module")
def evidence():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import evidence

    yield evidence
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def write(tmp_path):
    """(file, {strategy: (seeds, {value: shift})}, FLOPs): runs with noise that is shared by the runs of a seed."""
    rng = np.random.default_rng(0)

    def runs(file, strategies, flops=1e13):
        lines = []
        for strategy, (seeds, shifts) in strategies.items():
            for seed in seeds:
                own = np.random.default_rng(seed).normal(0, 0.01, len(BASE))  # the same in all strategies
                values = {
                    name: value * (1 + noise) + shifts.get(name, 0) * (1 + 0.1 * rng.normal())
                    for (name, value), noise in zip(BASE.items(), own)
                }
                values["hallucinated (loop) %"] = 0.0
                lines.append(
                    json.dumps({"strategy": strategy, "seed": seed, "flops": {"all": flops}, "values": values})
                )
        (tmp_path / f"{file}.jsonl").write_text("\n".join(lines) + "\n")

    return runs


def words(evidence, folder):
    return {
        f"{row.claim.family} {row.claim.text}": evidence.word_of(row) for row in evidence.read(evidence.load(folder))
    }


def test_readings(evidence, write, tmp_path):
    eight = range(1, 9)
    shifts = {"MER %": 4.0, "CKA to start": -0.1, "PAI": 0.5, "nonspeech: chars/min": 0.01}
    write(
        "strategies",
        {
            "ia_sft": (eight, {}),
            "no_ia_sft": (eight, shifts),
            "no_joint": (eight, {"MER %": -3.0}),
            "no_swap": (eight, {"MER %": 0.01}),
            "char": ([1], {}),
        },
    )
    found = words(evidence, tmp_path)
    assert found["A MER: no_ia_sft is worse"] == "holds"
    assert found["A MER: no_joint is worse"] == "contradicted"
    assert found["A MER: no_swap is worse"] in ("holds", "null")  # a real effect, far below the paper's 2 %
    assert found["B ia_sft, joint SFT: NSE falls"] == "holds"
    assert found["B ia_sft, joint SFT: PAI rises"] == "holds"
    assert found["C no_ia_sft: PAI is lower"] == "contradicted"
    assert found["E no_ia_sft: CKA to start is lower"] == "holds"
    assert found["F no_ia_sft: hallucinated (loop) % is higher"] == "undecided: all differences are equal"
    assert found["G char: PAI is lower"] == "1 pairs only"
    assert found["H slope of log MER on log FLOPs: efin is steeper"] == "not run"


def test_holm_counts_only_what_can_be_tested(evidence, write, tmp_path):
    """The rule of loops finds nothing in any run, so family F has three tests."""
    shifts = {"nonspeech: chars/min": 1.0, "hallucinated (paper) %": 0.1, "hallucinated (length) %": 0.1}
    write("strategies", {"ia_sft": (range(1, 9), {}), "no_ia_sft": (range(1, 9), shifts)})
    rows = [row for row in evidence.read(evidence.load(tmp_path)) if row.claim.family == "F"]
    p = [row.difference.p_t for row in rows if not row.claim.text.startswith("no_ia_sft: hallucinated (loop)")]
    assert [row.tests for row in rows] == [3] * 4
    assert [row.p_holm for row in rows if evidence.is_test(row.difference)] == evidence.holm(p)


def test_a_null_of_family_a_needs_the_power_for_the_effect(evidence, write, tmp_path):
    write("strategies", {"ia_sft": (range(1, 9), {}), "no_swap": (range(1, 9), {})})
    row = next(row for row in evidence.read(evidence.load(tmp_path)) if row.claim.text == "MER: no_swap is worse")
    some = evidence.paired_difference([1.0, -1.1, 0.9, -0.8, 1.2, -1.3, 0.7, -0.6], [0.0] * 8)
    row = row._replace(difference=some, p_holm=1.0, tests=3)
    assert evidence.shown(row) > 1.1 > evidence.interval(row, 0.9)[1]
    assert evidence.word_of(row._replace(effect=1.1)).startswith("undecided")
    assert evidence.word_of(row._replace(effect=2.0)) == "null"
    assert {row.family for row in evidence.claims() if row.null_needs_power} == {"A", "I"}
    assert sum(row.null_needs_power for row in evidence.claims()) == 4  # of I, the error rate alone


def test_undecided_names_the_seeds(evidence, write, tmp_path):
    write("strategies", {"ia_sft": (range(1, 4), {}), "no_ia_sft": (range(1, 4), {"MER %": 1.0})})
    row = next(row for row in evidence.read(evidence.load(tmp_path)) if row.claim.text == "MER: no_ia_sft is worse")
    wide = row._replace(difference=evidence.paired_difference([21.0, 27.0, 15.0], [20.0, 20.0, 20.0]), p_holm=0.7)
    needed = evidence.pairs_needed(2.0 / np.std([1.0, 7.0, -5.0], ddof=1), 0.05)
    assert evidence.word_of(wide._replace(effect=2.0)) == f"undecided: {needed} seeds"


def test_slopes_are_those_of_the_budgets(evidence, write, tmp_path):
    for file, flops in (("60", 6e12), ("strategies", 1e13), ("160", 1.6e13)):
        write(file, {"ia_sft": ([1], {}), "efin": ([1, 2, 3], {}), "joint_only": ([1, 2, 3], {})}, flops)
        lines = [json.loads(line) for line in (tmp_path / f"{file}.jsonl").read_text().splitlines()]
        for line in lines:
            steep = {"efin": 0.5, "joint_only": 0.2, "ia_sft": 0.0}[line["strategy"]]
            line["values"]["MER %"] = (20 if line["strategy"] == "efin" else 25) * (flops / 1e13) ** -steep
        (tmp_path / f"{file}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs = evidence.load(tmp_path)
    assert list(evidence.slopes(runs, "efin").values()) == pytest.approx([-0.5] * 3)
    assert evidence.lower_everywhere(runs)
    assert "| this matrix |" in evidence.beside(runs, [tmp_path / "60.jsonl"])
    rows = evidence.lengths(runs).splitlines()
    assert rows[2] == "| efin | 3 | 25.8 (25.8 to 25.8) | 20.0 (20.0 to 20.0) | 15.8 (15.8 to 15.8) | -0.50 |"
    del runs["strategies"]["joint_only"][1].values["CKA to start"]  # what is not known of a part is left out
    last = evidence.described(runs).splitlines()[-1]
    assert last.startswith("| joint_only | 1 | 25.0, 25.0 | +0 (0 to 0) |") and last.endswith(" | - |")
    steeper = next(row for row in evidence.read(runs) if row.claim.family == "H")._replace(
        difference=evidence.paired_difference([-3, -4.0, -3.1], [0.0] * 3)
    )
    steeper = steeper._replace(p_holm=0.01)
    assert evidence.word_of(steeper) == "holds"
    for run in runs["160"]["efin"].values():
        run.values["MER %"] *= 2
    assert not evidence.lower_everywhere(runs)
    assert evidence.word_of(steeper._replace(also=False)).startswith("undecided")


def test_the_page_and_the_figure(evidence, write, tmp_path, capsys):
    write("strategies", {"ia_sft": (range(1, 6), {}), "no_ia_sft": (range(1, 6), {"MER %": 4.0})})
    evidence.main([str(tmp_path), "--figures", str(tmp_path)])
    out = capsys.readouterr().out
    assert "| no_ia_sft | 2" in out
    assert out.count("\n") == 4 + len(evidence.claims()) + 5 and "| A | MER: no_ia_sft is worse | 5 | +4" in out
    assert "MER: no_ia_sft is worse (n 5)" in (tmp_path / "evidence.svg").read_text()


def test_parts_of_few_seeds_are_described(evidence, write, tmp_path, capsys):
    write("strategies", {"ia_sft": (range(1, 9), {}), "no_ia_sft": (range(1, 9), {})})
    write("one_swap", {"ia_sft": ([1, 2, 3], {"MER %": -5.0})})
    write("smollm2", {"ia_sft": ([1, 2], {}), "no_ia_sft": ([2, 3], {"CKA to start": -0.1})})
    evidence.main([str(tmp_path)])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "(" in line]
    swap, smollm2 = (next(row for row in rows if row[0] == f"| {name}") for name in ("one swap", "SmolLM2, no_ia_sft"))
    assert swap[1] == "3" and -6 < float(swap[3].split()[0]) < -4
    assert smollm2[1] == "1" and smollm2[3].startswith("+0 ") and smollm2[-1].startswith("-0.")


def test_the_second_experiment_is_read_from_its_own_runs(evidence, write, tmp_path):
    write("strategies", {"ia_sft": (range(1, 9), {}), "no_ia_sft": (range(1, 9), {"MER %": -4.0})})
    assert words(evidence, tmp_path)["I fast encoder, no_ia_sft: MER % is higher"] == "not run"
    shifts = {"MER %": 4.0, "CSAI change": 0.2, "CKA to start": 0.1}
    write("fast_encoder_again", {"ia_sft": (range(4, 12), {}), "no_ia_sft": (range(4, 12), shifts)})
    found = [word for claim, word in words(evidence, tmp_path).items() if claim.startswith("I ")]
    assert found == ["holds", "holds", "contradicted"]


def test_drift_is_compared_after_equal_updates(evidence, tmp_path):
    rows = [("ia_sft", 1, [1, 0.9]), ("no_ia_sft", 1, [1, 0.8, 0.6]), ("no_ia_sft", 2, [1, 0.7, 0.5, 0.4])]
    lines = [json.dumps(dict(part="smollm2", strategy=s, seed=seed, cka=cka)) for s, seed, cka in rows]
    (tmp_path / "drift.jsonl").write_text("\n".join(lines) + "\n")
    first, second = evidence.drift(tmp_path / "drift.jsonl").splitlines()[2:]
    assert first.endswith("| ia_sft | 1 | 1 | 0.9000 (0.9000 to 0.9000) | 0.9000 (0.9000 to 0.9000) |")
    assert second.endswith("| no_ia_sft | 2 | 2 to 3 | 0.7500 (0.7000 to 0.8000) | 0.5000 (0.4000 to 0.6000) |")


def test_another_matrix_is_read_alone(evidence, write, tmp_path, capsys):
    write("strategies", {"ia_sft": (range(1, 9), {}), "no_ia_sft": (range(1, 9), {"CSAI": -0.5})})
    write("minilm", {"ia_sft": (range(1, 9), {}), "no_ia_sft": (range(1, 9), {"CSAI": 0.5})})
    write("fast_encoder_again", {"ia_sft": (range(1, 9), {}), "no_ia_sft": (range(1, 9), {})})
    for matrix, word in dict(strategies="holds", minilm="contradicted").items():
        found = evidence.read(evidence.load(tmp_path, matrix))
        read = {f"{row.claim.family} {row.claim.text}": evidence.word_of(row) for row in found}
        assert read["C no_ia_sft: CSAI is lower"] == word and read["G char: CSAI is higher"] == "not run"
    assert read["I fast encoder, no_ia_sft: MER % is higher"] == "not run"
    (tmp_path / "drift.jsonl").write_text('{"part": "a", "strategy": "ia_sft", "seed": 1, "cka": [1.0, 0.9]}\n')
    evidence.main([str(tmp_path), "--matrix", "minilm", "--figures", str(tmp_path)])
    out = capsys.readouterr().out
    assert "| C | no_ia_sft: CSAI is lower | 8 | +0." in out and "CKA to start | strategy" not in out
    assert (tmp_path / "minilm.svg").exists() and not (tmp_path / "evidence.svg").exists()
