"""Augmentation of one utterance against hand-made expectations and the statistics that NIM4-ASR gives."""

import numpy as np
import pytest

from espnet_llmasr.asr.fbank import KaldiFbank
from espnet_llmasr.audio import Windows
from espnet_llmasr.data import noise
from espnet_llmasr.tasks.checks import build
from espnet_llmasr.train.augment import Augmentation, mix, power

FS = 16000
NIM4 = dict(noise_prob=0.2, noise=["babble", "vehicle", "music"], snr_db=[10, 5])


def augmentation(frames_needed=lambda data: 1, seed=0, **conf):
    parts = dict(frontend=KaldiFbank(), output_lengths=Windows(7, 4).count, seed=seed, frames_needed=frames_needed)
    return build(Augmentation, "augment_conf", conf, **parts, emptied=lambda data: {**data, "phones": []})


def tone(size, hertz=440, level=0.1):
    return (level * np.sin(2 * np.pi * hertz * np.arange(size) / FS)).astype(np.float32)


def many(augment, speech, count):
    """The speech of `count` utterances after augmentation."""
    return [augment(0, f"u{number}", {"speech": speech})["speech"] for number in range(count)]


@pytest.fixture()
def silence(monkeypatch):
    """A kind of noise that is none, so that the padding can be seen."""
    monkeypatch.setitem(noise.KINDS, "silence", lambda size, rng, rate: np.zeros(size, dtype=np.float32))
    return dict(noise_prob=1.0, noise="silence")


# ---- speed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "speed, size, hertz", [(0.9, 17778, 396), (1.1, 14546, 484), (1.0, 16000, 440), (0.5, 32000, 220)]
)
def test_speed_changes_duration_and_pitch(speed, size, hertz):
    (out,) = many(augmentation(speed=[speed]), tone(FS), 1)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    assert len(out) == size and out.dtype == np.float32
    assert spectrum.argmax() * FS / size == pytest.approx(hertz, abs=1)
    assert out[1000:-1000].std() == pytest.approx(0.1 / np.sqrt(2), rel=0.01)


def test_speeds_are_drawn_with_equal_chances():
    sizes = [len(out) for out in many(augmentation(speed=[0.9, 1.0, 1.1]), tone(1600), 900)]
    counts = {size: sizes.count(size) for size in (1778, 1600, 1455)}
    assert sum(counts.values()) == 900 and all(240 < count < 360 for count in counts.values())


def fbank_frames(samples):
    """Windows of 25 ms every 10 ms that fit."""
    return len(range(0, samples - 399, 160))


def frames(samples):
    """Encoder frames by the windows that fit: twice 3 feature frames every 2."""
    count = fbank_frames(samples)
    for _ in range(2):
        count = len(range(0, count - 2, 2))
    return count


@pytest.mark.parametrize("more, sizes", [(0, {14546}), (1, {16000})])
def test_a_speed_that_leaves_too_few_frames_for_the_labels_is_not_taken(more, sizes):
    needed = frames(14546) + more  # what speed 1.1 leaves, or one more
    assert {len(out) for out in many(augmentation(lambda data: needed, speed=[1.1]), tone(FS), 9)} == sizes
    assert frames(1360) == 1 and frames(1360 * 10 // 11) == 0  # would not fill one encoder frame
    assert len(many(augmentation(speed=[1.1]), tone(1360), 1)[0]) == 1360


# ---- silence and noise ---------------------------------------------------------------------------------------------


def test_a_fifth_is_noisy():
    speech = tone(800)
    noisy = sum(len(out) != 800 for out in many(augmentation(**NIM4), speech, 4000))
    assert noisy == pytest.approx(800, abs=4 * np.sqrt(4000 * 0.2 * 0.8))
    assert np.array_equal(speech, tone(800))  # untouched


def test_snr_is_normal():
    """Without padding the noise is what was added; the speech is quiet enough that nothing is scaled."""
    speech = tone(1600, level=0.005)
    conf = dict(noise_prob=1.0, noise=["white", "pink"], snr_db=[10, 5], max_pad_s=0)
    added = [out - speech for out in many(augmentation(**conf), speech, 1500)]
    snr = np.array([10 * np.log10(power(speech) / power(difference)) for difference in added])
    assert snr.mean() == pytest.approx(10, abs=4 * 5 / np.sqrt(1500))
    assert snr.std() == pytest.approx(5, abs=4 * 5 / np.sqrt(2 * 1500))
    assert abs(np.mean(((snr - snr.mean()) / snr.std()) ** 3)) < 0.3


def test_padding_is_beta_1_3_on_both_sides(silence):
    speech = np.full(400, 0.5, dtype=np.float32)
    outs = many(augmentation(**silence), speech, 1500)
    before = np.array([int((out != 0).argmax()) for out in outs])
    after = np.array([len(out) - 400 - begin for out, begin in zip(outs, before)])
    assert all(np.array_equal(out[begin : begin + 400], speech) for out, begin in zip(outs, before))
    for pad in (before, after):
        cdf = 1 - (1 - np.sort(pad) / FS) ** 3
        assert np.abs(cdf - np.arange(1, 1501) / 1500).max() < 1.63 / np.sqrt(1500)  # Kolmogorov, 1 %
        assert pad.mean() / FS == pytest.approx(0.25, abs=0.025) and 0 <= pad.min() and pad.max() <= FS
    assert abs(np.corrcoef(before, after)[0, 1]) < 0.1


def test_noise_covers_the_padding():
    """At 10 dB no stretch of 25 ms is below half of the noise's power; silence would be zero."""
    conf = dict(noise_prob=1.0, noise="white", snr_db=[10, 0], max_pad_s=1)
    for out in many(augmentation(**conf), tone(4000), 40):
        pieces = out[: len(out) // 400 * 400].reshape(-1, 400)
        assert (pieces**2).mean(axis=1).min() > 0.5 * 0.1 * 0.1**2 / 2 and len(out) > 4000


def test_padding_is_not_stretched(silence):
    """Speed goes first: what is between the pads is the speech at another speed."""
    out, slow = many(augmentation(**silence, speed=[0.8]), np.full(1600, 0.5, dtype=np.float32), 2)
    assert np.count_nonzero(np.abs(out) > 0.25) == pytest.approx(2000, abs=3)


def test_mix_by_hand():
    speech = np.array([0, 0.2, -0.2, 0.2, 0], dtype=np.float32)  # power 0.04 without its padding
    out = mix(speech, np.array([1, -1, 1, -1, 1], dtype=np.float32), 0.04, 20 * np.log10(2))
    np.testing.assert_allclose(out, [0.1, 0.1, -0.1, 0.1, 0.1], atol=1e-7)  # noise of half the amplitude
    loud = mix(5 * speech, np.array([1, -1, -1, -1, 1], dtype=np.float32), 1.0, -20 * np.log10(3))
    np.testing.assert_allclose(loud, [0.75, -0.5, -1, -0.5, 0.75], atol=1e-6)  # peak 4 becomes 1


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e30])
def test_never_nan(level):
    """Silent speech is padded and stays silent; extreme levels stay finite, nothing is above 1."""
    conf = dict(noise_prob=1.0, noise=list(noise.KINDS), snr_db=[-30, 50], speed=[0.9, 1.1])
    for out in many(augmentation(**conf), np.full(1600, level, dtype=np.float32), 60):
        assert np.isfinite(out).all() and np.abs(out).max() <= 1 and (level or not out.any())


def test_silent_noise(silence):
    speech = tone(1600)
    assert power(np.zeros(5)) == 0 and mix(speech, np.zeros(1600), power(speech), 10) is speech


def test_noise_alone_has_no_target():
    """A fifth of the utterances; noise as long as the speech, quieter by the ratio that is drawn."""
    augment, speech = augmentation(nonspeech_prob=0.2, noise=["white", "music"], snr_db=[10, 5]), tone(1600)
    outs = [augment(0, f"u{number}", {"speech": speech, "phones": [2, 3]}) for number in range(2000)]
    alone = [out["speech"] for out in outs if not len(out["phones"])]
    assert len(alone) == pytest.approx(400, abs=4 * np.sqrt(2000 * 0.2 * 0.8))
    assert all(out["speech"] is speech for out in outs if len(out["phones"]))
    assert all(samples.shape == speech.shape and samples.dtype == np.float32 for samples in alone)
    ratios = np.array([10 * np.log10(power(speech) / power(samples)) for samples in alone])
    assert ratios.mean() == pytest.approx(10, abs=4 * 5 / 20) and ratios.std() == pytest.approx(5, abs=0.8)
    assert max(abs(np.corrcoef(samples, speech)[0, 1]) for samples in alone) < 0.5
    assert augment.longest({"u": 8}) == {"u": 8}  # nothing is put around it


def test_noise_alone_changes_no_other_draw():
    conf, speech = dict(noise_prob=1.0, noise=["white"], speed=[0.9, 1.1]), tone(1600)
    for plain, other in zip(
        many(augmentation(**conf), speech, 20), many(augmentation(nonspeech_prob=0.0, **conf), speech, 20)
    ):
        assert np.array_equal(plain, other)
    assert not augmentation(nonspeech_prob=1.0, noise="white")(0, "u", {"speech": np.zeros(900)})["speech"].any()


def test_a_folder_and_a_kind_together(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.full(9000, 0.3), FS)
    conf = dict(noise_prob=1.0, noise=["white", str(tmp_path)], snr_db=[0, 0], max_pad_s=0)
    added = [out - tone(800) for out in many(augmentation(**conf), tone(800), 200)]
    assert 70 < sum(difference.std() < 1e-4 for difference in added) < 130  # the file is constant


# ---- random numbers, lengths, options ------------------------------------------------------------------------------


def test_random_numbers_follow_from_seed_pass_and_id():
    conf = dict(noise_prob=1.0, noise=["babble", "white"], speed=[0.9, 1.0, 1.1])
    data = {"speech": tone(1600), "phones": np.array([2, 3])}

    def draw(seed=0, number=0, uid="u"):
        return augmentation(seed=seed, **conf)(number, uid, data)["speech"]

    others = [draw(seed=1), draw(number=1), draw(uid="v")]
    assert np.array_equal(draw(), draw()) and not any(np.array_equal(draw(), other) for other in others)
    augment = augmentation(**conf)
    augment(0, "other", data)  # no state is left behind
    out = augment(0, "u", data)
    assert np.array_equal(out["speech"], draw()) and out["phones"] is data["phones"]


def test_off_by_default_and_an_empty_yaml():
    for conf in ({}, dict(speed=[], noise_prob=0.0, noise=[], snr_db=[10.0, 5.0], max_pad_s=1.0), dict(speed=None)):
        augment, speech = augmentation(**conf), tone(500)
        assert not augment.is_on and augment(0, "u", {"speech": speech})["speech"] is speech


@pytest.mark.parametrize("conf", [dict(speed=[0.9, 1.1]), NIM4, dict(speed=[0.7, 1.0], **NIM4), dict(speed=[1.2])])
def test_longest_is_reached_and_never_exceeded(conf):
    augment = augmentation(**{**conf, **({"noise_prob": 1.0} if "noise" in conf else {})})
    slowest, padding = min(1, *conf.get("speed", [1])), 32000 if "noise" in conf else 0
    for size in (400, 559, 560, 2000, 16159):
        count = fbank_frames(size)
        most = augment.longest({"u": count, "v": count})
        assert most == dict.fromkeys("uv", fbank_frames(int(np.ceil((399 + 160 * count) / slowest - 1e-9)) + padding))
        assert max(fbank_frames(len(out)) for out in many(augment, tone(size), 40)) <= most["u"]


@pytest.mark.parametrize(
    "conf, message",
    [
        (
            dict(speeds=[0.9]),
            "--augment_conf has 'speeds', allowed are speed, noise_prob, nonspeech_prob, noise, snr_db, max_pad_s",
        ),
        (dict(frontend=3), "--augment_conf has 'frontend', allowed are speed, noise_prob"),
        (dict(speed=[0.9, 3]), "has speed 3, allowed are numbers from 0.5 to 2"),
        (dict(speed=["fast"]), "has speed 'fast', allowed are numbers"),
        (dict(speed=[0.905]), "has speed 0.905, allowed are steps of 0.01"),
        (dict(noise="white", noise_prob=1.2), "has noise_prob 1.2, allowed are numbers from 0 to 1"),
        (dict(noise="white", noise_prob=-0.1), "has noise_prob -0.1"),
        (dict(noise="white", noise_prob=float("nan")), "has noise_prob nan"),
        (dict(noise="white", nonspeech_prob=2), "has nonspeech_prob 2, allowed are numbers from 0 to 1"),
        (dict(noise_prob=0.2), r"noise_prob=0.2, nonspeech_prob=0.0 and noise='': give noise and a probability"),
        (dict(nonspeech_prob=0.2), r"noise_prob=0.0, nonspeech_prob=0.2 and noise='': give noise and a probability"),
        (dict(noise=["white"]), r"and noise=\['white'\]: give noise and a probability, or none"),
        (dict(noise="none/such", noise_prob=0.2), "noise 'none/such' is neither a folder .* nor one of babble"),
        (dict(**NIM4, max_pad_s=-1), "has max_pad_s -1, allowed are numbers from 0 to 10"),
        (dict(snr_db=10), r"has snr_db=10, expected mean and standard deviation: \[10.0, 5.0\]"),
        (dict(snr_db=[10, -5]), "has deviation of snr_db -5"),
        (dict(snr_db=[float("inf"), 5]), "has mean of snr_db inf"),
    ],
)
def test_wrong_options(conf, message):
    with pytest.raises(ValueError, match=message):
        augmentation(**conf)
