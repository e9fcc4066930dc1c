import json

import pytest
from espnet_llmasr.bin import score
from espnet_llmasr.bin._cli import run


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def dirs(tmp_path):
    write(tmp_path / "dump/test/text", ["a 今天 meeting", "b hello world", "c 你好"])
    write(tmp_path / "dec/test/text", ["a 今天 meting", "b hello world", "c"])
    write(tmp_path / "dump/zh/text", ["z 好"])
    write(tmp_path / "dec/zh/text", ["z x y z"])
    return ["--ref_dir", str(tmp_path / "dump"), "--hyp_dir", str(tmp_path / "dec")]


def exit_code(argv):
    with pytest.raises(SystemExit) as stopped:
        run(lambda: score.main(argv))
    return stopped.value.code


def test_table_file_and_alignments(dirs, tmp_path, capsys):
    score.main([*dirs, "test", "zh", "--out", str(tmp_path / "RESULTS.md")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| test | 3 | 42.86 | 50.00 | 33.33 | 1/2/0 | 66.67 | 1 | 0.00 (")
    assert lines[3].startswith("| zh | 1 | 300.00 | 100.00 | - | 1/0/2 | 100.00 | 0 | 100.00 (")
    assert lines[4].startswith("| all | 4 | ") and " | 2/2/2 | 75.00 | 1 | 25.00 (" in lines[4]  # the sums of both
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8").startswith("\n".join(lines))
    details = [json.loads(line) for line in open(tmp_path / "dec/test/alignments.jsonl", encoding="utf-8")]
    assert [d["id"] for d in details] == ["a", "b", "c"]
    assert details[0]["alignment"][2] == ["substitution", "meeting", "meting"]


def test_a_script_that_does_not_occur_has_no_rate(dirs, tmp_path, capsys):
    write(tmp_path / "dec/zh/text", ["z 好"])
    score.main([*dirs, "zh"])
    assert "| zh | 1 | 0.00 | 0.00 | - | 0/0/0 |" in capsys.readouterr().out


def test_phones(dirs, tmp_path, capsys):
    write(tmp_path / "dump/test/phones", ["a h ao3 HH AY", "b n i3"])
    write(tmp_path / "dec/test/phones", ["a h ao3 HH", "b n i3"])
    score.main([*dirs, "test", "--unit", "phone"])
    assert "| test | 2 | 16.67 | 0/1/0 | 50.00 | 0 |" in capsys.readouterr().out
    assert (tmp_path / "dec/test/phone_alignments.jsonl").exists()


@pytest.mark.parametrize(
    "hypotheses, message",
    [
        (["a 今天", "b x"], "1 references have no hypothesis"),
        (["a x", "b x", "c x", "d x"], "1 hypotheses have no reference"),
        (["a x", "b x", "c x", "c y"], "line 3 and in line 4"),
    ],
)
def test_bad_hypotheses_are_one_line_and_damage_nothing(dirs, tmp_path, capsys, hypotheses, message):
    write(tmp_path / "RESULTS.md", ["old"])
    write(tmp_path / "dec/test/text", hypotheses)
    assert exit_code([*dirs, "zh", "test", "--out", str(tmp_path / "RESULTS.md")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert (tmp_path / "RESULTS.md").read_text() == "old\n"
    assert not (tmp_path / "dec/zh/alignments.jsonl").exists()


@pytest.mark.parametrize("argv", [["nosuch"], ["test", "--beam", "3"], []])
def test_missing_set_and_unknown_option(dirs, capsys, argv):
    assert exit_code([*dirs, *argv]) == 1
    assert capsys.readouterr().err.count("\n") == 1
