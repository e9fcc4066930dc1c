"""The report of a made-up experiment: the numbers that were put in are found again, and nothing else gets in."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_llmasr import report as package
from espnet_llmasr.bin import report
from espnet_llmasr.report import examples
from espnet_llmasr.report.charts import line_chart
from espnet_llmasr.report.files import log_table
from espnet_llmasr.report.page import render_markdown, render_page
from espnet_llmasr.report.stages import find_stages

EVIL = '<script>alert("1")</script>'


@pytest.fixture(scope="module")
def html(exp):
    report.main(["--expdir", str(exp)])
    text = (exp / "report.html").read_text(encoding="utf-8")
    (exp / "report.html").unlink()
    return text


@pytest.fixture(scope="module")
def page(html, parse):
    return parse(html)


# ---- the parts -----------------------------------------------------------------------------------------------------


def test_summary(page):
    cards = dict(zip(page.find("dt"), page.find("dd")))
    assert page.find("h1") == page.find("title") == ["recipe/llmasr1/exp"]
    assert cards["MER %, joint_sft"] == "64.71 (19.05-142.86)"  # (2 + 1 + 5 + 1 + 2) errors in 13 + 4 tokens
    assert cards["CER zh %, joint_sft"].startswith("75.00 (") and cards["WER en %, joint_sft"].startswith("61.54 (")
    assert cards["when"] == "2026-11-21 10:00 to 2026-11-21 10:09" and cards["not finished"] == "ia_sft, joint_sft"
    assert cards["encoder"] == "firered_conformer, 2 layers of 64" and cards["pretraining predicts"] == "4 labels"
    assert cards["tested on"] == "one (4 utterances), two (2 utterances)" and cards["ESPnet"] == "202511"
    assert cards["scored by the route"] == "none (2)" and cards["trained on"] == "dump/train"


def test_stages(page):
    times = ["2026-11-21 10:00", "2026-11-21 10:03"]
    assert page.tables["Trainings"][1:] == [
        ["pretrain", "3", *times, "2.2500 (epoch 2)", "2.7500", "2.0000", "3.299e+12"],  # 3 x 2^40 FLOPs
        ["align", "2", "2026-11-21 10:09", "2026-11-21 10:09", "9.9990 (epoch 2)", "9.9990", "9.9990", "-"],
        ["ia_sft", "3 of 200, not finished", *times, "2.2500 (epoch 2)", "2.7500", "2.0000", "-"],
        ["joint_sft", "0 of 3, not finished", *["-"] * 6],
    ]
    notes = page.find("p")
    assert "pretrain: the loss is not finite in epochs 2." in notes
    assert "align was resumed: its log, and so its begin and its curves, start with epoch 2." in notes


def test_values_of_the_log(exp):
    pretrain = find_stages(exp)[0]
    assert pretrain.epochs[1]["train"] == {"loss": 4.0, "ctc": 1.0, "lr": 0.001, "total_count": 5.0}
    assert pretrain.epochs[2]["valid"] == {"loss": 2.25, "per": 0.5, "blank": 0.7, "peak": 0.9, "total_count": 14.0}


def test_curves(page):
    alts = dict(zip(page.find("figcaption"), [has["alt"] for has in page.attributes("img")]))
    assert alts["pretrain: loss"] == ("loss over epoch. loss, train: 4 at 1, 2 at 3; loss, valid: 3.5 at 1, 2.75 at 3")
    assert alts["pretrain: per"].endswith("per, valid: 0.9 at 1, 0.4 at 3")
    assert "pretrain: acc" not in alts and not any(name.startswith("joint_sft: loss") for name in alts)
    assert alts["CKA to the reference"] == "CKA over pretraining update. CKA: 0.97 at 4, 0.96 at 8"
    assert "NSE: 0.5 at 4" in alts["NSE of the encoder"]
    assert (
        "CKA: 1 at 0, 0.875 at 1" in alts["joint_sft: CKA to the starting encoder"] and alts["figure 1"] == "figure 1"
    )


def test_swaps_metrics_and_drift(page):
    assert page.tables["Encoders of joint_sft"][1] == ["8", "IA-SFT from epoch 2"]
    assert "Encoder swaps during IA-SFT: 1" in page.find("p")
    assert [row[:3] for row in page.tables["Swaps in ia_sft"][1:]] == [["2", "8", "4"], ["3", "8", "8"]]
    head, *checks = page.tables["Checks of the watcher"]
    assert [row[head.index("cka")] for row in checks] == ["-", "0.9700", "0.9810", "0.9600"]
    assert checks[1][head.index("cka layers")] == "0.9600 … 0.9700"
    head, observed = page.tables["Entropy allocation"]
    observed = dict(zip(head, observed, strict=True))
    assert observed["name"] == f"encoder {EVIL}" and observed["nse"] == "0.8125" and observed["pai"] == "2.5000"
    assert observed["cka text"] == "0.2500 … 0.3750" and "fingerprint" not in observed
    head, *rows = page.tables["Drift of joint_sft"]
    assert [dict(zip(head, row))["csai"] for row in rows] == ["1.5000", "1.7500"] and rows[1][
        head.index("warning")
    ] == "True"


def test_scores_are_those_of_the_scorer(page, exp):
    """All tables of scores.md, cell by cell."""
    text = (exp / "joint_sft/decode/scores.md").read_text(encoding="utf-8")
    written = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    shown = page.tables["joint_sft: transcripts"]
    assert shown == [row for row in written if not row[0].startswith("---")] and len(shown) == 10
    assert "Error rates, route none (2)" in page.find("h4") and any(
        "CER of a Mandarin set" in item for item in page.find("li")
    )
    assert page.tables["joint_sft: benchmarks"][2] == ["AISHELL-1 test", "4.56"]


def test_robustness(page):
    names = ["Clips without speech (joint_sft)", "The guard on replaced audio (joint_sft)"]
    assert page.tables[names[0]] == [["kind", "clips", "chars/min"], ["hum | buzz", "150", "1665 !"]]
    assert page.tables[names[1]][1] == ["false alarms", "4.7 (2.8-7.7)"]
    assert {"Nobody speaks.", "300 utterances"} <= set(page.find("p")) and "one: redecode is better." in page.find("li")


def test_examples(page):
    assert page.find("h4")[-6:] == ["1. u2 one", "2. v2 two", "3. u3 one", "1. u1 one", "1. v1 two", "1. u4 one"]
    assert "by any rule, most errors first; 3 of 3" in page.find("p")
    assert "flagged: unsupported" in page.find("span") and any(
        "confidence 0.12" in text for text in page.find("article")
    )
    players = page.attributes("audio")
    assert len(players) == 5 and all(has["src"].startswith("data:audio/mpeg;base64,") for has in players)
    assert "audio: missing_wav, audio/u2.wav" in page.find("div")


# ---- the whole page ------------------------------------------------------------------------------------------------


def test_hostile_texts_stay_texts(page, html):
    rtl, long = "\u202eשלום\u202c عربي", "x" * 5000
    assert "<script" not in html and not page.attributes("script")
    assert any(rtl in text and EVIL in text for text in page.find("span")) and long in page.find("span")


def test_nothing_comes_from_elsewhere(page, html):
    policy = next(has["content"] for has in page.attributes("meta") if "http-equiv" in has)
    assert policy.startswith("default-src 'none';") and "script-src" not in policy and "http" not in policy
    links = [value for _, has, _ in page.elements for name, value in has.items() if name in ("src", "href")]
    assert links and all(value.startswith(("#", "data:")) for value in links)
    assert "url(" not in html and "@import" not in html
    assert {tag for tag, _, _ in page.elements}.isdisjoint({"link", "iframe", "object", "form", "svg"})


def test_ids_headings_and_names(page, html):
    ids = [has["id"] for _, has, _ in page.elements if "id" in has]
    assert len(ids) == len(set(ids)) and set(re.findall('href="#([^"]+)', html)) == set(ids)
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert page.attributes("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.attributes("meta")
    assert all(has["alt"] for has in page.attributes("img"))
    assert all(has["aria-label"] for has in page.attributes("audio"))


def test_the_same_files_give_the_same_page(exp, html, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report.main(["--expdir", str(exp), "--out", "again/page.html"])
    assert Path("again/page.html").read_text(encoding="utf-8") == html


def test_an_empty_experiment_names_the_stages(tmp_path, parse):
    page = parse(render_page(tmp_path, 3))
    notes = " ".join(page.find("p"))
    for stage in ("stages 5 to 10 train", "stage 6", "stage 8", "stage 14", "stage 9", "stage 11 decodes", "stage 13"):
        assert stage in notes
    assert not page.tables and len(page.attributes("section")) == 8


@pytest.mark.parametrize(
    "options, message",
    [
        (["--expdir", "nowhere"], "nowhere is no folder"),
        (["--expdir", ".", "--out", "."], "--out . is a folder"),
        (["--expdir", ".", "--examples", "-1"], "-1 is no whole number of at least 0"),
        ([], "--expdir"),
    ],
)
def test_mistakes_are_one_line(options, message, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command(report, *options)
    assert done.code == 1 and message in done.err and done.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_without_its_packages(command, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "find_spec", lambda name: None)
    done = command(report, "--expdir", tmp_path)
    assert done.code == 1 and "pip install matplotlib markdown-it-py" in done.err and not list(tmp_path.iterdir())


# ---- damage --------------------------------------------------------------------------------------------------------

CKA, JOINT = "encoders/cka.jsonl", "joint_sft/decode"


@pytest.mark.parametrize(
    "name, old, new",
    [
        (CKA, ', "action": "keep"', ""),  # cut off
        (CKA, '"step": 2', '"stop": 2'),
        (CKA, '{"step": 2', "5\n{"),
        ("encoders/watch.yaml", "0.975", "["),
        ("encoders/watch.yaml", "0.975", "[1]"),
        ("joint_sft/drift.jsonl", '"epoch": 0', '"number": 0'),
        ("observe/observations.jsonl", '"csai"', ""),
        (f"{JOINT}/one/alignments.jsonl", '"reference": "the cat sat", ', " "),
        (f"{JOINT}/one/alignments.jsonl", '["correct", "the", "the"]', "5"),
        (f"{JOINT}/scores.json", '"utterances"', ""),
        ("pretrain/flops.jsonl", '"flops"', '"flop"'),
        ("pretrain/flops.jsonl", str(2**40), str(2**2000)),
    ],
)
def test_a_damaged_file_costs_its_section(exp, tmp_path, parse, caplog, name, old, new):
    """`old` is replaced by `new`; without `new` the file ends before it."""
    copy = tmp_path / "exp"
    shutil.copytree(exp, copy)
    text = (copy / name).read_text(encoding="utf-8")
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1) if new else text[: text.index(old)], encoding="utf-8")
    page = parse(render_page(copy, 1))
    notes = [text for text in page.find("p") if text.startswith("Left out: ")]
    assert notes and "is left out" in caplog.text and len(page.attributes("section")) == 8
    assert Path(name).name in notes[0] or "OverflowError" in notes[0]


def test_a_configuration_that_is_being_written(exp, tmp_path, parse):
    copy = tmp_path / "exp"
    shutil.copytree(exp, copy)
    (copy / "joint_sft/config.yaml").write_text("a: [")
    page = parse(render_page(copy, 1))
    assert [row[0] for row in page.tables["Trainings"]] == ["stage", "pretrain", "align", "ia_sft"]


# ---- single parts --------------------------------------------------------------------------------------------------


def test_markdown_holds_no_html_and_no_links():
    text = "## H <b>\n\n| x | y |\n| --- | ---: |\n| p \\| q | <i> |\n\n"
    text += "- *a* [l](http://x) ![i](http://y) <http://z> `c`\n"
    html = str(render_markdown(text, '"<name>'))
    assert "<h4>H &lt;b&gt;</h4>" in html and "<td>p | q</td>" in html and "&lt;i&gt;" in html
    assert "<a" not in html and "<img" not in html and "<em>a</em>" in html and "<code>c</code>" in html
    assert 'aria-label="&#34;&lt;name&gt;"' in html


def test_a_log_as_a_table(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"a_b": 1, "v": {"x": 0.5}}\n\n{"a_b": null, "t": "p|q", "l": [1, 2, 3], "h": 1}\n'
    )
    assert log_table(tmp_path / "a.jsonl", ("h",)).splitlines()[::2] == [
        "| a b | v x | t | l |",
        "| 1 | 0.5000 | - | - |",
    ]
    assert log_table(tmp_path / "a.jsonl").splitlines()[-1] == "| - | - | p\\|q | 1 … 3 | 1 |"
    assert log_table(tmp_path / "none.jsonl") == ""


def test_charts():
    assert line_chart("t", {"a": [(1, None), (2, float("nan"))]}, ("x", "y")) is None
    chart = line_chart("t", {"a $x$ <b>": [(1, 0.5), (2, 0.25)]}, ("x", "y"), threshold=0.3)
    assert chart == line_chart("t", {"a $x$ <b>": [(1, 0.5), (2, 0.25)]}, ("x", "y"), threshold=0.3)
    assert base64.b64decode(chart["src"].partition(",")[2]).startswith(b"<?xml")


@pytest.fixture
def recording(tmp_path):
    """<recipe>/audio/a.wav, 40 s at 8 kHz in two channels, and the experiment's folder."""
    (tmp_path / "exp").mkdir()
    (tmp_path / "audio").mkdir()
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000 * 40) / 8000)
    soundfile.write(tmp_path / "audio/a.wav", np.stack([tone, tone], axis=1), 8000)
    return tmp_path / "exp"


def sound_of(player):
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(player["src"].partition(",")[2])))
    assert rate == 16000 and samples.ndim == 1
    return samples


def test_player_holds_the_sound(recording):
    player = examples.Player(recording)("audio/a.wav#t=1.000,3.000")
    samples = sound_of(player)
    assert abs(len(samples) / 16000 - 2) < 0.1 and player["note"] == "2.0 s, audio/a.wav#t=1.000,3.000"
    assert np.abs(np.fft.rfft(samples[4000:20000])).argmax() == 440


def test_player_is_short_and_stops_at_its_budget(recording, monkeypatch):
    player = examples.Player(recording)
    long = player("audio/a.wav")
    assert abs(len(sound_of(long)) / 16000 - 30) < 0.1 and "the first 30 of 40.0 s" in long["note"]
    monkeypatch.setattr(player, "left", 1000)
    assert "left out" in player("audio/a.wav")["note"] and player("audio/a.wav")["src"] is None
    assert "missing_wav" in player("audio/b.wav")["note"] and "no wav.scp" in player(None)["note"]


def test_flac_where_there_is_no_mp3(monkeypatch):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"FLAC": ""})
    content, kind = examples.encode(np.zeros(1600, np.float32))
    assert kind == "audio/flac" and content[:4] == b"fLaC"


def test_sets_take_turns():
    assert list(examples.in_turns([[1, 2, 3], [], [10]])) == [1, 10, 2, 3] and not list(examples.in_turns([]))


def test_colours_have_contrast(html):
    """Letters 4.5 : 1 (WCAG AA), on paper and on cards, by day and by night."""
    day, night = (dict(re.findall(r"--([\w-]+): (#\w+)", text)) for text in re.findall(r":root \{([^}]*)\}", html))
    for mode in (day, {**day, **night}):
        for back in ("paper", "card"):
            assert all(_contrast(mode[name], mode[back]) >= 4.5 for name in ("text", "soft", "i", "d"))
        assert all(_contrast(mode[kind], mode[f"{kind}-back"]) >= 4.5 for kind in "sdi")


def _contrast(one, other):
    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)
