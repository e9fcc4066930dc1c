"""Batches by a frame budget, and speech read outside a training."""

import numpy as np
import pytest
import soundfile
import torch
from espnet2.train.dataset import ESPnetDataset

from espnet_llmasr.files import write_scp
from espnet_llmasr.tasks import speech_task  # noqa: F401  # adds the data type
from espnet_llmasr.train.batches import frame_batches, read_num_frames
from espnet_llmasr.train.preprocessor import PhonePreprocessor, as_samples, collate
from espnet_llmasr.train.speech_batches import SpeechSet, read_audio

FRAMES = {f"u{number}": 20 + (number * 37) % 180 for number in range(50)}


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("max_frames", [200, 999, 20000])
def test_budget_holds_on_every_rank(max_frames, world_size):
    batches = frame_batches(FRAMES, max_frames, world_size)
    assert sorted(set(sum(batches, []))) == sorted(FRAMES)
    for batch in batches:
        ranks = [batch[rank::world_size] for rank in range(world_size)]
        assert all(rank and len(rank) * max(FRAMES[uid] for uid in rank) <= max_frames for rank in ranks)
    if world_size == 1:
        assert len(sum(batches, [])) == 50  # each utterance once
        for first, second in zip(batches, batches[1:]):  # and no batch could have taken the next utterance
            assert (len(first) + 1) * FRAMES[second[0]] > max_frames


def test_order_of_ids_and_small_sets():
    assert frame_batches(dict(reversed(FRAMES.items())), 500) == frame_batches(FRAMES, 500)
    assert frame_batches({"a": 5}, 10, world_size=3) == [["a", "a", "a"]]
    assert frame_batches({"a": 0}, 5) == [["a"]]


def test_bad_budgets():
    with pytest.raises(ValueError, match="u0 has 300 frames, the budget is max_frames=200"):
        frame_batches({**FRAMES, "u0": 300}, 200)
    with pytest.raises(ValueError, match="the shape file is empty"):
        frame_batches({}, 200)


def test_read_num_frames(tmp_path):
    (tmp_path / "shape").write_text("a 12\nb 7,80\n")
    assert read_num_frames(tmp_path / "shape") == {"a": 12, "b": 7}
    assert read_num_frames(tmp_path / "shape", {"b"}) == {"b": 7}


# ---- utterances ----------------------------------------------------------------------------------------------------


def test_phones_to_ids():
    preprocess = PhonePreprocessor(["<blank>", "<unk>", "a", "b"])
    out = preprocess("u", {"speech": np.zeros(5), "phones": "b a b"})
    assert out["phones"].tolist() == [3, 2, 3] and out["speech"].dtype == np.float32
    with pytest.raises(ValueError, match="u: phone 'zh' is not among the 4 tokens of the model"):
        preprocess("u", {"speech": np.zeros(5), "phones": "a zh"})


@pytest.mark.parametrize(
    "samples, message",
    [([0.0, np.nan], "NaN"), ([np.inf], "NaN or infinity"), ([], r"shape \(0,\)"), ([[0.0, 1.0]], r"shape \(1, 2\)")],
)
def test_bad_samples(samples, message):
    with pytest.raises(ValueError, match=f"u7: audio .*{message}"):
        as_samples("u7", np.array(samples))


def test_collate():
    rows = [("a", {"x": np.array([1, 2, 3])}), ("b", {"x": np.array([4])})]
    uids, batch = collate(rows)
    assert uids == ["a", "b"] and batch["x_lengths"].tolist() == [3, 1]
    assert batch["x"].tolist() == [[1, 2, 3], [4, 0, 0]]


def test_read_audio(tmp_path):
    """Any rate and channels; what cannot be used is named with its utterance."""
    soundfile.write(tmp_path / "a.wav", np.zeros((800, 2)), 8000)
    assert len(read_audio("u", str(tmp_path / "a.wav"), 16000)) == 1600
    assert len(read_audio("u", f"{tmp_path}/a.wav#t=0.05,0.06", 8000)) == 80
    soundfile.write(tmp_path / "b.wav", np.full(9, np.nan), 8000, subtype="FLOAT")
    (tmp_path / "c.wav").write_text("no audio")
    for name, reason in (("b.wav", "nan_samples"), ("c.wav", "unreadable_wav"), ("none.wav", "missing_wav")):
        with pytest.raises(ValueError, match=f"u: cannot use .*{name}: {reason}: run the data stage"):
            read_audio("u", str(tmp_path / name), 8000)


def test_the_data_type_of_a_training_gives_the_samples_of_espnets_own(tmp_path):
    """Bit for bit for a wav of the right rate, so that trainings are as before; only the wanted ids are kept."""
    samples = np.random.default_rng(0).uniform(-1, 1, 5000)
    table = []
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        soundfile.write(tmp_path / f"{subtype}.wav", samples, 16000, subtype=subtype)
        table.append(f"{subtype} {tmp_path}/{subtype}.wav\n")
    (tmp_path / "wav.scp").write_text("".join(table))
    ours, stock = (
        ESPnetDataset([(f"{tmp_path}/wav.scp", "speech", kind)], keys_to_load={"PCM_16", "FLOAT"})
        for kind in ("audio_16000", "sound")
    )
    for uid in ("PCM_16", "FLOAT"):
        speech = ours[uid][1]["speech"]
        assert speech.dtype == np.float32 and np.array_equal(speech, stock[uid][1]["speech"])
    assert list(ours.loader_dict["speech"]) == ["PCM_16", "FLOAT"]
    half = ESPnetDataset([(f"{tmp_path}/wav.scp", "speech", "audio_8000")])
    assert half["FLOAT"][1]["speech"].shape == (2500,)


def test_speech_set(tmp_path):
    for number in range(1, 5):
        soundfile.write(tmp_path / f"{number}.wav", np.full(400 + 160 * number, 0.1 * number), 16000)
    write_scp(tmp_path / "wav.scp", {f"u{number}": tmp_path / f"{number}.wav" for number in (1, 2, 3, 4, 9)})
    write_scp(tmp_path / "utt2num_frames", {f"u{number}": 1 + number for number in range(1, 5)})
    speech_set = SpeechSet(tmp_path, ["u1", "u2", "u3", "u4"])
    batches = list(speech_set.batches(10, 16000))
    assert [uids for uids, _, _ in batches] == [["u1", "u2"], ["u3", "u4"]]
    uids, speech, lengths = batches[0]
    assert lengths.tolist() == [560, 720] and speech.shape == (2, 720) and speech[0, 560:].eq(0).all()
    assert torch.allclose(speech[1], torch.tensor(0.2), atol=1e-4)
    with pytest.raises(ValueError, match="u9 is in wav.scp but not in utt2num_frames"):
        SpeechSet(tmp_path)
    with pytest.raises(ValueError, match="1 utterances have no audio in .*wav.scp .u7."):
        SpeechSet(tmp_path, ["u1", "u7"])
    parts = [[uids for uids, *_ in speech_set.batches(10, 16000, f"{number}/5")] for number in range(1, 6)]
    assert parts == [[["u1"]], [["u2"]], [["u3"]], [["u4"]], []]
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0", ""):
        with pytest.raises(ValueError, match="is not i/n"):
            next(speech_set.batches(10, 16000, wrong))
