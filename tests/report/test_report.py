"""The report of a made-up experiment: the numbers that were put in are found again, and nothing else gets in."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from espnet_llmasr.bin import report
from espnet_llmasr.observe import plot_style

spec = importlib.util.spec_from_file_location("made_up", Path(__file__).with_name("report_experiment.py"))
made_up = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made_up)
Page, EVIL, RTL, LONG = made_up.Page, made_up.EVIL, made_up.RTL, made_up.LONG


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    return made_up.make(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def html(exp):
    report.main(["--expdir", str(exp)])
    text = (exp / "report.html").read_text(encoding="utf-8")
    (exp / "report.html").unlink()
    return text


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_head(page):
    cards = dict(zip(page.all("dt"), page.all("dd")))
    assert page.all("h1") == page.all("title") == ["recipe/llmasr1/exp"]
    assert cards["MER %, joint_sft"] == "64.71 (19.05-142.86)"  # (2 + 1 + 5 + 1 + 2) errors in 13 + 4 tokens
    assert cards["CER zh %, joint_sft"].startswith("75.00 (") and cards["WER en %, joint_sft"].startswith("61.54 (")
    assert cards["when"] == "2026-11-21 10:00 to 2026-11-21 10:09" and cards["not finished"] == "joint_sft"
    assert cards["encoder"] == "firered_conformer, 2 layers of 64" and cards["pretraining predicts"] == "4 labels"
    assert cards["tested on"] == "one (4 utterances), two (2 utterances)" and cards["ESPnet"] == "202511"
    assert cards["PyTorch"] == "9.8.7+test" and cards["scored by the route"] == "none (1)"
    assert cards["trained on"] == "dump/train" and "FLOPs of all trainings" not in cards


def test_stages(page):
    head, *rows = page.tables["Trainings"]
    assert [row[:3] for row in rows] == [
        ["pretrain", "3", "9"],  # 5 batches an epoch, two an update, and the last of one
        ["align", "2", "20"],
        ["ia_sft", "3", "15"],
        ["joint_sft", "0 of 3, not finished", "0"],
    ]
    assert rows[0][3:] == [
        *("1:01:08", "2026-11-21 10:00", "2026-11-21 10:03"),  # 3661.5 + 2.5 + 4 s
        *("2.2500 (epoch 2)", "2.7500", "2.0000", "3.299e+12"),  # 3 x 2^40 FLOPs
    ]
    assert rows[1][3:] == [
        *("0:03:00", "2026-11-21 10:09", "2026-11-21 10:09", "1.0625 (epoch 1)", "1.0625", "0.6250", "-"),
    ]
    assert rows[3][3:] == ["0:00:00", "-", "-", "-", "-", "-", "-"] and head[-1] == "FLOPs"
    assert any("Resumed: " in text and "align" in text for text in page.all("p"))


def test_timeline_says_what_ran_beside_what(page):
    text = next(text for text in page.all("p") if "ran beside" in text)
    assert "pretrain ran beside ia_sft." in text and "align ran" not in text


def test_curves(page):
    captions = page.all("figcaption")
    names = [caption for caption in captions if caption.startswith("pretrain: ")]
    assert [name.removeprefix("pretrain: ") for name in names] == [
        *("Loss", "Label error rate, validation", "Learning rate", "CTC output, validation"),
    ]
    alts = {has["aria-label"].partition(",")[0]: has["aria-label"] for has in page.attributes("svg")}
    assert "training: 4 at 1, 2 at 3; validation: 3.5 at 1, 2.75 at 3" in alts["pretrain: Loss"]
    assert "training: 1.25 at 1, 0.625 at 2" in alts["align: Loss"]  # not the 9.999 of the resumed log
    assert "joint_sft: Loss" not in captions and "No epoch is complete yet." in page.all("p")


def test_swaps(page):
    assert [row[:4] for row in page.tables["Encoders"][1:]] == [
        ["2", "-", "first reference encoder", "-"],
        ["4", "0.9700", "published, new reference", "alignment and the start of IA-SFT"],
        ["8", "0.9600", "published, new reference", "IA-SFT from epoch 2 at 10:02:50; IA-SFT from epoch 3"],
    ]
    assert page.tables["CKA of every block"][1:] == [
        *(["4", "0.9600", "0.9700"], ["6", "0.9900", "0.9810"], ["8", "0.9500", "0.9600"])
    ]
    assert "Encoder swaps during IA-SFT: 1." in page.all("p")
    assert "threshold 0.975" in page.all("text") and "NSE of the encoder at each check" in page.all("figcaption")


def test_metrics_and_drift(page, html):
    assert page.tables["Entropy allocation"][1:] == [
        [f"encoder {EVIL}", "pretrain", "4000", "exp/pretrain", "valid", "120", "0.8125 ± 0.0625"]
        + ["2.5000 (0.5000)", "1.2500 (0.2500)", "0.3750", "0.6250", "-"]
    ]
    image = page.attributes("img")[0]
    assert image["alt"] == "figure 1" and image["src"].startswith("data:image/svg+xml;base64,")
    name = next(name for name in page.tables if name.startswith("Drift"))
    assert page.tables[name][1:] == [
        ["0", "1.0000", "0.5000", "3.2500", "1.5000", "no"],
        ["1", "0.8750", "0.4375", "3.0000", "1.7500", "⚠ yes"],
    ]
    assert "joint_sft: PAI lower and CSAI higher than at the start: epochs 1 (dotted lines)." in page.all("p")


def test_errors_and_hallucination(page):
    rows = page.tables["Error rates of joint_sft, route none (1)"][1:]
    assert [row[0] for row in rows] == ["one", "two", "all sets"]
    assert rows[1] == [
        *(
            "two",
            "2",
            "75.00 (25.68-100.00)",
            "75.00 (25.68-100.00)",
            "-",
            "1/1/2/0",
            "100.00 (34.24-100.00)",
            "1",
            "0",
        ),
    ]
    hits = page.tables["Hallucination of joint_sft"]
    assert hits[1][3] == "1, 25.00 (4.56-69.94)" and hits[2][4] == "0, 0.00 (0.00-65.76)"  # Wilson's
    assert page.tables["Guard on joint_sft"][1] == ["one", "4", "2, 50.00 (15.00-85.00)", "28.57", "100.00"]
    assert "joint_sft: MER with 95 % intervals" in page.all("figcaption")


def test_robustness(page):
    assert page.tables["Clips without speech"] == [["kind", "clips", "chars/min"], ["hum | buzz", "150", "1665 !"]]
    assert page.tables["The guard on replaced audio"][1] == ["false alarms", "4.7 (2.8-7.7)"]
    assert {"Nobody speaks.", "300 utterances", "one: redecode is better."} <= set(page.all("p"))


def test_robustness_of_another_experiment_is_not_taken(exp, tmp_path):
    copy = tmp_path / "recipe" / "exp"
    shutil.copytree(exp, copy)
    (copy.parent / "ROBUSTNESS.md").write_text("# Robustness\n\n300 others\n" + made_up.REDECODED)
    assert "redecode is better" not in report.page(copy, 0)


def test_examples(page):
    assert page.all("h4") == ["1. u2 one", "2. v2 two", "3. u3 one", "1. u1 one", "1. v1 two", "1. u4 one"]
    assert "by any rule, most errors first; 3 of 3" in page.all("p")
    assert "flagged: unsupported" in page.all("span") and any("confidence 0.12" in text for text in page.all("article"))
    players = page.attributes("audio")
    assert len(players) == 5 and all(has["src"].startswith("data:audio/mpeg;base64,") for has in players)
    assert "audio: missing_wav, audio/u2.wav" in page.all("p")


def test_hostile_texts_stay_texts(page, html):
    assert "<script" not in html and "<h2>" in html and not page.attributes("script")
    assert any(RTL in text and EVIL in text for text in page.all("span"))
    assert LONG in page.all("span")


def test_nothing_comes_from_elsewhere(page, html):
    policy = next(has["content"] for has in page.attributes("meta") if "http-equiv" in has)
    assert policy.startswith("default-src 'none';") and "script-src" not in policy and "http" not in policy
    links = [value for _, has in page.elements for name, value in has.items() if name in ("src", "href", "xlink:href")]
    assert links and all(value.startswith(("#", "data:")) for value in links)
    assert set(re.findall(r"url\((.)", html)) == {"#"} and "@import" not in html
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe", "object", "form"})


def test_ids_are_unique_and_known(page, html):
    ids = [has["id"] for _, has in page.elements if "id" in has]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', html)
    assert used and set(used) <= set(ids)


def test_headings_and_names(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert ("html", {"lang": "en"}) in page.elements
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.attributes("meta")
    assert all(has["aria-label"] for tag in ("svg", "audio") for has in page.attributes(tag))


def test_the_same_files_give_the_same_page(exp, html, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report.main(["--expdir", str(exp), "--out", "again/page.html"])
    assert Path("again/page.html").read_text(encoding="utf-8") == html


def test_an_empty_experiment_names_the_stages(tmp_path):
    page = Page(report.page(tmp_path, 3))
    notes = " ".join(page.all("p"))
    for said in ("stages 5 to 10 train", "stage 6", "stage 14", "stage 9", "stage 11 decodes", "stage 13"):
        assert said in notes
    assert not page.tables and len(page.attributes("section")) == 10


def test_a_broken_file_takes_away_its_part_only(exp, tmp_path, caplog):
    copy = tmp_path / "exp"
    shutil.copytree(exp, copy)
    (copy / "joint_sft/decode/scores.json").write_text('{"sets": {"one": {}}}')
    (copy / "encoders/cka.jsonl").write_text('{"step": 2, "newer": 1}\n')
    (copy / "joint_sft/config.yaml").write_text("a: [")  # ESPnet is writing it
    (copy / "pretrain/flops.jsonl").write_text(made_up.flops_line(3, 1))
    page = Page(report.page(copy, 3))
    notes = [text for text in page.all("p") if text.startswith("Left out: ")]
    assert any("scores.json is not what stage 12 writes" in text for text in notes)
    assert any("cka.jsonl, line 1 is no CKACheck" in text for text in notes)
    assert [row[0] for row in page.tables["Trainings"]] == ["stage", "pretrain", "align", "ia_sft"]
    assert "FLOPs" not in page.tables["Trainings"][0] and "no FLOPs" in caplog.text
    assert "Entropy allocation" in page.tables


@pytest.mark.parametrize(
    "options, said",
    [
        (["--expdir", "nowhere"], "nowhere is no folder"),
        (["--expdir", ".", "--out", "."], "--out . is a folder"),
        (["--expdir", ".", "--examples", "-1"], "-1 is no whole number of at least 0"),
        ([], "--expdir"),
    ],
)
def test_mistakes_are_one_line(options, said, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command(report, *options)
    assert done.code == 1 and said in done.err and done.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_without_matplotlib(command, tmp_path, monkeypatch):
    monkeypatch.setattr(plot_style, "find_spec", lambda name: None)
    done = command(report, "--expdir", tmp_path)
    assert done.code == 1 and "pip install matplotlib" in done.err and not list(tmp_path.iterdir())
