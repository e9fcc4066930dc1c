"""bin.score: tables, figures and files against hand-made expectations; every mistake is one line."""

import json
import random
import re
import time
from html import escape

import pytest
from markdown_it import MarkdownIt

from espnet_llmasr.bin import score
from espnet_llmasr.cli import run as run_command
from espnet_llmasr.files import printable, write_atomically
from espnet_llmasr.scoring.markdown import cell_text
from espnet_llmasr.text.routes import Route, tokens_of


@pytest.fixture
def dirs(tmp_path):
    """Sets: test (mixed, one empty hypothesis) and zh (English for Mandarin)."""
    write(tmp_path / "dump/test/text", ["a 今天 meeting", "b hello world", "c 你好"])
    write(tmp_path / "dec/test/text", ["a 今天 meting", "b hello world", "c"])
    write(tmp_path / "dump/zh/text", ["z 好"])
    write(tmp_path / "dec/zh/text", ["z x y z"])
    return tmp_path


def write(path, lines):
    write_atomically(path, "".join(line + "\n" for line in lines))


def run(root, *options, routes="none"):
    score.main(["--ref_dir", str(root / "dump"), "--hyp_dir", str(root / "dec"), "--routes", routes, *options])


def rows(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def figures(root, name="scores.json"):
    return json.loads((root / "dec" / name).read_text(encoding="utf-8"))


def cells(line):
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def table(text, heading):
    """First cell -> the other cells, of the table below a heading."""
    lines = text.split(f"### {heading}")[1].split("\n\n")[1].splitlines()
    return {row[0]: row[1:] for row in map(cells, lines)}


def fake_routes(monkeypatch, **normalizers):
    made = {"none": Route("none", "2", lambda text, lang: text)}
    made |= {name: Route(name, "7, lib 2.0", normalize) for name, normalize in normalizers.items()}
    monkeypatch.setattr("espnet_llmasr.scoring.score.make_route", made.__getitem__)


def test_error_table_with_the_sum_of_both_sets(dirs, capsys):
    run(dirs, "test", "zh", "--out", str(dirs / "OUT.md"))
    printed = capsys.readouterr().out
    found = table(printed, "Error rates, route none (2)")
    rates = {name: [cell.split(" ")[0] for cell in row] for name, row in found.items()}
    assert rates["test"] == ["3", "42.86", "50.00", "33.33", "4/1/2/0", "66.67", "1", "0", "0"]
    assert rates["zh"] == ["1", "300.00", "100.00", "-", "0/1/0/2", "100.00", "0", "0", "0"]
    assert rates["all"] == ["4", "75.00", "60.00", "133.33", "4/2/2/2", "75.00", "1", "0", "0"]
    assert found["test"][5] == "66.67 (20.77-93.85)"  # Wilson for 2 of 3, by hand
    content = (dirs / "dec/scores.md").read_text(encoding="utf-8")
    assert content.startswith(printed) and (dirs / "OUT.md").read_text(encoding="utf-8") == content
    for column in re.findall(r"\| ([^|]+?) (?=\|)", printed.split("\n")[2]):
        assert column == "set" or f"**{column}**:" in content, column


def test_bootstrap_intervals_are_reproducible_and_hold_the_rate(dirs):
    run(dirs)
    first = figures(dirs)["sets"]["test"]["routes"]["none"]["mer"]
    low, high = first["interval"]
    assert 0 <= low < first["rate"] == 3 / 7 < high <= 1
    run(dirs)
    assert figures(dirs)["sets"]["test"]["routes"]["none"]["mer"] == first


def test_figures(dirs):
    run(dirs, "test")
    found = figures(dirs)
    assert found["routes"] == ["none (2)"] and list(found["sets"]) == ["test"]
    errors = found["sets"]["test"]["routes"]["none"]
    counts = {"correct": 4, "substitutions": 1, "deletions": 2, "insertions": 0, "reference_tokens": 7, "rate": 3 / 7}
    assert {key: errors["mer"][key] for key in counts} == counts
    assert errors["cer_letters"]["deletions"] == 3  # e, 你, 好
    assert errors["sentence_error"]["count"] == 2 and errors["empty_hypotheses"] == 1
    assert found["sets"]["test"]["guard"] is None
    assert found["sets"]["test"]["hallucination"]["length"]["count"] == 1  # c is empty


def test_alignments_hold_the_texts_as_given(dirs):
    write(dirs / "dump/test/wav.scp", ["a audio/a.flac#t=1.000,2.000", "b audio/b.wav"])
    write(dirs / "dec/test/text", ["a 今天, Meting!", "b hello world", "c"])
    run(dirs, "test")
    found = rows(dirs / "dec/test/alignments.jsonl")
    assert [row["id"] for row in found] == ["a", "b", "c"] and found[0]["route"] == "none (2)"
    assert (found[0]["reference"], found[0]["hypothesis"]) == ("今天 meeting", "今天, Meting!")
    assert found[0]["alignment"][2] == ["substitution", "meeting", "meting"]
    assert [found[0][name] for name in ("correct", "substitutions", "deletions", "insertions")] == [2, 1, 0, 0]
    assert [row["audio"] for row in found] == ["audio/a.flac#t=1.000,2.000", "audio/b.wav", None]


def test_sets_of_both_folders_and_those_of_one_side(dirs, capsys, caplog):
    write(dirs / "dump/train/text", ["t x"])
    write(dirs / "dec/other/text", ["t x"])
    (dirs / "dec/log").mkdir()
    run(dirs)
    assert list(figures(dirs)["sets"]) == ["test", "zh"]
    assert figures(dirs)["all"]["utterances"] == 4
    assert (figures(dirs)["only_in_ref"], figures(dirs)["only_in_hyp"]) == (["train"], ["other"])
    content = (dirs / "dec/scores.md").read_text(encoding="utf-8")
    for note in ("Not scored, as only in the references: train.", "Not scored, as only in the hypotheses: other."):
        assert note in caplog.messages and note in content


def test_a_text_in_the_folder_itself(dirs):
    run_in = ["--ref_dir", str(dirs / "dump/test"), "--hyp_dir", str(dirs / "dec/test"), "--routes", "none"]
    score.main(run_in)
    assert list(figures(dirs, "test/scores.json")["sets"]) == ["test"]
    assert len(rows(dirs / "dec/test/alignments.jsonl")) == 3 and (dirs / "dec/test/worst.html").exists()


def test_routes_side_by_side_and_fallbacks(dirs, monkeypatch, capsys):
    fake_routes(monkeypatch, paper=lambda text, lang: text.replace("好", ""))
    run(dirs, "zh", "test", routes="paper,none")
    printed = capsys.readouterr().out
    main = table(printed, "Error rates, route paper (7, lib 2.0)")
    assert {name: row[-1] for name, row in main.items() if name != "---"} == {
        "set": "fallback",
        "zh": "1",
        "test": "0",
        "all": "1",
    }
    found = table(printed, "Error rate under every route")
    assert found["set"] == ["paper %", "none %"]
    assert [cell.split(" ")[0] for cell in found["test"]] == ["33.33", "42.86"]  # 2 of 6 and 3 of 7
    errors = figures(dirs)["sets"]["zh"]["routes"]
    assert errors["paper"]["fallbacks"] == ["z"] and errors["none"]["fallbacks"] == []
    assert figures(dirs)["routes"] == ["paper (7, lib 2.0)", "none (2)"]
    assert rows(dirs / "dec/test/alignments.jsonl")[2]["deletions"] == 1  # the main route's


def test_a_loop_that_the_route_hides_is_found(dirs, monkeypatch):
    fake_routes(monkeypatch, paper=lambda text, lang: text.replace("ha ", ""))
    write(dirs / "dump/test/text", ["a one two three", "b one", "c two"])
    write(dirs / "dec/test/text", ["a one two three " + "ha " * 8 + "x", "b one", "c two"])
    write(dirs / "dump/test/wav.scp", ["a a.wav"])
    run(dirs, "test", routes="paper")
    (found,) = rows(dirs / "dec/test/hallucinations.jsonl")
    assert (found["id"], found["hallucinations"], found["audio"]) == ("a", ["loop"], "a.wav")
    assert figures(dirs)["sets"]["test"]["hallucination"]["loop"]["count"] == 1
    page = (dirs / "dec/worst.html").read_text(encoding="utf-8")
    assert "Hallucinated by any rule (1)<" in page


def test_hallucination_columns(dirs, capsys):
    run(dirs, "zh")
    found = table(capsys.readouterr().out, "Hallucination")
    assert found["zh"] == [
        "1",
        "1, 100.00 (20.65-100.00)",
        "1, 100.00 (20.65-100.00)",
        "0, 0.00 (0.00-79.35)",
        "0",
        "-",
        "-",
    ]


@pytest.mark.parametrize("name, value", [("utt2dur", "30.0"), ("utt2num_frames", "3000"), (None, None)])
def test_non_speech(dirs, capsys, name, value):
    """6 characters in a minute, blanks not counted; one of two, though there are three utterances."""
    write(dirs / "dump/test/text", ["a hello", "b", "c ..."])
    write(dirs / "dec/test/text", ["a hello", "b th anks", "c"])
    if name:
        write(dirs / "dump/test" / name, [f"{uid} {value}" for uid in "bc"])
    run(dirs, "test")
    found = table(capsys.readouterr().out, "Hallucination")["test"]
    assert found[4:6] == ["2", "1, 50.00 (9.45-90.55)"]
    assert found[6].split(" (")[0] == ("6.0" if name else "-")
    non_speech = figures(dirs)["sets"]["test"]["non_speech"]
    assert (non_speech["non_empty"]["count"], non_speech["non_empty"]["of"]) == (1, 2)
    assert non_speech["chars_per_minute"] == (6.0 if name else None)
    if name:  # one of two clips with 6 characters, the other with none
        low, high = non_speech["chars_per_minute_interval"]
        assert found[6] == f"6.0 ({low:.1f}-{high:.1f})" and (low, high) == (0.0, pytest.approx(12.0))
    else:
        assert non_speech["chars_per_minute_interval"] is None


def test_nothing_but_non_speech(dirs, capsys):
    write(dirs / "dump/test/text", ["a", "b"])
    write(dirs / "dec/test/text", ["a x", "b"])
    run(dirs, "test")
    found = table(capsys.readouterr().out, "Error rates, route none (2)")["test"]
    assert found[:5] == ["2", "-", "-", "-", "0/0/0/1"]
    assert figures(dirs)["sets"]["test"]["routes"]["none"]["mer"]["rate"] is None


def test_missing_as_empty_is_shown(dirs, capsys):
    write(dirs / "dec/test/text", ["a 今天 meeting", "c 你好"])
    run(dirs, "zh", "test", "--missing_as_empty")
    found = table(capsys.readouterr().out, "Error rates, route none (2)")
    assert [found["test"][column] for column in (4, 6, 7)] == ["5/0/2/0", "1", "1"] and found["all"][7] == "1"
    assert figures(dirs)["sets"]["test"]["missing_counted_as_empty"] == ["b"]


def test_guard_table_and_confidence(dirs, capsys):
    write(dirs / "dec/test/confidence", ["a 0.9", "b 1", "c 0"])
    write(dirs / "dec/test/flagged", ["c witness"])
    run(dirs)
    found = table(capsys.readouterr().out, "Guard")
    assert found["test"] == ["3", "1, 33.33 (6.15-79.23)", "20.00", "100.00"] and "zh" not in found
    assert [row["confidence"] for row in rows(dirs / "dec/test/alignments.jsonl")] == [0.9, 1.0, 0.0]
    guard = figures(dirs)["sets"]["test"]["guard"]
    assert (guard["flagged"]["count"], guard["mer_of_kept"]["rate"], guard["mer_of_flagged"]["rate"]) == (1, 0.2, 1.0)
    write(dirs / "dec/test/flagged", [])
    run(dirs, "test")
    assert table(capsys.readouterr().out, "Guard")["test"] == ["3", "0, 0.00 (0.00-56.15)", "42.86", "-"]


def test_worst_utterances_first(dirs):
    run(dirs)
    page = (dirs / "dec/worst.html").read_text(encoding="utf-8")
    part = page.split("test, with errors (2)<")[1]
    assert re.findall(r"<h3>\d+\. (\w+)", part) == ["c", "a", "z"]


def test_phones(dirs, capsys):
    write(dirs / "dump/test/phones", ["a h ao3 HH AY", "b n i3"])
    write(dirs / "dec/test/phones", ["a h ao3 HH", "b n i3"])
    run(dirs, "test", "--unit", "phone")
    row = next(cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("| test"))
    assert row[1] == "2" and row[2].startswith("16.67 (") and row[3] == "5/0/1/0" and row[5:] == ["0", "0"]
    assert (dirs / "dec/test/phone_alignments.jsonl").exists() and not (dirs / "dec/scores.md").exists()
    assert figures(dirs, "phone_scores.json")["sets"]["test"]["per"]["rate"] == 1 / 6
    assert "**PER %**" in (dirs / "dec/phone_scores.md").read_text()


def test_a_set_counts_once_however_it_is_written_and_hidden_folders_are_none(dirs, capsys):
    for folder in ("dump", "dec"):
        write(dirs / folder / ".test.old/text", ["a x"])
    run(dirs, "zh", "zh/", "./zh")
    assert list(figures(dirs)["sets"]) == ["zh"]
    run(dirs)
    assert list(figures(dirs)["sets"]) == ["test", "zh"]


def test_names_of_sets_that_a_table_could_mistake(dirs, capsys):
    (dirs / "dump/zh").rename(dirs / "dump/all")
    (dirs / "dec/zh").rename(dirs / "dec/all")
    (dirs / "dump/test").rename(dirs / "dump/a|b")
    (dirs / "dec/test").rename(dirs / "dec/a|b")
    run(dirs)
    table = capsys.readouterr().out.partition("\n\n")[2].split("\n")
    assert [line.partition(" | ")[0] for line in table[2:5]] == ["| all", "| a\\|b", "| all sets"]


NAMES = {
    "<b>set": "&lt;b&gt;set",
    "a&amp;b": "a&amp;amp;b",
    "*bold* `code`": "\\*bold\\* \\`code\\`",
    "[link](x)": "\\[link\\](x)",
    "_x_ test_clean": "\\_x\\_ test_clean",
    "red\x1b[31m": "red\\\\x1b\\[31m",
    "c1\x9b1m": "c1\\\\x9b1m",
    "a\\b~~c~~": "a\\\\b\\~\\~c\\~\\~",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_sets_are_neither_html_nor_markdown_nor_orders_to_a_terminal(dirs, capsys, name):
    for folder in ("dump", "dec"):
        (dirs / folder / "test").rename(dirs / folder / name)
    write(dirs / "dump" / f"{name}2" / "text", ["a x"])
    run(dirs)
    printed, written = capsys.readouterr().out, (dirs / "dec/scores.md").read_text(encoding="utf-8")
    assert f"\n| {NAMES[name]} |" in printed and f"\n| {NAMES[name]} |" in written
    assert f"- Not scored, as only in the references: {cell_text(f'{name}2')}." in written
    assert "<" not in written and "\x1b" not in printed + written and "\x9b" not in printed + written
    html = MarkdownIt("commonmark").enable("table").render(written)
    assert f"<td>{escape(printable(name))}</td>" in html


def test_labels_of_several_han_characters_are_one_each(dirs):
    write(dirs / "dump/test/phones", ["a 你好 世界", "b 中 国"])
    write(dirs / "dec/test/phones", ["a 你好 视界", "b 中 国"])
    run(dirs, "--unit", "phone")
    per = figures(dirs, "phone_scores.json")["sets"]["test"]["per"]
    assert (per["correct"], per["substitutions"], per["rate"]) == (3, 1, 0.25)


def test_the_reference_decides_how_both_sides_are_normalised():
    route = Route("named", "1", lambda text, lang: f"{lang} {text}")
    assert tokens_of(route, "hello", "你好") == (["en", "hello"], ["en", "你", "好"], False)
    assert tokens_of(route, "你好", "hello") == (["zh", "你", "好"], ["zh", "hello"], False)


# ---- mistakes ------------------------------------------------------------------------------------------------------


DIGITS_ONLY = {
    "a": ("13800138000", "幺三八零零幺三八零零零"),
    "b": ("20%", "百分之二十"),
    "c": ("2021-01-05", "二零二一年一月五日"),
    "d": ("35℃", "三十五摄氏度"),
    "e": ("110", "幺幺零"),
    "f": ("3.14", "三点一四"),
    "g": ("10:30", "十点三十分"),
    "h": ("¥3.5", "三点五元"),
    "i": ("3/4", "四分之三"),
}


@pytest.mark.parametrize("lang, rate", [("zh", 0), ("yue", 0), ("zh-en", 0), ("en", 1), (None, 1)])
def test_utt2lang_decides_how_references_of_digits_are_read(tmp_path, lang, rate):
    pytest.importorskip("tn", reason="pip install WeTextProcessing")
    for side, part in (("dump", 0), ("dec", 1)):
        write(tmp_path / side / "s/text", [f"{uid} {pair[part]}" for uid, pair in DIGITS_ONLY.items()])
    if lang:
        write(tmp_path / "dump/s/utt2lang", [f"{uid} {lang}" for uid in DIGITS_ONLY])
    run(tmp_path, routes="paper")
    score = figures(tmp_path)["sets"]["s"]["routes"]["paper"]
    assert score["mer"]["rate"] == rate if not rate else score["sentence_error"]["rate"] == rate


def test_without_utt2lang_most_references_decide_and_an_utterance_s_own_language_goes_first(tmp_path):
    pytest.importorskip("tn", reason="pip install WeTextProcessing")
    write(tmp_path / "dump/s/text", ["a 今天好", "b 明天好", "c hello", "d 3.14", "e 110"])
    write(tmp_path / "dec/s/text", ["a 今天好", "b 明天好", "c hello", "d 三点一四", "e one hundred and ten"])
    write(tmp_path / "dump/s/utt2lang", ["e en"])
    run(tmp_path, routes="paper")
    assert figures(tmp_path)["sets"]["s"]["routes"]["paper"]["mer"]["rate"] == 0


def test_references_of_400_digits_are_read_by_digit_and_counted(tmp_path):
    """With WeTextProcessing's grammars they would take minutes."""
    pytest.importorskip("tn", reason="pip install WeTextProcessing")
    draw = random.Random(0)
    lines = {f"u{number:02}": "".join(draw.choices("0123456789", k=400)) for number in range(12)}
    for side in ("dump", "dec"):
        write(tmp_path / side / "s/text", [*(f"{uid} {digits}" for uid, digits in lines.items()), "v 25 people"])
    start = time.process_time()
    run(tmp_path, routes="paper")
    assert time.process_time() - start < 30
    score = figures(tmp_path)["sets"]["s"]["routes"]["paper"]
    assert score["mer"]["correct"] == 12 * 400 + 3 and score["fallbacks"] == sorted(lines)
    content = (tmp_path / "dec/scores.md").read_text(encoding="utf-8")
    assert "more digits on a side than the route's grammar reads in time" in content


@pytest.fixture
def two(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / "dump" / name / "text", ["a 今天", "b hello world", "c 你好"])
        write(tmp_path / "dec" / name / "text", ["a 今天", "b hello", "c 你好"])
    write(tmp_path / "dec/scores.md", ["old"])
    return tmp_path


def error_of(two, capsys, *options, routes="none"):
    """What is printed; nothing may have changed."""
    before = {path: path.read_bytes() for path in two.rglob("*") if path.is_file()}
    argv = ["--ref_dir", str(two / "dump"), "--hyp_dir", str(two / "dec"), "--routes", routes, *options]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: score.main(argv))
    printed = capsys.readouterr()
    assert stopped.value.code == 1 and printed.err.count("\n") == 1 and printed.out == ""
    assert {path: path.read_bytes() for path in two.rglob("*") if path.is_file()} == before
    return printed.err.partition(": ")[2].replace(f"{two}/", "")


@pytest.mark.parametrize(
    "file, lines, message",
    [
        ("dec/two/text", ["a 今天", "b x"], ": 1 references have no hypothesis (c) (--missing_as_empty counts"),
        ("dec/two/text", ["a x", "b x", "c x", "d x", "e x"], ": 2 hypotheses have no reference (d, e)\n"),
        ("dec/two/text", [], ": 3 references have no hypothesis (a, b, c)"),
        ("dec/two/text", ["a x", "b x", "b y", "c x", "c y", "c z"], ": ids must be unique, but 2 (b, c) occur more"),
        ("dump/one/text", [], " is empty: there are no references to score"),
        ("dec/two/flagged", ["x witness"], ": 1 (x) of 1 ids are of no utterance in this set"),
        ("dec/two/confidence", ["a nan", "b 0.5", "c inf"], ": 2 (a nan, c inf) of 3 utterances have no number in [0"),
        ("dec/two/confidence", ["a 1.01", "b -0.1", "c x"], ": 3 (a 1.01, b -0.1, c x) of 3 utterances have no num"),
        ("dec/two/confidence", ["a 0.5"], ": 2 (b, c) of 3 utterances are not in it"),
        ("dec/two/confidence", ["a 0", "b 0", "c 1", "d 0"], ": 1 (d) of 4 ids are of no utterance in this set"),
        ("dec/two/confidence", ["a 0", "b 0", "c"], ": 1 (c nothing) of 3 utterances have no number"),
        ("dec/two/confidence", ["a 0", "b 0", "c 1", "c 1"], ": ids must be unique, but 1 (c)"),
    ],
)
def test_files_that_do_not_fit(two, capsys, file, lines, message):
    write(two / file, lines)
    assert file + message in error_of(two, capsys)


def test_an_unknown_utterance_is_refused_with_missing_as_empty_too(two, capsys):
    write(two / "dec/two/text", ["x x"])
    error = error_of(two, capsys, "--missing_as_empty")
    assert error == "dec/two/text: 1 hypotheses have no reference (x)\n"


@pytest.mark.parametrize("side", ["dump", "dec"])
def test_many_ids_are_counted_and_the_first_named(two, capsys, side):
    lines = (two / side / "two/text").read_text(encoding="utf-8").splitlines()
    write(two / side / "two/text", [*lines, *(f"u{n} x" for n in range(7)), *(f"u{n} y" for n in range(7))])
    error = error_of(two, capsys)
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
def test_wrong_encodings(two, capsys, content, message):
    (two / "dec/two/text").write_bytes(content)
    error = error_of(two, capsys)
    assert message in error and "problems" not in error


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(two):
    (two / "dec/two/text").write_bytes("\ufeffa 今天\r\nb hello\r\n\r\nc 你好\r\n".encode("utf-8"))
    score.main(["--ref_dir", str(two / "dump"), "--hyp_dir", str(two / "dec"), "--routes", "none", "two"])


def test_the_problems_of_all_sets_at_once(two, capsys):
    write(two / "dump/one/text", ["a 今天", "a 今天", "b hello world", "c 你好"])
    write(two / "dec/one/text", ["a x", "b x", "c x", "d x"])
    (two / "dec/two/text").write_bytes(b"a \xff\n")
    assert error_of(two, capsys, "one", "two", "nosuch") == (
        "5 problems: [1] dump/one/text: ids must be unique, but 1 (a) occur more than once; "
        "[2] dec/one/text: 1 hypotheses have no reference (d); "
        "[3] dec/two/text is not UTF-8 text in 1 line (line 1): convert it, for example with iconv -f GB18030 -t "
        "UTF-8; [4] dump/nosuch/text does not exist; [5] dec/nosuch/text does not exist\n"
    )


@pytest.mark.parametrize("value", ["nan", "0", "-1", "long"])
def test_bad_lengths_of_audio_without_speech(two, capsys, value):
    write(two / "dump/two/text", ["a 今天", "b hello world", "c"])
    write(two / "dump/two/utt2dur", ["a nan", f"c {value}"])
    error = error_of(two, capsys)
    assert f"dump/two/utt2dur: 1 (c {value}) of 1 utterances have no number above 0" in error


def test_no_common_set_no_folder_and_the_same_folder(two, capsys):
    (two / "dec/one").rename(two / "dec/een")
    (two / "dec/two").rename(two / "dec/twee")
    error = error_of(two, capsys)
    assert "no set is in both folders: dump has 2 (one, two), dec has 2 (een, twee); expected <set>/text" in error
    error = error_of(two, capsys, "--hyp_dir", str(two / "dec/een"))
    assert "dump has 2 (one, two), dec/een has none; expected" in error
    assert "dec/text does not exist" in error_of(two, capsys, "--ref_dir", str(two / "dump/one"))
    assert "no folder nosuch" in error_of(two, capsys, "--hyp_dir", str(two / "nosuch"))
    assert "are both dump: a set compared with itself" in error_of(two, capsys, "--hyp_dir", str(two / "dump"))


@pytest.mark.parametrize(
    "options, message",
    [
        ("--routes none,papers", "unknown normaliser route 'papers'"),
        ("--routes ,", "no route is named"),
        ("--beam 3", "--beam"),
        ("../dump/two", "set ../dump/two: a set is a folder below"),
        ("/", "set /: a set is a folder below"),
        ("--out dump/one/text", "dump/one/text has the name of an input: choose another name"),
        ("--out dec/scores.json", "dec/scores.json is the file of another result"),
        ("--out dec", "Is a directory, expected the name of a file: 'dec'"),
        ("--out dec/one/text/scores.md", "File exists: 'dec/one/text'"),
    ],
)
def test_wrong_options(two, capsys, monkeypatch, options, message):
    monkeypatch.chdir(two)
    assert message in error_of(two, capsys, *options.split())
    assert not list(two.rglob(".*"))


def test_the_references_given_as_hypotheses_and_a_text_beside_sets(two, capsys):
    (two / "dec/two/text").unlink()
    (two / "dec/two/text").symlink_to(two / "dump/two/text")
    assert "dec/two/text is the file of the references: a set compared with itself" in error_of(two, capsys)
    write(two / "dump/text", ["a x"])
    assert "dump has text itself and dec the sets 2 (one, two): name the sets, or ." in error_of(two, capsys)
