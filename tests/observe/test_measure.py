"""All figures of an observation from known frames, computed here in numpy."""

from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch

from espnet_llmasr.metrics.accessible_information import EstimatorConfig, project
from espnet_llmasr.metrics.encoder_metrics import UTTERANCE_METRICS, EncoderMetric, set_metrics
from espnet_llmasr.observe.figures import Pair, before_and_after
from espnet_llmasr.observe.frames import Frames
from espnet_llmasr.observe.measure import choose, measure, summarise
from espnet_llmasr.observe.observations import Observation
from espnet_llmasr.train.targets import Targets

COUNT = 14


class Known:
    """Layers that are fixed random projections of the audio's own samples: 4 and 6 wide, an adaptor of 3."""

    rate = 8000

    def __init__(self, seed=0, adaptor=True):
        generator = torch.Generator().manual_seed(seed)
        self.weights = [torch.randn(10, width, generator=generator) for width in (4, 6, 3)]
        self.adaptor = adaptor

    def __call__(self, samples):
        first, second, third = (samples[: len(samples) // 10 * 10].view(-1, 10) @ weight for weight in self.weights)
        return Frames([first, second], third[::2] if self.adaptor else None)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Entries, their samples, and targets of noise."""
    root, rng = tmp_path_factory.mktemp("measure"), np.random.default_rng(0)
    entries, samples = {}, {}
    for number in range(COUNT):
        uid = f"u{number:02d}"
        samples[uid] = rng.normal(size=300 + 20 * number).astype(np.float32) * (0.1 + 0.02 * number)
        entries[uid] = f"{root}/{uid}.wav"
        soundfile.write(entries[uid], samples[uid], 8000, subtype="FLOAT")
    parts = [torch.from_numpy(rng.normal(size=(COUNT, width))) for width in (5, 7, 8)]
    return entries, samples, Targets(list(entries), *parts)


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return ((x.T @ y) ** 2).sum() / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)


def entropy(frames):
    s = np.linalg.svd(frames, compute_uv=False)
    p = s / s.sum()
    return -(p * np.log(p)).sum() / np.log(len(s))


def test_every_figure(data):
    entries, samples, targets = data
    encoder, other, config = Known(), Known(seed=1, adaptor=False), EstimatorConfig(num_components=3)
    found = measure(encoder, entries, targets, config, reference=other)
    seen = [[np.asarray(x, float) for x in (*f.layers, f.adaptor)] for f in map(encoder, _tensors(samples))]
    entropies = np.array([[entropy(layer) for layer in row[:2]] for row in seen])
    np.testing.assert_allclose(found["layers"]["nse"], entropies.mean(0), rtol=1e-6)
    assert found["values"]["nse"] == pytest.approx(entropies[:, 1].mean()) and found["utterances"] == COUNT
    assert found["values"]["nse_std"] == pytest.approx(entropies[:, 1].std())
    text = targets.text.numpy()
    scores = [cka(np.stack([row[n].mean(0) for row in seen]), text) for n in range(3)]
    np.testing.assert_allclose([*found["cka_text"], found["cka_text_adaptor"]], scores, rtol=1e-5)
    u = np.stack([np.concatenate([row[1].mean(0), row[1].std(0)]) for row in seen])
    expected = set_metrics(torch.from_numpy(u), targets.phonetic, targets.semantic, config)
    values = found["values"]
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert found["estimator"]["num_components"] == 3 and 0 <= values["pai_baseline"] != values["pai"]
    against = [np.asarray(x, float) for f in map(other, _tensors(samples)) for x in f.layers]
    pairs = [np.mean([cka(row[n], against[2 * i + n]) for i, row in enumerate(seen)]) for n in range(2)]
    np.testing.assert_allclose(found["cka_reference"], pairs, rtol=1e-5)


def test_a_new_metric_is_one_line_of_the_registry(data, monkeypatch):
    monkeypatch.setitem(UTTERANCE_METRICS, "size", EncoderMetric(lambda frames: float(frames.shape[1]), "Size"))
    numbers = measure(Known(), *data[::2], EstimatorConfig(num_components=3))
    assert numbers["values"]["size"] == 6 and numbers["values"]["size_std"] == 0 and numbers["layers"]["size"] == [4, 6]
    row = Observation("a", "x", None, "m", "set", **numbers)
    titles = [axis.get_title() for axis in before_and_after([Pair("a", row, row)]).axes]
    assert titles == ["NSE", "Size", "PAI (bits)", "CSAI (bits)"]


def _tensors(samples):
    return [torch.from_numpy(x) for x in samples.values()]


@pytest.mark.parametrize(
    "config, message",
    [
        (EstimatorConfig(4), "^u00: too short"),
        (EstimatorConfig(5, 0), "14 utterances are too few"),
    ],
)
def test_an_error_names_the_utterance_but_too_few_are_known_before_the_first_is_read(data, config, message):
    with pytest.raises(ValueError, match=message):
        measure(Mock(rate=8000, side_effect=ValueError("too short")), *data[::2], config)


def test_rounding_of_the_encoder_is_no_component(data):
    """Three directions in float32, the same in all frames: what else is there is rounding, and is not standardised."""
    targets, generator = data[2], torch.Generator().manual_seed(0)
    rows = torch.randn(COUNT, 3, generator=generator) @ torch.randn(3, 12, generator=generator)
    pooled = torch.stack([summarise(Frames([row.expand(5, 12)]), "mean_std").pooled for row in rows])
    estimators = EstimatorConfig(3), EstimatorConfig(4)
    three, four = (set_metrics(pooled, targets.phonetic, targets.semantic, config) for config in estimators)
    assert project(pooled, 4)[:, 3].abs().max() == 0 < project(pooled, 4)[:, 2].abs().max()
    assert min(*three.values(), *four.values()) > 0


def test_choose_spreads_over_the_set():
    ids = [f"{speaker}{number}" for speaker in "cab" for number in range(10)]
    assert choose(ids, 3) == ["a0", "b4", "c9"] and choose(ids, None) == sorted(ids) == choose(ids, 99)
    assert len(set(choose(ids, 29))) == 29
