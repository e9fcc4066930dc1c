"""bin.score: every mistake is one line that names and counts, and nothing is written."""

import pytest
from espnet_llmasr.bin import score
from espnet_llmasr.cli import run


@pytest.fixture
def dirs(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / "dump" / name / "text", ["a 今天", "b hello world", "c 你好"])
        write(tmp_path / "dec" / name / "text", ["a 今天", "b hello", "c 你好"])
    write(tmp_path / "dec/scores.md", ["old"])
    return tmp_path


def write(path, lines, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding=encoding)


def error_of(dirs, capsys, *options, routes="none"):
    """What is printed; nothing may have changed."""
    before = {path: path.read_bytes() for path in dirs.rglob("*") if path.is_file()}
    argv = ["--ref_dir", str(dirs / "dump"), "--hyp_dir", str(dirs / "dec"), "--routes", routes, *options]
    with pytest.raises(SystemExit) as stopped:
        run(lambda: score.main(argv))
    printed = capsys.readouterr()
    assert stopped.value.code == 1 and printed.err.count("\n") == 1 and printed.out == ""
    assert {path: path.read_bytes() for path in dirs.rglob("*") if path.is_file()} == before
    return printed.err.partition(": ")[2].replace(f"{dirs}/", "")


@pytest.mark.parametrize(
    "hypotheses, message",
    [
        (["a 今天", "b x"], "dec/two/text: 1 references have no hypothesis (c) (--missing_as_empty counts"),
        (["a x", "b x", "c x", "d x", "e x"], "dec/two/text: 2 hypotheses have no reference (d, e)\n"),
        ([], "3 references have no hypothesis (a, b, c)"),
        (["a x", "b x", "b y", "c x", "c y", "c z"], "dec/two/text: ids must be unique, but 2 (b, c) occur more"),
    ],
)
def test_hypotheses_that_do_not_fit(dirs, capsys, hypotheses, message):
    write(dirs / "dec/two/text", hypotheses)
    assert message in error_of(dirs, capsys)


def test_an_unknown_utterance_is_refused_with_missing_as_empty_too(dirs, capsys):
    write(dirs / "dec/two/text", ["x x"])
    error = error_of(dirs, capsys, "--missing_as_empty")
    assert error == "dec/two/text: 1 hypotheses have no reference (x)\n"


@pytest.mark.parametrize("side", ["dump", "dec"])
def test_many_ids_are_counted_and_the_first_named(dirs, capsys, side):
    lines = (dirs / side / "two/text").read_text(encoding="utf-8").splitlines()
    write(dirs / side / "two/text", [*lines, *(f"u{n} x" for n in range(7)), *(f"u{n} y" for n in range(7))])
    error = error_of(dirs, capsys)
    assert f"{side}/two/text: ids must be unique, but 7 (u0, u1, u2, u3, u4, ...) occur more than once" in error


@pytest.mark.parametrize(
    "content, message",
    [
        ("a 今天\nb x\nc y\n".encode("utf-16"), "dec/two/text is UTF-16, expected UTF-8"),
        (b"a x\rb x\rc y\r", "dec/two/text has carriage returns but no line ends: convert it"),
        ("a x\nb x\nc y\n".encode("utf-16-le"), "dec/two/text holds NUL bytes in 4 lines (line 1, 2, 3, 4)"),
        (b"a x\nb x\0\nc y\n", "dec/two/text holds NUL bytes in 1 line (line 2): it is damaged"),
        ("a x\nb 今天\nc 你好\n".encode("gbk"), "dec/two/text is not UTF-8 text in 2 lines (line 2, 3): convert it"),
    ],
)
def test_wrong_encodings(dirs, capsys, content, message):
    (dirs / "dec/two/text").write_bytes(content)
    error = error_of(dirs, capsys)
    assert message in error and "problems" not in error


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(dirs):
    (dirs / "dec/two/text").write_bytes("\ufeffa 今天\r\nb hello\r\n\r\nc 你好\r\n".encode("utf-8"))
    score.main(["--ref_dir", str(dirs / "dump"), "--hyp_dir", str(dirs / "dec"), "--routes", "none", "two"])


def test_no_references(dirs, capsys):
    write(dirs / "dump/one/text", [])
    assert "dump/one/text is empty: there are no references to score" in error_of(dirs, capsys)


def test_the_problems_of_all_sets_at_once(dirs, capsys):
    write(dirs / "dump/one/text", ["a 今天", "a 今天", "b hello world", "c 你好"])
    write(dirs / "dec/one/text", ["a x", "b x", "c x", "d x"])
    (dirs / "dec/two/text").write_bytes(b"a \xff\n")
    assert error_of(dirs, capsys, "one", "two", "nosuch") == (
        "5 problems: [1] dump/one/text: ids must be unique, but 1 (a) occur more than once; "
        "[2] dec/one/text: 1 hypotheses have no reference (d); "
        "[3] dec/two/text is not UTF-8 text in 1 line (line 1): convert it, for example with iconv -f GB18030 -t "
        "UTF-8; [4] dump/nosuch/text does not exist; [5] dec/nosuch/text does not exist\n"
    )


@pytest.mark.parametrize(
    "lines, message",
    [
        (["a nan", "b 0.5", "c inf"], "dec/two/confidence: 2 (a nan, c inf) of 3 utterances have no number in [0, 1]"),
        (["a 1.01", "b -0.1", "c x"], "3 (a 1.01, b -0.1, c x) of 3 utterances have no number in [0, 1]"),
        (["a 0.5"], "dec/two/confidence: 2 (b, c) of 3 utterances are not in it"),
        (["a 0", "b 0", "c 1", "d 0"], "dec/two/confidence: 1 (d) of 4 ids are of no utterance in this set"),
        (["a 0", "b 0", "c"], "1 (c nothing) of 3 utterances have no number"),
        (["a 0", "b 0", "c 1", "c 1"], "dec/two/confidence: ids must be unique, but 1 (c)"),
    ],
)
def test_bad_confidence(dirs, capsys, lines, message):
    write(dirs / "dec/two/confidence", lines)
    assert message in error_of(dirs, capsys)


def test_a_flag_of_an_unknown_utterance(dirs, capsys):
    write(dirs / "dec/two/flagged", ["x witness"])
    assert "dec/two/flagged: 1 (x) of 1 ids are of no utterance in this set" in error_of(dirs, capsys)


@pytest.mark.parametrize("value", ["nan", "0", "-1", "long"])
def test_bad_lengths_of_audio_without_speech(dirs, capsys, value):
    write(dirs / "dump/two/text", ["a 今天", "b hello world", "c"])
    write(dirs / "dump/two/utt2dur", ["a nan", f"c {value}"])
    error = error_of(dirs, capsys)
    assert f"dump/two/utt2dur: 1 (c {value}) of 1 utterances have no number above 0" in error


def test_no_common_set_no_folder_and_the_same_folder(dirs, capsys):
    (dirs / "dec/one").rename(dirs / "dec/een")
    (dirs / "dec/two").rename(dirs / "dec/twee")
    error = error_of(dirs, capsys)
    assert "no set is in both folders: dump has 2 (one, two), dec has 2 (een, twee); expected <set>/text" in error
    error = error_of(dirs, capsys, "--hyp_dir", str(dirs / "dec/een"))
    assert "dump has 2 (one, two), dec/een has none; expected" in error
    assert "dec/text does not exist" in error_of(dirs, capsys, "--ref_dir", str(dirs / "dump/one"))
    assert "no folder nosuch" in error_of(dirs, capsys, "--hyp_dir", str(dirs / "nosuch"))
    assert "are both dump: a set compared with itself" in error_of(dirs, capsys, "--hyp_dir", str(dirs / "dump"))


@pytest.mark.parametrize(
    "options, message",
    [
        (["--routes", "none,papers"], "unknown normaliser route 'papers'"),
        (["--routes", ","], "no route is named"),
        (["--beam", "3"], "--beam"),
    ],
)
def test_wrong_options(dirs, capsys, options, message):
    assert message in error_of(dirs, capsys, *options)


@pytest.mark.parametrize("name", ["../dump/two", "/"])
def test_sets_outside_of_the_folders(dirs, capsys, name):
    assert f"set {name}: a set is a folder below" in error_of(dirs, capsys, name)


def test_a_set_that_is_a_link_to_the_references(dirs, capsys):
    (dirs / "dec/two/text").unlink()
    (dirs / "dec/two/text").symlink_to(dirs / "dump/two/text")
    assert "dec/two/text is the file of the references: a set compared with itself" in error_of(dirs, capsys)


def test_a_text_beside_sets(dirs, capsys):
    write(dirs / "dump/text", ["a x"])
    assert "dump has text itself and dec the sets 2 (one, two): name the sets, or ." in error_of(dirs, capsys)


@pytest.mark.parametrize(
    "out, message",
    [
        ("dump/one/text", "dump/one/text has the name of an input: choose another name"),
        ("dec/scores.json", "dec/scores.json is the file of another result"),
        ("dec", "Is a directory, expected the name of a file: 'dec'"),
        ("dec/one/text/scores.md", "File exists: 'dec/one/text'"),
    ],
)
def test_out_where_nothing_may_be_written(dirs, capsys, out, message):
    assert message in error_of(dirs, capsys, "--out", str(dirs / out))
    assert not list(dirs.rglob(".*"))
