"""bin.fit_scaling: its files and tables from planted laws, and what it says of bad files."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from espnet_llmasr.bin import fit_scaling
from espnet_llmasr.experiments import scaling
from espnet_llmasr.experiments.runs import read_runs
from espnet_llmasr.observe import plot_style

LAWS = {"joint_only": (3.0, 0.5, 1.0), "efin": (3.0 / np.sqrt(2), 0.5, 1.0)}  # the same at half of the compute


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(scaling, "RESAMPLES", 30)


def rows_of(budgets=5, seeds=2, spread=0.01):
    rng, rows = np.random.default_rng(0), []
    for name, (a, b, c) in LAWS.items():
        for budget in 1e14 * 2.0 ** np.arange(budgets):
            for seed in range(seeds):
                error = (a * (budget / 1e14) ** -b + c) * np.exp(spread * rng.standard_normal())
                flops = {"pretrain": 0.75 * budget, "joint": 0.25 * budget}
                rows.append({"strategy": name, "seed": seed, "flops": flops, "values": {"MER %": error, "NSE": None}})
    return rows


@pytest.fixture
def run(tmp_path, command):
    """(rows, options) -> exit code and error line; results in tmp_path / out."""

    def run_(rows, *options, value="MER %"):
        path = tmp_path / "runs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return command(fit_scaling, "--runs", path, "--value", value, "--out", tmp_path / "out", *options)

    return run_


def test_files_of_planted_laws(run, tmp_path):
    assert run(rows_of(spread=0)).code == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [f"scaling.{kind}" for kind in ("json", "md", "png", "svg")]
    figures = json.loads((out / "scaling.json").read_text())
    law = figures["strategies"]["joint_only"]
    assert (law["b"], law["c"], law["C0"]) == pytest.approx((0.5, 1.0, 4e14), rel=1e-6)
    assert law["a"] == pytest.approx(1.5)  # 3 at 1e14 FLOPs
    assert law["intervals"]["b"] == pytest.approx([0.5, 0.5]) and len(law["budgets"]) == 5
    (pair,) = figures["savings"]
    assert (pair["strategy"], pair["other"]) == ("efin", "joint_only") and pair["share"] == pytest.approx(0.5)
    text = (out / "scaling.md").read_text()
    assert "- efin reaches joint_only's error at 1.60e15 FLOPs (1.75) with 50 % (50 to 50 %) of the compute.\n" in text
    assert "| joint_only | 10 | 5 | 4.00e14 | 1.5 (1.5 to 1.5) | 0.5 (0.5 to 0.5) | 1 (1 to 1) |" in text


def test_figure(run, tmp_path):
    run([{**row, "strategy": f"${row['strategy']}"} for row in rows_of()])
    assert (tmp_path / "out" / "scaling.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "out" / "scaling.svg").read_text()
    words = " ".join(ElementTree.fromstring(first).itertext())
    for word in ("training compute (FLOPs)", "MER %", "$efin: floor c", "$joint_only: floor c"):
        assert word in words
    run([{**row, "strategy": f"${row['strategy']}"} for row in rows_of()])
    assert (tmp_path / "out" / "scaling.svg").read_text() == first


def test_no_floor_is_drawn_where_there_is_none(run, tmp_path):
    rows = [row for row in rows_of() if row["strategy"] == "efin"]
    for row in rows:
        row["values"]["MER %"] = 5 * (sum(row["flops"].values()) / 1e14) ** -0.3
    run(rows)
    assert "floor" not in (tmp_path / "out" / "scaling.svg").read_text()
    assert "**efin**: c is at its bound 0" in (tmp_path / "out" / "scaling.md").read_text()


def test_runs_without_a_number_are_named(run, tmp_path):
    rows = rows_of()
    rows[0]["values"]["MER %"] = None
    run(rows, "--strategies", "joint_only")
    text = (tmp_path / "out" / "scaling.md").read_text()
    assert "- Left out, as MER % is not known: line 1 (joint_only, seed 0).\n" in text
    assert "| joint_only | 9 | 5 |" in text and "efin" not in text and "Compute at equal" not in text


def test_no_common_error_is_said(run, tmp_path):
    rows = rows_of()
    for row in rows[10:]:
        row["values"]["MER %"] *= 100
    run(rows)
    text = (tmp_path / "out" / "scaling.md").read_text()
    assert "joint_only and efin: no error that both reach within their measured ranges." in text


def changed(**values):
    rows = rows_of()
    rows[1].update(values)
    return rows


@pytest.mark.parametrize(
    "rows, options, message",
    [
        (
            rows_of(budgets=3),
            [],
            "joint_only: 3 different budgets cannot identify a law of three parameters: train at 4",
        ),
        (
            changed(seed=0),
            [],
            "line 2 (joint_only, seed 0) repeats line 1 at 1.00e14 FLOPs: give one run a seed and budget",
        ),
        (changed(values={"MER %": 0}), [], "line 2 (joint_only, seed 1) has MER % 0, expected more than 0"),
        (rows_of(), ["--strategies", "char"], "--strategies char: "),
        (changed(), ["--value", "WER"], "has MER %, NSE"),
        (changed(), ["--value", "NSE"], "joint_only has no run with a number for NSE: leave it out with --strategies"),
        (changed(flops={}), [], "line 2: expected "),
    ],
)
def test_mistakes(run, tmp_path, rows, options, message):
    done = run(rows, *options)
    assert done.code == 1 and done.err.count("\n") == 1 and message in done.err, done.err
    assert not (tmp_path / "out").exists()


def test_matplotlib_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(plot_style, "find_spec", lambda name: None)
    done = run(rows_of())
    assert (
        done.code == 1 and done.err.endswith("is not installed: pip install matplotlib\n") and done.err.count("\n") == 1
    )
    assert not (tmp_path / "out").exists()


def test_the_law_of_the_recorded_runs():
    """The figures in the README of egs2/fsdd."""
    runs = read_runs(Path(__file__).parents[2] / "egs2/fsdd/llmasr1/results/scaling.jsonl")
    table, _ = scaling.select(runs, "MER %", ["efin"])
    law = scaling.fit_all(table, "MER %")["efin"].law
    assert (law.a, law.b, law.c, law.scale) == pytest.approx((5.9, 2.837, 1.345, 9.38e12), rel=2e-3)
