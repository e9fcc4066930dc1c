"""bin.benchmark: the published figures and their means, our own beside them counted by hand, and mistakes."""

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from espnet_llmasr.bin import benchmark
from espnet_llmasr.data.mixture import jobs, read_mixture
from espnet_llmasr.files import write_atomically
from espnet_llmasr.scoring.benchmark import (
    SCENARIOS,
    System,
    duel,
    read_cells,
    read_table,
    read_table_1,
    rounded,
    score_system,
)
from espnet_llmasr.text.routes import make_route

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "conf" / "benchmark.yaml"
SYSTEMS = "Fun-ASR-nano GLM-ASR-nano Qwen3-ASR-1.7B FireRedASR-LLM Step-Audio2-mini Qwen3-Omni-Instruct".split()


def row_of(text, label):
    """{column: text} of a table's row."""
    lines = [[field.strip() for field in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    (row,) = (line for line in lines if line[0] == label)
    head = next(line for line in lines if len(line) == len(row))
    return dict(zip(head[1:], row[1:], strict=True))


def write(root, name, **lines):
    """<root>/dump/<name>/text and <root>/hyp/<name>/text."""
    for folder, texts in lines.items():
        write_atomically(root / folder / name / "text", "".join(f"u{n} {t}\n" for n, t in enumerate(texts)))


@pytest.fixture
def dirs(tmp_path):
    """Two Mandarin cells with 20 and 0 %, an English one with 25 %, a code-switch one."""
    write(tmp_path, "aishell1_dev", dump=["你好吗", "今天"], hyp=["你坏吗", "今天"])
    write(tmp_path, "aishell1_test", dump=["你好"], hyp=["你好"])
    write(tmp_path, "librispeech_dev-clean", dump=["a b c d", "a b c d"], hyp=["a b d", "x a b c d"])
    write(tmp_path, "ascend_test", dump=["用meeting", "好"], hyp=["用meetink", "我不知道"])
    return ["--ref_dir", str(tmp_path / "dump"), "--hyp_dir", str(tmp_path / "hyp"), "--route", "none"]


def run(capsys, *options, config=CONFIG):
    benchmark.main(["--config", str(config), *map(str, options)])
    return capsys.readouterr().out


# ---- systems scored here -------------------------------------------------------------------------------------------


def test_our_column_counted_by_hand(dirs, tmp_path, capsys):
    """1 of 5, 0 of 2, 2 of 8; 用 meetink: 1 of 2, 我不知道 for 好: 4 of 1, together 5 of 3."""
    out = run(capsys, *dirs, "--size", "6M")
    expected = {
        **{"AISHELL-1 dev": "20.00", "AISHELL-1 test": "0.00", "LibriSpeech dev-clean": "25.00"},
        **{"ASCEND test": "166.67", "*mean of Mandarin*": "10.00", "*mean of English*": "25.00"},
        "**Average**": "52.92",  # (20 + 0 + 25 + 166.67) / 4, not the 8 errors of 18 tokens
    }
    assert {label: row_of(out, label)["Ours"].split()[0] for label in expected} == expected
    assert row_of(out, "KeSpeech test")["Ours"] == row_of(out, "*mean of Chinese Dialect*")["Ours"] == "-"
    assert row_of(out, "AISHELL-1 test")["Ours"] == "0.00"  # no interval from one utterance
    assert row_of(out, "Model size")["Ours"] == "6M" and row_of(out, "cells in it")["Ours"] == "4"
    common = row_of(out, "average over the cells of Ours")
    assert common["arXiv 2604.08003"] == "3.49" and common["Ours"] == "52.92"  # (0.45 + 0.59 + 1.11 + 11.79) / 4
    assert row_of(out, "win:lose (ties) of Ours")["arXiv 2604.08003"] == "1:3"
    assert row_of(out, "win:lose (ties) of arXiv 2604.08003")["Ours"] == "3:1"
    assert "16 of 20 sets are not there" in out and f"no references in {tmp_path}/dump for aishell2_dev_ios, " in out
    assert "each Latin letter as a character: ASCEND test 55.56." in out  # 1 of 8 and 4 of 1: 5 of 9
    assert "Normaliser route: none (2)." in out and "Table 3" not in out
    assert (tmp_path / "hyp" / "benchmark.md").read_text(encoding="utf-8") == out


def test_hallucinations_are_pooled_over_a_scenario(dirs, tmp_path, capsys):
    """By the paper's definition alone: an empty hypothesis is one by another."""
    write(tmp_path, "aishell1_dev", hyp=["", "今天"])
    ours = row_of(run(capsys, *dirs), "Ours")
    assert ours["Code-switch"].startswith("50.000 (") and "; 1/2; 1 of 2 sets)" in ours["Code-switch"]
    assert "; 0/3; 2 of 7 sets)" in ours["Mandarin"] and ours["Chinese Dialect"] == "-"


def test_json_has_the_counts(dirs, tmp_path, capsys):
    run(capsys, *dirs, "--out", tmp_path / "out" / "b.md")
    result = json.loads((tmp_path / "out" / "b.json").read_text(encoding="utf-8"))
    ours, paper = result["systems"]["Ours"], result["systems"]["arXiv 2604.08003"]
    assert paper["cells"]["AISHELL-1 dev"] == {"rate": 0.45} and paper["means"]["all"]["cells"] == 20
    assert paper["means"]["all"]["rate"] == pytest.approx(5.1195) and paper["published"] and not ours["published"]
    cell = ours["cells"]["LibriSpeech dev-clean"]
    counts = [cell[name] for name in ("correct", "substitutions", "deletions", "insertions", "utterances")]
    assert counts == [7, 0, 1, 1, 2] and cell["rate"] == 25 and cell["set"] == "librispeech_dev-clean"
    assert ours["cells"]["ASCEND test"]["hallucinated"] == ["u1"] and ours["cells"]["KeSpeech test"] is None
    assert ours["means"]["Code-switch"]["hallucinations"]["hits"] == 1 and ours["means"]["Chinese Dialect"] is None
    assert len(ours["absent"]) == 16
    assert ours["cells"]["AISHELL-1 test"]["interval"] == [None, None]  # of one utterance


def test_the_interval_of_an_average(tmp_path):
    """Cells independent: the mean's standard deviation is sqrt(v1 + v2) / 2; small and large cells weigh the same."""
    rng, sizes, rate = np.random.default_rng(0), {"aishell1_dev": 400, "aishell1_test": 100}, 0.2
    for name, size in sizes.items():
        errors = rng.random(size) < rate
        write(tmp_path, name, dump=["好"] * size, hyp=["坏" if error else "好" for error in errors])
    cells = read_cells(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["benchmarks"], "conf")
    ours = System("Ours", "-")
    score_system(ours, cells, tmp_path / "dump", tmp_path / "hyp", make_route("none"))
    low, high = ours.interval(["AISHELL-1 dev", "AISHELL-1 test"])
    rates = [float(value) / 100 for value in ours.rates.values()]
    deviation = 100 * sum(p * (1 - p) / n for p, n in zip(rates, sizes.values())) ** 0.5 / 2
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)
    assert (low + high) / 2 == pytest.approx(50 * sum(rates), abs=0.3 * deviation)


def test_systems_side_by_side(dirs, tmp_path, capsys):
    write(tmp_path, "aishell1_dev", other=["你好吗", "今天"])
    options = [*dirs[:4], tmp_path / "other", *dirs[4:], "--name", "A", "B", "--size", "1B", "2B"]
    out = run(capsys, *options)
    assert row_of(out, "AISHELL-1 dev")["A"].startswith("20.00 (") and row_of(out, "Model size")["B"] == "2B"
    assert (
        row_of(out, "AISHELL-1 dev")["B"].startswith("0.00 (0.00-")
        and row_of(out, "win:lose (ties) of B")["A"] == "1:0"
    )
    assert f"no hypotheses in {tmp_path}/other for aishell1_test, librispeech_dev-clean, ascend_test" in out
    for system in ("A", "arXiv 2604.08003"):
        assert not row_of(out, f"win:lose (ties) of {system}")[system]


def test_empty_hypotheses_are_counted(dirs, tmp_path, capsys):
    write(tmp_path, "aishell1_dev", hyp=["", "今天"])
    out = run(capsys, *dirs)
    assert row_of(out, "AISHELL-1 dev")["Ours"].startswith("60.00 (")
    assert "Ours: empty hypotheses: 1 in aishell1_dev." in out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--name", "FireRedASR-LLM"], "the name 'FireRedASR-LLM' is taken"),
        (["--name", "A", "B"], "1 folders of --hyp_dir but 2 of --name"),
        (["--name", "a|b"], "a name is one line without |"),
        (["--hyp_dir", "x", "y", "--inference_args", "--beam_size 1"], "--inference_args decodes for one system"),
        (["--hyp_dir", "x"], "no set of the configuration is in both"),
        (["--hyp_dir", "x", "x", "--name", "A", "A"], "the name 'A' is taken"),
        (["--out", "x.json"], "name it .md"),
    ],
)
def test_wrong_options_are_one_line(command, dirs, options, message):
    done = command(benchmark, "--config", CONFIG, *dirs, *options)
    assert done.code == 1 and message in done.err and done.err.count("\n") == 1


def test_the_problems_of_all_sets_at_once(command, dirs, tmp_path):
    write(tmp_path, "aishell1_dev", hyp=["你好吗"])
    write(tmp_path, "ascend_test", hyp=["用", "好", "多"])
    error = command(benchmark, "--config", CONFIG, *dirs).err
    assert "2 problems: [1]" in error and "no hypothesis (u1)" in error and "no reference (u2)" in error
    error = command(benchmark, "--config", CONFIG, *dirs[:3], tmp_path / "dump").err
    assert "4 problems" in error and "is the file of the references" in error
    assert not (tmp_path / "hyp" / "benchmark.md").exists()


def test_out_is_no_file_that_is_read(command, dirs, tmp_path):
    done = command(benchmark, "--config", CONFIG, *dirs, "--out", tmp_path / "dump/aishell1_dev/text")
    assert done.code == 1 and "has the name of an input" in done.err
    assert (tmp_path / "dump/aishell1_dev/text").read_text(encoding="utf-8") == "u0 你好吗\nu1 今天\n"


@pytest.mark.parametrize("name, message", [("./a", "set 'a' is given twice"), ("../a", "set ../a: a set is a folder")])
def test_names_of_sets(name, message):
    with pytest.raises(ValueError, match=message):
        read_cells([{"name": "AISHELL-1", "scenario": "Mandarin", "cells": {"dev": "a", "test": name}}], "conf")


def test_only_a_reference_or_only_hypotheses(command):
    done = command(benchmark, "--config", CONFIG, "--ref_dir", "dump")
    assert done.code == 1 and "--ref_dir and --hyp_dir go together" in done.err
    done = command(benchmark, "--config", CONFIG, "--name", "A")
    assert done.code == 1 and "give their folders, too" in done.err


# ---- decoding ------------------------------------------------------------------------------------------------------


def test_sets_without_hypotheses_are_decoded_first(dirs, tmp_path, capsys, monkeypatch):
    calls = []

    def decode(command):
        calls.append(command[2:])
        write_atomically(tmp_path / "hyp/kespeech_test/text", "u0 你好\n")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr("subprocess.run", decode)
    for name in ("kespeech_test", "ascend_test"):
        write_atomically(tmp_path / "dump" / name / "wav.scp", "u0 a.wav\n")
    write(tmp_path, "kespeech_test", dump=["你好吗今"])
    out = run(capsys, *dirs, "--inference_args", "--config 'a b.yaml' --device cuda")
    folders = ["--data_dir", f"{tmp_path}/dump/kespeech_test", "--output_dir", f"{tmp_path}/hyp/kespeech_test"]
    options = ["--config", "a b.yaml", "--device", "cuda"]
    assert calls == [["espnet_llmasr.bin.llm_asr_inference", *options, *folders]]
    assert row_of(out, "KeSpeech test")["Ours"] == "50.00"


def test_decoding_that_fails_is_one_more_line(dirs, tmp_path, command):
    write_atomically(tmp_path / "dump/kespeech_test/wav.scp", "u0 a.wav\n")
    done = command(benchmark, "--config", CONFIG, *dirs, "--inference_args", "--no_such_option 1")
    first, second = done.err.strip().splitlines()[-2:]
    assert done.code == 1 and first.startswith("llm_asr_inference: ") and "are required" in first
    assert second.startswith("benchmark: decoding") and "correct --inference_args" in second


# ---- the paper -----------------------------------------------------------------------------------------------------


def test_the_papers_averages_are_the_means_of_its_cells(capsys):
    out = run(capsys)
    printed = ("6.28", "8.71", "5.45", "6.46", "6.19", "6.24", "5.12")
    assert row_of(out, "**Average**") == dict(zip((*SYSTEMS, "arXiv 2604.08003"), printed))
    assert list(row_of(out, "cells in it").values()) == ["20", "20", "20", "18", "20", "20", "20"]
    assert list(row_of(out, "Model size").values()) == ["0.8B", "1.5B", "2.0B", "8B+", "8B+", "30B-A3B", "2.3B"]
    assert list(read_table("table_1")["Avg. CER/WER"].values()) == list(printed)


def test_cells_and_wins_of_the_paper(capsys):
    out = run(capsys)
    evals = ["12.61", "4.06", "7.38"]
    assert [row_of(out, f"AISHELL-2021-Eval {name}")["FireRedASR-LLM"] for name in "ACD"] == evals
    assert row_of(out, "WenetSpeech-Yue short")["FireRedASR-LLM"] == "-"
    assert list(row_of(out, "win:lose (ties) of arXiv 2604.08003").values())[:6] == [
        *("19:1", "20:0", "16:4", "14:4", "11:9", "12:8")
    ]


def test_a_smaller_configuration_counts_its_own_cells_only(tmp_path, capsys):
    config = tmp_path / "b.yaml"
    config.write_text("benchmarks: [{name: KeSpeech, scenario: Chinese Dialect, cells: {test: x}}]")
    out = run(capsys, config=config)
    assert list(row_of(out, "cells in it").values()) == ["1"] * 7
    assert row_of(out, "**Average**")["GLM-ASR-nano"] == "9.59"
    wins = list(row_of(out, "win:lose (ties) of arXiv 2604.08003").values())  # 4.56 beside the others
    assert wins[:6] == ["1:0", "1:0", "1:0", "0:1", "0:1", "1:0"]


def test_tables_2_and_3_as_printed(capsys):
    """(1.11 + 2.57 + 1.23 + 2.63 + 6.25 + 6.22) / 6 = 3.335, but Table 3 prints 3.35 (docs/benchmarks.md)."""
    out = run(capsys)
    assert row_of(out, "Qwen3-Omni-Instruct") == dict(zip(SCENARIOS, ("0.013", "0.370", "0.007", "1.778")))
    assert row_of(out, "Our full pipeline") == dict(zip(SCENARIOS, ("1.93", "10.42", "3.35", "8.39")))
    assert row_of(out, "*mean of English*")["arXiv 2604.08003"] == "3.34"


@pytest.mark.parametrize(
    "value, digits, text",
    [("3.335", 2, "3.34"), ("2.675", 2, "2.68"), ("0.005", 2, "0.01"), ("0.0025", 3, "0.003"), ("12", 2, "12.00")],
)
def test_halves_round_up(value, digits, text):
    assert rounded(Fraction(value), digits) == text


# ---- the configuration ---------------------------------------------------------------------------------------------


def test_the_sets_are_those_of_stage_1_in_zh_en(monkeypatch):
    mixture = read_mixture(ROOT / "egs2" / "zh_en" / "llmasr1" / "local" / "corpora.yaml")
    for rows in mixture.values():
        for row in rows:
            monkeypatch.setenv(row.src, "/corpora")
    sets = [line.split("\t")[1] for line in jobs(mixture) if line.startswith("test\t")]
    conf = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    cells = read_cells(conf["benchmarks"], "conf")
    assert [cell.set for cell in cells] == sets and conf["route"] == "paper"
    assert [cell.label for cell in cells] == read_table_1().labels and len(conf["benchmarks"]) == 10
    counts = [[cell.scenario for cell in cells].count(scenario) for scenario in SCENARIOS]
    assert counts == [7, 5, 6, 2]


def test_a_benchmark_that_the_paper_lacks(tmp_path, capsys):
    (tmp_path / "b.yaml").write_text(
        "benchmarks: [{name: THCHS30, scenario: Mandarin, cells: {test: thchs30}},"
        " {name: KeSpeech, scenario: Chinese Dialect, cells: {test: kespeech}}]"
    )
    write(tmp_path, "thchs30", dump=["你好"], hyp=["你好"])
    folders = ["--ref_dir", tmp_path / "dump", "--hyp_dir", tmp_path / "hyp", "--route", "none"]
    out = run(capsys, *folders, config=tmp_path / "b.yaml")
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
    assert duel(ours, {"a": Fraction("0.59"), "b": Fraction("0.59"), "c": Fraction(2)}) == (1, 1, 1)
