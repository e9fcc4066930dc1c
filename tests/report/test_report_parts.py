"""Single parts of the report: histories of trainings, charts, Markdown, audio."""

import base64
import io
import os
import re
import time
from datetime import datetime

import numpy as np
import pytest
import soundfile
import torch

from espnet_llmasr.report import charts as charts
from espnet_llmasr.report import examples as examples
from espnet_llmasr.report import history as history
from espnet_llmasr.report import html as parts
from espnet_llmasr.report.files import log_span
from espnet_llmasr.report.stages import _beside

LOG = """2026-01-01 00:00:00,000 INFO: 1epoch results: [train] loss=5.0, time=2 days, 3 hours, 1 minute and 4.5 \
seconds, total_count=10, gpu_max_cached_mem_GB=1.2 GB, [valid] loss=4.0, per=0.9, time=0.5 seconds, total_count=3
2026-01-01 00:00:01,000 INFO: 2epoch results: [train] loss=3.0, lr=2.500e-04, time=1 second, total_count=20, \
[valid] loss=inf, time=1 second, total_count=6
2026-01-01 00:00:02,000 INFO: 2epoch results: [train] loss=2.5, time=1 second, total_count=20, [valid] loss=2.0
torn: 3epoch results: [train] lo"""


def save(path, epochs, **more):
    stats = {number: {"train": {"loss": np.float64(number / 8)}} for number in range(1, epochs + 1)}
    torch.save({"reporter": {"stats": stats, "epoch": epochs}, **more}, path)


def test_log(tmp_path):
    (tmp_path / "train.log").write_text(LOG)
    epochs = history.read_epochs(tmp_path)
    assert epochs[1]["train"] == {"loss": 5.0, "time": 2 * 86400 + 3 * 3600 + 60 + 4.5, "total_count": 10}
    assert epochs[1]["valid"] == {"loss": 4.0, "per": 0.9, "time": 0.5, "total_count": 3}
    assert epochs[2]["train"]["loss"] == 2.5  # the epoch was trained again
    assert history.series(epochs, "train", "loss") == ([1, 2], [5.0, 2.5])
    assert history.series(epochs, "train", "lr") == ([], [])


def test_a_checkpoint_is_more_than_the_log(tmp_path):
    (tmp_path / "train.log").write_text(LOG)
    save(tmp_path / "checkpoint.pth", 1)
    epochs = history.read_epochs(tmp_path)
    assert epochs[1] == {"train": {"loss": 0.125}} and epochs[2]["train"]["loss"] == 2.5


def test_a_torn_checkpoint_gives_way_to_the_previous_one(tmp_path, caplog):
    save(tmp_path / "checkpoint.prev.pth", 2)
    save(tmp_path / "whole", 3)
    (tmp_path / "checkpoint.pth").write_bytes((tmp_path / "whole").read_bytes()[:-200])
    assert list(history.read_epochs(tmp_path)) == [1, 2] and "checkpoint.pth cannot be read" in caplog.text
    os.replace(tmp_path / "whole", tmp_path / "checkpoint.pth")
    assert list(history.read_epochs(tmp_path)) == [1, 2, 3]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "checkpoint.pth", 1, trap=Trap())
    assert history.read_epochs(tmp_path) == {} and not (tmp_path / "trapped").exists()
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    "counts, accum_grad, expected",
    [
        ({1: 10, 2: 20}, 1, 20),
        ({1: 5, 2: 10, 3: 15}, 2, 9),
        ({3: 30, 4: 40}, 1, 40),
        ({3: 15, 4: 20}, 2, 12),
        ({}, 1, 0),
    ],
)
def test_updates(counts, accum_grad, expected):
    epochs = {number: {"train": {"total_count": count}} for number, count in counts.items()}
    assert history.updates(epochs, accum_grad) == expected


def test_span_of_logs(tmp_path):
    (tmp_path / "a").write_text("# started\n2026-01-02 03:04:05,678 INFO: x\nat 2030-01-01 00:00:00\n")
    (tmp_path / "b").write_text("none\n")
    moment = datetime(2026, 1, 2, 3, 4, 5)
    assert log_span([tmp_path / "a", tmp_path / "b"]) == (moment, moment) and log_span([tmp_path / "b"]) is None


def test_beside():
    at = [datetime(2026, 1, 1, hour) for hour in range(5)]
    rows = [("a", (at[0], at[2])), ("b", (at[1], at[3])), ("c", (at[3], at[4]))]
    assert _beside(rows) == "a ran beside b. b ran beside a."
    assert _beside(rows[2:]) == "Nothing ran side by side."


def chart(ident="c", label="a $x$ <b>", **options):
    return charts.line_chart(ident, "Title", [charts.Line(label, [1, 2], [0.00025, 0.0005])], ("x", "y"), **options)


def test_chart_follows_the_page():
    svg = chart(levels=[("level", 0.0003)], marks=[1.5])
    assert "a $x$ &lt;b&gt;</text>" in svg and "0.0003" in svg  # a formula, markup, and a number stay what they are
    assert "stroke: var(--c1)" in svg and "currentColor" in svg and "var(--line)" in svg
    assert not re.search(r"#[0-9a-f]{6}", svg) and "<style" not in svg and "metadata" not in svg
    assert 'aria-label="Title, y over x. a $x$ &lt;b&gt;: 0.00025 at 1, 0.0005 at 2"' in svg
    assert chart() == chart() and set(re.findall(r'\bid="([^"]+)', chart("d"))).isdisjoint(
        re.findall(r'id="([^"]+)', svg)
    )


def test_chart_without_a_point_is_none():
    assert charts.line_chart("c", "Title", [charts.finite("a", [1, 2], [None, float("nan")])], ("x", "y")) == ""
    assert charts.charts(["", ""], "nothing <yet>") == '<p class="soft">nothing &lt;yet&gt;</p>\n'


def test_names_of_rows_are_cut_and_cleaned():
    svg = charts.interval_chart("i", "t", [("\x00\ud800" + 30 * "好", 5.0, (4.0, 6.0))], "MER %")
    assert "\N{REPLACEMENT CHARACTER}" * 2 + 21 * "好" + "…" in svg


@pytest.mark.parametrize("hours, unit", [(1.5, "minutes"), (3, "hours"), (100, "days")])
def test_timeline_has_a_fitting_unit(hours, unit):
    assert f"{unit} since" in charts.timeline("t", "title", [charts.Bar("a", 0, hours, [hours / 2])], "alt")


def test_colours_have_contrast():
    """Letters 4.5 : 1 (WCAG AA), lines of charts 3 : 1, on paper and on cards, by day and by night."""
    day, night = (dict(re.findall(r"--([\w-]+): (#\w+)", text)) for text in _modes(parts.STYLE))
    for mode in (day, {**day, **night}):
        for back in ("paper", "card"):
            for name, least in [*((name, 4.5) for name in ("text", "soft", "i", "d")), ("c1", 3), ("c2", 3), ("c3", 3)]:
                assert _contrast(mode[name], mode[back]) >= least, (name, back)
        assert all(_contrast(mode[kind], mode[f"{kind}-back"]) >= 4.5 for kind in "sdi")


def _modes(style):
    roots = re.findall(r":root \{([^}]*)\}", style)
    return roots[0] + roots[2], roots[1] + roots[3]


def _contrast(one, other):
    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts_ = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts_]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_markdown():
    html = parts.markdown("<name>", "a <b>\n\n| x | y |\n| --- | ---: |\n| p \\| q | <i> |\n- item\n")
    assert html.startswith('<p class="soft">a &lt;b&gt;</p>') and '<p class="soft">item</p>' in html
    assert '<th scope="row"><span>p | q</span></th><td>&lt;i&gt;</td>' in html and 'aria-label="&lt;name&gt;"' in html


def test_numbers_that_are_not_known():
    assert parts.rate_cell(None) == parts.rate_cell({"rate": None}) == parts.number(None) == "-"
    assert parts.number(float("nan")) == "-" and parts.rate_cell({"rate": 0.5, "interval": [None, None]}) == "50.00"
    assert parts.rate_cell({"rate": 0.5, "interval": [0.25, 1.0]}) == "50.00 (25.00-100.00)"
    assert parts.duration(90061.4) == "1 day, 1:01:01"


@pytest.fixture
def recording(tmp_path):
    """<recipe>/audio/a.wav, 40 s at 8 kHz in two channels, and the experiment's folder."""
    (tmp_path / "exp").mkdir()
    (tmp_path / "audio").mkdir()
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000 * 40) / 8000)
    soundfile.write(tmp_path / "audio/a.wav", np.stack([tone, tone], axis=1), 8000)
    return tmp_path / "exp"


def sound_of(html):
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])))
    assert rate == 16000 and samples.ndim == 1
    return samples


def test_player_holds_the_sound(recording):
    html = examples.Player(recording)("audio/a.wav#t=1.000,3.000")
    samples = sound_of(html)
    assert abs(len(samples) / 16000 - 2) < 0.1 and "2.0 s, audio/a.wav#t=1.000,3.000" in html
    spectrum = np.abs(np.fft.rfft(samples[4000:20000]))
    assert spectrum.argmax() == 440 and len(html) < 40000


def test_player_is_short_and_stops_at_its_budget(recording, monkeypatch):
    player = examples.Player(recording)
    html = player("audio/a.wav")
    assert abs(len(sound_of(html)) / 16000 - 30) < 0.1 and "the first 30 of 40.0 s" in html
    monkeypatch.setattr(player, "left", 1000)
    assert "audio left out" in player("audio/a.wav") and "<audio" not in player("audio/a.wav")
    assert "missing_wav" in player("audio/<b>.wav") and "<b>" not in player("audio/<b>.wav")
    assert "no wav.scp" in player(None)


def test_flac_where_there_is_no_mp3(monkeypatch):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"FLAC": ""})
    content, kind = examples.encode(np.zeros(1600, np.float32))
    assert kind == "audio/flac" and content[:4] == b"fLaC"


def test_the_same_sound_is_the_same_text():
    samples = np.sin(np.arange(3200) / 7).astype(np.float32)
    first = examples.encode(samples)
    time.sleep(0.01)
    assert examples.encode(samples) == first


def test_sets_take_turns():
    assert list(examples.in_turns([[1, 2, 3], [], [10]])) == [1, 10, 2, 3] and not list(examples.in_turns([]))


def test_every_text_is_escaped():
    evil = '"><img src=x>'
    drawn = charts.line_chart("i", evil, [charts.Line(evil, [1, 2], [3, 4])], (evil, evil))
    made = [parts.table(evil, [evil, evil], [[evil, evil]]), parts.details(evil, ""), parts.facts([(evil, evil)])]
    made += [
        parts.section("i", evil, ""),
        parts.definitions([(evil, evil)]),
        parts.markdown("m", f"| {evil} |\n{evil}"),
    ]
    for html in (drawn, *made):
        assert evil not in html and "<img" not in html and "img src=x" in html
