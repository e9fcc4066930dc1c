"""The published figures of bin.benchmark, the recomputation of their means, and the configuration of the benchmarks."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from espnet_llmasr.bin import benchmark
from espnet_llmasr.scoring import published
from espnet_llmasr.scoring.benchmark import read_cells

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "conf" / "benchmark.yaml"
SYSTEMS = (
    "Fun-ASR-nano",
    "GLM-ASR-nano",
    "Qwen3-ASR-1.7B",
    "FireRedASR-LLM",
    "Step-Audio2-mini",
    "Qwen3-Omni-Instruct",
)


def row_of(text, label):
    """{column: text} of a table's row."""
    lines = [[field.strip() for field in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    (row,) = (line for line in lines if line[0] == label)
    head = next(line for line in lines if len(line) == len(row))
    return dict(zip(head[1:], row[1:], strict=True))


def printed_tables(capsys):
    benchmark.main(["--config", str(CONFIG)])
    return capsys.readouterr().out


# ---- the paper -----------------------------------------------------------------------------------------------------


def test_the_papers_averages_are_the_means_of_its_cells(capsys):
    out = printed_tables(capsys)
    printed = ("6.28", "8.71", "5.45", "6.46", "6.19", "6.24", "5.12")
    assert row_of(out, "**Average**") == dict(zip((*SYSTEMS, "arXiv 2604.08003"), printed))
    assert list(row_of(out, "cells in it").values()) == ["20", "20", "20", "18", "20", "20", "20"]
    assert list(row_of(out, "Model size").values()) == ["0.8B", "1.5B", "2.0B", "8B+", "8B+", "30B-A3B", "2.3B"]
    assert list(published.read_table("table_1")["Avg. CER/WER"].values()) == list(printed)


def test_cells_and_wins_of_the_paper(capsys):
    out = printed_tables(capsys)
    evals = ["12.61", "4.06", "7.38"]
    assert [row_of(out, f"AISHELL-2021-Eval {name}")["FireRedASR-LLM"] for name in "ACD"] == evals
    assert row_of(out, "WenetSpeech-Yue short")["FireRedASR-LLM"] == "-"
    assert list(row_of(out, "win:lose (ties) of arXiv 2604.08003").values())[:6] == [
        *("19:1", "20:0", "16:4", "14:4", "11:9", "12:8")
    ]


def test_a_smaller_configuration_counts_its_own_cells_only(tmp_path, capsys):
    config = tmp_path / "b.yaml"
    config.write_text("benchmarks: [{name: KeSpeech, scenario: Chinese Dialect, cells: {test: x}}]")
    benchmark.main(["--config", str(config)])
    out = capsys.readouterr().out
    assert list(row_of(out, "cells in it").values()) == ["1"] * 7
    assert row_of(out, "**Average**")["GLM-ASR-nano"] == "9.59"
    wins = list(row_of(out, "win:lose (ties) of arXiv 2604.08003").values())  # 4.56 beside the others
    assert wins[:6] == ["1:0", "1:0", "1:0", "0:1", "0:1", "1:0"]


def test_tables_2_and_3_as_printed(capsys):
    """(1.11 + 2.57 + 1.23 + 2.63 + 6.25 + 6.22) / 6 = 3.335, but Table 3 prints 3.35 (docs/benchmarks.md)."""
    out = printed_tables(capsys)
    assert row_of(out, "Qwen3-Omni-Instruct") == dict(zip(published.SCENARIOS, ("0.013", "0.370", "0.007", "1.778")))
    assert row_of(out, "Our full pipeline") == dict(zip(published.SCENARIOS, ("1.93", "10.42", "3.35", "8.39")))
    assert row_of(out, "*mean of English*")["arXiv 2604.08003"] == "3.34"


@pytest.mark.parametrize(
    "value, digits, text",
    [("3.335", 2, "3.34"), ("2.675", 2, "2.68"), ("0.005", 2, "0.01"), ("0.0025", 3, "0.003"), ("12", 2, "12.00")],
)
def test_halves_round_up(value, digits, text):
    assert published.rounded(Fraction(value), digits) == text


# ---- the configuration ---------------------------------------------------------------------------------------------


def test_the_sets_are_those_of_stage_1_in_zh_en(monkeypatch):
    sys.path.insert(0, str(ROOT / "local"))
    import plan_corpora

    mixture = plan_corpora.read_mixture(ROOT / "egs2" / "zh_en" / "llmasr1" / "local" / "corpora.yaml")
    for rows in mixture.values():
        for row in rows:
            monkeypatch.setenv(row.src, "/corpora")
    sets = [line.split("\t")[1] for line in plan_corpora.jobs(mixture) if line.startswith("test\t")]
    conf = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    cells = read_cells(conf["benchmarks"], "conf")
    assert [cell.set for cell in cells] == sets and conf["route"] == "paper"
    assert [cell.label for cell in cells] == published.read_table_1().labels and len(conf["benchmarks"]) == 10
    counts = [[cell.scenario for cell in cells].count(scenario) for scenario in published.SCENARIOS]
    assert counts == [7, 5, 6, 2]


def test_a_benchmark_that_the_paper_lacks(tmp_path, capsys):
    (tmp_path / "b.yaml").write_text(
        "benchmarks: [{name: THCHS30, scenario: Mandarin, cells: {test: thchs30}},"
        " {name: KeSpeech, scenario: Chinese Dialect, cells: {test: kespeech}}]"
    )
    for folder in ("ref", "hyp"):
        (tmp_path / folder / "thchs30").mkdir(parents=True)
        (tmp_path / folder / "thchs30/text").write_text("a 你好\n")
    folders = ["--ref_dir", str(tmp_path / "ref"), "--hyp_dir", str(tmp_path / "hyp"), "--route", "none"]
    benchmark.main(["--config", str(tmp_path / "b.yaml"), *folders])
    out = capsys.readouterr().out
    assert list(row_of(out, "THCHS30 test").values()) == ["-"] * 7 + ["0.00"]
    assert row_of(out, "**Average**")["GLM-ASR-nano"] == "9.59"
    assert "- Not in the paper's Table 1: THCHS30 test." in out


ROW = "{name: KeSpeech, scenario: Chinese Dialect, cells: {test: kespeech_test}}"


@pytest.mark.parametrize(
    "text, message",
    [
        ("benchmarks: x", "benchmarks must be a list of {name, scenario, cells}"),
        ("benchmarks: []", "benchmarks must be a list"),
        ("route: none", "no benchmarks: give --config conf/benchmark.yaml"),
        (f"benchmarks: [{ROW}]\nnormaliser: none", "unrecognized arguments: normaliser"),
        (f"benchmarks: [{ROW}]\nroute: x", "unknown normaliser route 'x': choose of none, paper"),
        (f"benchmarks: [{ROW}]\nhyp_dir: hyp", "hyp_dir must be a list in the configuration: [hyp]"),
        (f"benchmarks: [{ROW[:-1]}, metric: cer}}]", "must have name, scenario, cells and nothing else"),
        ("benchmarks: [KeSpeech]", "must have name, scenario, cells and nothing else, not KeSpeech"),
        (f"benchmarks: [{ROW.replace('kespeech_test', '')}]", "KeSpeech: cell 'test' has no set"),
        (f"benchmarks: [{ROW.replace('{test: kespeech_test}', '')}]", "cells must name the set of each cell"),
        (
            f"benchmarks: [{ROW.replace('Chinese Dialect', 'Yue')}]",
            "unknown scenario 'Yue', allowed are Mandarin, Chin",
        ),
        (f"benchmarks: [{ROW}, {ROW}]", "cell 'KeSpeech test' is given twice"),
        (f"benchmarks: [{ROW}, {ROW.replace('KeSpeech', 'ASCEND')}]", "set 'kespeech_test' is given twice"),
    ],
)
def test_a_wrong_configuration_is_one_line(command, tmp_path, text, message):
    (tmp_path / "b.yaml").write_text(text + "\n")
    options = [] if "hyp_dir:" in text else ["--ref_dir", "dump", "--hyp_dir", "hyp"]
    done = command(benchmark, "--config", tmp_path / "b.yaml", *options)
    assert done.code == 1 and message in done.err and done.err.count("\n") == 1


def test_a_duel_is_decided_at_two_digits():
    """0.594 and 0.59 are equal, 0.595 is 0.60; what only one has does not count."""
    ours = {"a": Fraction("0.594"), "b": Fraction("0.595"), "c": Fraction(1), "d": Fraction(9)}
    assert published.duel(ours, {"a": Fraction("0.59"), "b": Fraction("0.59"), "c": Fraction(2)}) == (1, 1, 1)
