"""bin.compare: what it says, its table, figures and page against hand-made expectations."""

import json
from pathlib import Path

import pytest

from espnet_llmasr.bin import compare
from espnet_llmasr.files import write_atomically
from espnet_llmasr.metrics.significance import Comparison
from espnet_llmasr.scoring.compare import round_up, sentence, system_names


def write(path, lines):
    write_atomically(path, "".join(line + "\n" for line in lines))


def folders(ref, new, old):
    return ["--ref_dir", ref, "--hyp_dir", new, "--other_hyp_dir", old, "--route", "none"]


@pytest.fixture
def root(tmp_path):
    """mixed: `new` is right, `old` misses one Han character in 12 of 20; zh: they make the same error."""
    uids = [f"u{number:02}" for number in range(20)]
    write(tmp_path / "ref/mixed/text", [f"{uid} 今天去 meeting" for uid in uids])
    write(tmp_path / "ref/mixed/wav.scp", [f"{uid} audio/{uid}.wav" for uid in uids])
    write(tmp_path / "new/dec/mixed/text", [f"{uid} 今天去 meeting" for uid in uids])
    old = [f"{uid} 今天{'去' if number >= 12 else ''} meeting" for number, uid in enumerate(uids)]
    write(tmp_path / "old/dec/mixed/text", old)
    for folder, text in (("ref", "你好"), ("new/dec", "你"), ("old/dec", "尼好")):
        write(tmp_path / folder / "zh/text", [f"a {text}", "b 好"])
    write(tmp_path / "old/dec/more/text", ["x y"])
    return tmp_path


def run(root, *options):
    compare.main([*map(str, folders(root / "ref", root / "new/dec", root / "old/dec")), *map(str, options)])


def cells(line):
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_sentences_and_table(root, capsys):
    run(root)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("- mixed: new is better than old by 15.00 points (") and "20 utterances;" in out[0]
    assert out[0].endswith("; 14 would do.")
    assert out[1] == "- zh: no difference can be shown: new and old make equally many errors."
    assert out[2].startswith("- all: new is better than old by 14.46 points (")  # 12 of 83 tokens
    table = [cells(line) for line in out if line.startswith("|")]
    assert table[0][:6] == ["set", "rate", "utts", "new %", "old %", "difference (95 %)"]
    assert [row[:2] for row in table[2:]] == [
        *(["mixed", rate] for rate in ("MER", "CER zh", "WER en")),
        ["zh", "MER"],
        *(["all", rate] for rate in ("MER", "CER zh", "WER en")),
    ]
    mixed, han, words, zh = table[2:6]
    assert mixed[2:5] == ["20", "0.00", "15.00"] and mixed[-2:] == ["12/0/8", "14"]
    assert han[2:5] == ["20", "0.00", "20.00"] and mixed[8] == "100.0 %"
    assert words[3:6] == ["0.00", "0.00", "0.00 (-16.11 to 16.11)"]
    assert words[6:] == ["-", "1.00", "50.0 %", "0/0/20", "-"]
    assert zh[3:5] == ["33.33", "33.33"] and zh[7:] == ["1.00", "50.0 %", "0/0/2", "-"]
    assert "Route none (2)." in out[-1] and "2000 paired bootstrap samples" in out[-1]


def test_relative_difference_is_that_of_the_errors_of_the_other(root, capsys):
    run(root, "mixed")
    out = capsys.readouterr().out
    assert "100.00 (100.00 to 100.00)" in out and "- all" not in out


def test_exchanged_systems_give_the_same_sentence(root, capsys):
    run(root, "mixed", "--hyp_dir", root / "old/dec", "--other_hyp_dir", root / "new/dec")
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("- mixed: new is better than old by 15.00 points (") and out[0].endswith("; 14 would do.")
    assert cells(out[4])[3:5] == ["15.00", "0.00"] and cells(out[4])[5].startswith("-15.00 (-")


def test_figures(root, capsys):
    run(root, "--out", root / "compare.json")
    figures = json.loads((root / "compare.json").read_text(encoding="utf-8"))
    assert figures["names"] == ["new", "old"] and figures["route"] == "none (2)"
    assert list(figures["sets"]) == ["mixed", "zh", "all"] and list(figures["sets"]["zh"]) == ["all"]
    mixed, zh = figures["sets"]["mixed"]["all"], figures["sets"]["zh"]["all"]
    assert (mixed["wins_a"], mixed["wins_b"], mixed["ties"], mixed["needed"]) == (12, 0, 8, 14)
    assert mixed["difference"] == pytest.approx(0.15) and mixed["interval"][0] > 0 and mixed["p"] < 0.01
    assert zh["needed"] is None and zh["difference"] == 0


def test_page(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    run(root, "--page", "pages/differ.html")
    text = (root / "pages/differ.html").read_text(encoding="utf-8")
    new, old = text.split("<h2>")[1:]
    assert new.startswith("new makes fewer errors (12 of 12 utterances)</h2>") and new.count("<article>") == 24
    assert "1. u00 <small>mixed: new</small>" in new and "1. u00 <small>mixed: old</small>" in new
    assert 'src="../audio/u00.wav"' in new and "12. u11" in new
    assert old.startswith("old makes fewer errors (0 of 0 utterances)</h2>") and "None." in old
    assert (root / "pages").is_dir() and len(list(root.rglob("*.html"))) == 1


def test_single_folders(tmp_path, capsys):
    for folder, text in (("ref", "a b"), ("x", "a c"), ("y", "a b")):
        write(tmp_path / folder / "text", [f"{number} {text}" for number in range(9)])
    compare.main([*map(str, folders(tmp_path / "ref", tmp_path / "x", tmp_path / "y"))])
    assert capsys.readouterr().out.startswith("- ref: y is better than x by 50.00 points (")


def test_bad_input_is_one_line_and_writes_nothing(root, command):
    write(root / "old/dec/zh/text", ["a 你"])
    options = folders(root / "ref", root / "new/dec", root / "old/dec")
    done = command(compare, *options, "--out", root / "out.json", "--page", root / "out.html")
    assert done.code == 1 and done.err.count("1 references have no hypothesis (b)") == done.err.count("\n") == 1
    assert not list(root.glob("out.*"))


def test_bad_folders(root, command):
    def fails(other):
        done = command(compare, *folders(root / "ref", root / "new/dec", other))
        assert done.code == 1 and done.err.count("\n") == 1
        return done.err

    assert "give the folders of two systems" in fails(root / "new/../new/dec")
    assert "nosuch" in fails(root / "nosuch")
    write(root / "third/apart/text", ["a b"])
    write(root / "ref/apart/text", ["a b"])
    assert "none in common" in fails(root / "third")


@pytest.mark.parametrize(
    "a, b, names",
    [
        ("exp/joint_sft/decode", "exp/ia_sft/decode", ("joint_sft", "ia_sft")),
        ("exp/one", "exp/two", ("one", "two")),
        ("/x/decode", "/decode", ("/x/decode", "/decode")),
    ],
)
def test_system_names(a, b, names):
    assert system_names(Path(a), Path(b)) == names


def test_sentence_of_every_kind():
    known = dict(utterances=300, wins_a=30, wins_b=10, rate_a=0.05, rate_b=0.0543, difference=0.0043)
    clear = Comparison(**known, interval=(0.001, 0.0076), p=0.004, needed=203)
    assert sentence(clear, "A", "B") == (
        "A is better than B by 0.43 points (0.10 to 0.76), p = 0.004, 300 utterances; 210 would do."
    )
    assert "; to find it again with a chance of 80 % takes about 310." in sentence(clear._replace(needed=305), "A", "B")
    unclear = clear._replace(difference=-0.0012, interval=(-0.004, 0.0016), p=0.4, needed=2345)
    assert sentence(unclear, "A", "B") == (
        "no difference can be shown: B is ahead by 0.12 points (-0.16 to 0.40), p = 0.40; "
        "about 2,400 utterances would be needed."
    )
    assert "less than two utterances" in sentence(Comparison(1, 0, 1), "A", "B")
    assert [round_up(x) for x in (2.0, 11, 99, 101, 2345)] == [2, 11, 99, 110, 2400]


def test_a_set_that_is_called_all_is_no_sum(root, capsys):
    for folder in ("ref", "new/dec", "old/dec"):
        (root / folder / "zh").rename(root / folder / "all")
    run(root, "--out", root / "c.json")
    sets = json.loads((root / "c.json").read_text(encoding="utf-8"))["sets"]
    assert {name: parts["all"]["utterances"] for name, parts in sets.items()} == {"all": 2, "mixed": 20, "all sets": 22}


def test_names_of_sets_are_no_html(root, capsys):
    for folder in ("ref", "new/dec", "old/dec"):
        (root / folder / "zh").rename(root / folder / "<b>z")
    write(root / "ref/<i>lone/text", ["a x"])
    run(root, "--out", root / "c.json")
    output = capsys.readouterr().out
    assert "<b>" not in output and "<i>" not in output and output.count("&lt;b&gt;z") >= 2 and "&lt;i&gt;lone" in output


def test_sets_that_are_not_everywhere_are_named(root, capsys):
    write(root / "ref/lone/text", ["a x"])
    write(root / "new/dec/lone/text", ["a x"])
    run(root, "--out", root / "c.json")
    assert "- Not compared, as not in all three folders: lone, more.\n" in capsys.readouterr().out
    assert json.loads((root / "c.json").read_text(encoding="utf-8"))["not_compared"] == ["lone", "more"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--out", "x", "--page", "x"], "x is the file of another result"),
        (["--out", "ref/mixed/text"], "text has the name of an input"),
        (["--hyp_dir", "ref"], "is the file of the references: a set compared with itself has no errors"),
        (["../ref/mixed"], "a set is a folder below"),
    ],
)
def test_what_would_overwrite_or_compare_the_references(root, monkeypatch, options, message):
    monkeypatch.chdir(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=message):
        run(root, *options)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
