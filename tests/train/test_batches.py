"""Batches by budgets of frames and LLM tokens, and speech read outside a training."""

from itertools import combinations

import numpy as np
import pytest
import soundfile
import torch
from espnet2.train.dataset import ESPnetDataset

from espnet_llmasr.files import write_scp
from espnet_llmasr.tasks import speech_task  # noqa: F401  # adds the data type
from espnet_llmasr.train.batches import BucketBatches, frame_batches, read_num_frames
from espnet_llmasr.train.preprocessor import PhonePreprocessor, as_samples, collate
from espnet_llmasr.train.speech_batches import SpeechSet, read_audio

FRAMES = {f"u{number}": 20 + (number * 37) % 180 for number in range(50)}


@pytest.mark.parametrize("max_frames", [200, 999, 20000])
def test_sorted_batches_are_full(max_frames):
    batches = frame_batches(FRAMES, max_frames)
    assert sorted(sum(batches, [])) == sorted(FRAMES)
    assert all(len(batch) * max(FRAMES[uid] for uid in batch) <= max_frames for batch in batches)
    for first, second in zip(batches, batches[1:]):  # no batch could have taken the next utterance
        assert (len(first) + 1) * FRAMES[second[0]] > max_frames


def test_order_of_ids_and_small_sets():
    backwards = dict(reversed(FRAMES.items()))
    assert frame_batches(backwards, 500) == frame_batches(FRAMES, 500)
    assert BucketBatches(backwards, 500).generate(3) == BucketBatches(FRAMES, 500).generate(3)
    assert frame_batches({"a": 0}, 5) == BucketBatches({"a": 0}, 5).generate(0) == [["a"]]
    assert BucketBatches({"a": 5}, 10, rank=2, world_size=3).generate(0) == [["a"]]


def test_bad_budgets():
    for form in (frame_batches, BucketBatches):
        with pytest.raises(ValueError, match="u0 has 300 frames, the budget is max_frames=200"):
            form({**FRAMES, "u0": 300}, 200)
        with pytest.raises(ValueError, match="the shape file is empty"):
            form({}, 200)
    with pytest.raises(ValueError, match="u7 has 90 LLM tokens, the budget is max_llm_tokens=80: raise"):
        BucketBatches(FRAMES, 200, {**dict.fromkeys(FRAMES, 30), "u7": 90}, 80)


def random_set(draw):
    """Lengths of any distribution, tokens with outliers, budgets that the largest just fits or that hold hundreds."""
    size = int(draw.integers(1, 400))
    frames = draw.choice([draw.integers(0, 3000, size), draw.lognormal(5, 1, size).astype(int), np.full(size, 77)])
    tokens = 20 + frames // 16 + draw.poisson(draw.choice([3, 60]), size) + (draw.random(size) < 0.02) * 300
    budgets = (int(max(1, values.max()) * draw.choice([1, 1.5, 30])) for values in (frames, tokens))
    ids = [f"u{number}" for number in range(size)]
    return dict(zip(ids, frames.tolist())), dict(zip(ids, tokens.tolist())), *budgets


@pytest.mark.parametrize("seed", range(60))
def test_any_set_is_drawn_within_both_budgets_on_every_rank(seed):
    draw = np.random.default_rng(seed)
    frames, tokens, max_frames, max_tokens = random_set(draw)
    world_size, least = int(draw.choice([1, 2, 3, 8])), int(draw.choice([1, 4]))
    if seed % 3 == 0:  # as in pretraining
        tokens = None
    sizes = dict(least=least, world_size=world_size)
    ranks = [BucketBatches(frames, max_frames, tokens, max_tokens, rank=r, **sizes) for r in range(world_size)]
    drawn = [rank.generate(seed) for rank in ranks]
    assert {len(batches) for batches in drawn} == {len(rank) for rank in ranks} == {len(ranks[0].generate(seed + 1))}
    for batch in sum(drawn, []):
        assert 0 < len(batch) * max(frames[uid] for uid in batch) <= max_frames or max(map(frames.get, batch)) == 0
        assert tokens is None or sum(map(tokens.get, batch)) <= max_tokens
    everything = sum((sum(batches, []) for batches in drawn), [])
    assert set(everything) == set(frames)
    alone = {len(batch) for batches in drawn for batch in batches} == {1}
    assert len(everything) == len(frames) or alone and len(everything) - len(frames) < world_size
    assert ranks[0].of_all_ranks(seed) == [batch for step in zip(*drawn) for batch in step]
    assert BucketBatches(frames, max_frames, tokens, max_tokens, **sizes).generate(seed) == drawn[0]  # after a restart


def test_batches_are_as_few_as_the_budgets_allow():
    """Tokens bound the batches of short utterances, frames those of long ones; both are nearly used up."""
    draw = np.random.default_rng(0)
    for frames_of, tokens_of, used in ((20, 25, "tokens"), (500, 60, "frames")):
        frames = {f"u{number}": frames_of + int(draw.integers(5)) for number in range(5000)}
        tokens = {uid: tokens_of + int(draw.integers(10)) for uid in frames}
        batches = BucketBatches(frames, 7000, tokens, 2000).generate(0)
        mean = {"frames": sum(frames.values()) / 7000, "tokens": sum(tokens.values()) / 2000}
        assert mean[used] <= len(batches) <= 1.1 * mean[used] and mean[used] == max(mean.values())


def librispeech_like(draw, size=28_000):
    """Frames with LibriSpeech's peak at 12 to 16 s between 1 and 35 s."""
    parts = [draw.normal(14.2, 1.3, size * 55 // 100), draw.uniform(1.2, 16.5, size * 40 // 100)]
    parts.append(1 + draw.gamma(2, 4, size - sum(map(len, parts))))
    seconds = np.concatenate(parts).clip(1, 35)
    return {f"u{number:05}": int(100 * value) - 2 for number, value in enumerate(seconds)}


@pytest.mark.parametrize("max_frames", [7000, 20000])
def test_other_mates_in_the_next_pass_and_less_than_two_percent_padding(max_frames):
    frames = librispeech_like(np.random.default_rng(0))
    batches = BucketBatches(frames, max_frames, world_size=8)
    first, second = batches.of_all_ranks(1), batches.of_all_ranks(2)
    padded = sum(len(batch) * max(map(frames.get, batch)) for batch in first)
    assert sum(frames.values()) > 0.98 * padded
    assert padded / max_frames / len(first) > 0.85  # and batches are full
    mates = [{frozenset(pair) for batch in part for pair in combinations(batch, 2)} for part in (first, second)]
    assert len(mates[0] & mates[1]) < 0.2 * len(mates[0])
    ranks = [frames[max(batch, key=frames.get)] for batch in first]
    steps = [ranks[start : start + 8] for start in range(0, len(ranks), 8)]  # of all ranks
    assert sum(max(step) - min(step) for step in steps) < 0.05 * sum(map(max, steps))


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
