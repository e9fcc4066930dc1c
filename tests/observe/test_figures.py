"""What the figures show: the numbers of the observations, at the places that the paper gives them."""

from dataclasses import replace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer

from espnet_llmasr.encoder_swap.rule import CKACheck, cka_log
from espnet_llmasr.observe import figures, plot_style
from espnet_llmasr.observe.figures import Series, differing, draw_all, lines_of, pairs_of
from espnet_llmasr.observe.observations import FILE, Observation, ObservationLog, code, fingerprint, read_observations

STEPS = (("pretrain", (10, 40)), ("ia_sft", (0, 30)), ("joint_sft", (0, 20)))


def row(name, stage="", step=None, nse=0.8, **changes):
    fields = dict(name=name, stage=stage, step=step, model="m", set="valid", utterances=100)
    fields |= dict(estimator={"ridge": 0.01}, cka_text=[0.1, 0.2, 0.3], cka_text_adaptor=0.4)
    values = dict(nse=nse, nse_std=0.1, pai=12.0, csai=2.0, pai_baseline=1.5, csai_baseline=1.9)
    return Observation(**fields | changes, values=values)


def trajectory(nse=0.8):
    """Two encoders of every stage; NSE falls by 0.01 from each to the next."""
    places = [(stage, step) for stage, steps in STEPS for step in steps]
    return [row(f"{stage}.{step}", stage, step, nse - 0.01 * i) for i, (stage, step) in enumerate(places)]


def labelled(axis):
    """label -> lines with it."""
    lines = axis.get_lines()
    return {line.get_label(): [other for other in lines if other.get_label() == line.get_label()] for line in lines}


def _no_label_touches_another(figure):
    FigureCanvasAgg(figure).draw()
    for axis in figure.axes:
        ends = [label.get_window_extent() for label in axis.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in zip(ends, ends[1:]))


def test_figure_1_shows_the_joint_training():
    (pair,) = pairs = pairs_of([Series("run", trajectory())], [])
    assert (pair.label, pair.before.name, pair.after.name) == ("run", "joint_sft.0", "joint_sft.20")
    axes = figures.before_and_after(pairs).axes
    with plot_style.style():
        _no_label_touches_another(figures.before_and_after([pair._replace(label="a longer label")] * 3))
    assert [axis.get_title() for axis in axes] == ["NSE", "PAI (bits)", "CSAI (bits)"]
    assert [bar.get_height() for bar in axes[0].patches] == pytest.approx([0.76, 0.75])
    assert [bar.get_height() for bar in axes[1].patches] == [12, 12]
    assert _spans(axes[0]) == [pytest.approx(span) for span in ((0.66, 0.86), (0.65, 0.85))]  # NSE and its spread
    assert [_levels(axis) for axis in axes[1:]] == [[1.5, 1.5], [1.9, 1.9]]  # the bias


def _spans(axis):
    """(low, high) of all error bars."""
    bars = (box for box in axis.containers if isinstance(box, ErrorbarContainer))
    return [(low, high) for bar in bars for (_, low), (_, high) in bar[2][0].get_segments()]


def _levels(axis):
    """Heights of the level lines across the bars."""
    return [start[1] for lines in axis.collections for start, _ in lines.get_segments()]


def test_figure_1_is_from_the_newest_encoder_before_joint_training_to_its_newest():
    rows = [*trajectory(), row("joint_sft.60", "joint_sft", 60), row("joint_sft.40", "joint_sft", 40)]
    assert pairs_of([Series("run", rows)], [])[0].after.name == "joint_sft.60"
    rows = [observation for observation in trajectory() if observation.name != "joint_sft.0"]
    assert pairs_of([Series("run", rows)], [])[0].before.name == "ia_sft.30"
    assert pairs_of([Series("run", rows[:3])], []) == []


def test_pairs_by_name():
    series = [Series("run", [row("whisper"), row("voxtral")])]
    pair = pairs_of(series, ["Whisper=whisper,voxtral"])[0]
    assert (pair.label, pair.before.name, pair.after.name) == ("Whisper", "whisper", "voxtral")
    with pytest.raises(ValueError, match="'x' was not measured; there are whisper, voxtral"):
        pairs_of(series, ["Whisper=whisper,x"])
    with pytest.raises(ValueError, match="expected LABEL=BEFORE,AFTER"):
        pairs_of(series, ["whisper,voxtral"])


def test_figure_3_has_a_place_for_every_stage():
    axes = figures.trajectory([Series("phones", trajectory()), Series("characters", trajectory(0.7))]).axes
    lines = labelled(axes[0])
    assert len(lines["phones"]) == len(lines["characters"]) == 3
    assert [list(line.get_ydata()) for line in lines["phones"]] == [
        pytest.approx(pair) for pair in ([0.8, 0.79], [0.78, 0.77], [0.76, 0.75])
    ]
    for stage, line in enumerate(lines["phones"]):
        assert stage < min(line.get_xdata()) < max(line.get_xdata()) < stage + 1
    assert [line.get_drawstyle() for line in lines["phones"]] == ["default", "steps-post", "default"]
    assert [label.get_text() for label in axes[0].get_xticklabels()][0] == "pretraining\n0 to 40"
    assert figures.BIAS in labelled(axes[1]) and figures.BIAS not in lines
    assert [list(line.get_ydata()) for line in labelled(axes[2])[figures.BIAS]] == [[1.9, 1.9]] * 6
    assert _spans(axes[0])[0] == pytest.approx((0.8 - 0.0196, 0.8 + 0.0196))  # 1.96 * 0.1 / sqrt(100 utterances)


def test_figure_4_ends_with_the_adaptor():
    lines = lines_of([Series("run", [*trajectory(), row("whisper", cka_text=[0.5] * 4, cka_text_adaptor=None)])])
    axis = figures.layers(lines).axes[0]
    found = labelled(axis)
    before, whisper = found["run, before joint SFT"][0], found["whisper"][0]
    assert list(before.get_xdata()) == [1, 2, 3, 5] and list(before.get_ydata()) == [0.1, 0.2, 0.3, 0.4]
    assert list(whisper.get_xdata()) == [1, 2, 3, 4]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "2", "3", "4", "Adap."]
    assert found["run, after joint SFT"][0].get_color() == before.get_color() != whisper.get_color()


ROWS = [(10, 0, None, "reference"), (20, 10, 0.98, "keep"), (30, 10, 0.97, "publish"), (40, 30, 0.99, "final")]


def test_figure_5_marks_triggers_and_threshold(tmp_path):
    exp = tmp_path / "exp"
    (exp / "encoders").mkdir(parents=True)
    checks = [CKACheck(*row, time="t") for row in ROWS]
    cka_log(exp / "encoders").write(checks)
    (exp / "encoders" / "watch.yaml").write_text("threshold: 0.975\nstart_step: 10\n")
    ObservationLog(tmp_path).put(row("whisper"))
    names = [path.name for path in draw_all(tmp_path, "run", [], [], exp)]
    assert names == ["figure_4.png", "figure_4.svg", "figure_5.png", "figure_5.svg"]
    axis = figures.reference_cka(checks, 0.975).axes[0]
    curves = [line.get_xydata().tolist() for line in labelled(axis)["CKA (another colour: another reference)"]]
    assert curves == [[[10, 1], [20, 0.98], [30, 0.97]], [[30, 1], [40, 0.99]]]
    assert list(labelled(axis)["threshold 0.975"][0].get_ydata()) == [0.975, 0.975]
    assert [marks.get_offsets().tolist() for marks in axis.collections] == [[[30, 0.97]], [[40, 0.99]]]


def test_files_are_pictures_and_repeat(tmp_path):
    for observation in trajectory():
        ObservationLog(tmp_path).put(observation)
    (tmp_path / "char").mkdir()
    (tmp_path / "char" / FILE).write_text((tmp_path / FILE).read_text())
    draw = lambda: draw_all(tmp_path, "phones", [f"characters={tmp_path}/char"], [], None)  # noqa: E731
    paths = draw()
    assert [path.name for path in paths[::2]] == ["figure_1.png", "figure_3.png", "figure_4.png"]
    first = {path: path.read_bytes() for path in paths}
    assert all(content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml") for path, content in first.items())
    draw()
    assert {path: path.read_bytes() for path in paths} == first


def test_series_that_cannot_be_compared(tmp_path, caplog):
    ObservationLog(tmp_path).put(row("a"))
    ObservationLog(tmp_path / "b").put(row("a", utterances=50))
    draw_all(tmp_path, "a", [f"b={tmp_path}/b"], [], None)
    assert "not comparable: the observations were made with utterances 100 and 50" in caplog.text
    assert differing([Series("a", [row("a"), row("b")])]) == ""
    for compare, message in ((f"a={tmp_path}/b", "one label"), ("b", "expected LABEL=DIR"), ("b=x", "does not exist")):
        with pytest.raises(ValueError, match=message):
            draw_all(tmp_path, "a", [compare], [], None)


def test_a_log_replaces_by_name_and_keeps_the_order(tmp_path):
    for observation in (row("a"), row("b"), row("a", nse=0.5, fingerprint="f")):
        ObservationLog(tmp_path).put(observation)
    rows = read_observations(tmp_path / FILE)
    assert [(line.name, line.values["nse"]) for line in rows] == [("a", 0.5), ("b", 0.8)]
    assert ObservationLog(tmp_path).find("f").name == "a" and ObservationLog(tmp_path).find("g") is None
    ObservationLog(tmp_path).put(replace(row("c"), values={"nse": 0.5}))
    with pytest.raises(ValueError, match="'c' has no pai: measure it again"):
        read_observations(tmp_path / FILE)
    (tmp_path / FILE).write_text('{"name": "a"}\n')
    with pytest.raises(ValueError, match="line 1 is no Observation .*stage"):
        read_observations(tmp_path / FILE)


def test_a_fingerprint_changes_with_files_conditions_and_code(tmp_path, monkeypatch):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "a.py").write_text("one")
    weights = tmp_path / "weights.pth"
    weights.write_text("one")
    old, mark = code(tmp_path), fingerprint([weights], "a")
    assert mark == fingerprint([weights], "a") != fingerprint([weights], "b")
    weights.write_text("other")
    assert fingerprint([weights], "a") != mark
    (tmp_path / "metrics" / "a.py").write_text("two")
    assert code(tmp_path) != old
    mark = fingerprint([weights], "a")
    monkeypatch.setattr("espnet_llmasr.observe.observations.code", lambda: "of another version")
    assert fingerprint([weights], "a") != mark
