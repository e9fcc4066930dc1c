"""Packed against padded rows of the LLM: the time of joint SFT's forward and backward pass on a trained miniature.

    python benchmarks/packing.py RECIPE [ROUNDS]    (RECIPE has exp/joint_sft and dump/train, as egs2/mini_zh_en makes)

Two selections of batches: those of the training (drawn among utterances of similar length, with little padding) and
those drawn among all. Packed and padded rows take turns at each batch, one thread. The speed is audio per second of CPU time,
of the whole step and of the LLM alone (with adaptor and loss: the encoder's frames are there before); the ratio is that
of packed to padded of the same batches, one a round.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from common import cpu_s, machine, spread, table
from espnet2.train.distributed_utils import DistributedOption
from padding import random_batches

from espnet_llmasr.asr import attention
from espnet_llmasr.asr.packing import pad
from espnet_llmasr.asr.weights import load_state, read_state
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.trainer import placed

NUM_BATCHES = 8


@contextmanager
def padded_rows():
    """A row for each sequence, as before packing."""
    packed, attention.PACKED = attention.PACKED, ()
    try:
        yield
    finally:
        attention.PACKED = packed


def training(recipe: Path):
    """Model, options and {utterance: frames} of a joint SFT."""
    os.chdir(recipe)
    args = LLMASRTask.config_of(Path("exp/joint_sft/config.yaml"))
    model = LLMASRTask.build_model(args)
    load_state(model, read_state("exp/joint_sft/latest.pth"), "latest.pth", "config.yaml")
    return model.train(), args, read_num_frames("dump/train/utt2num_frames")


def selections(args, frames):
    """{name: batches of utterances}."""
    options = LLMASRTask.build_iter_options(args, DistributedOption(), "train")
    texts = LLMASRTask.build_dataset(args, options, set(frames)).loader_dict["text"]
    drawn = LLMASRTask.build_batches(args, frames, LLMASRTask.label_lengths(args, texts)).generate(1)
    pick = np.random.default_rng(0).permutation
    some = lambda batches: [batches[number] for number in pick(len(batches))[:NUM_BATCHES]]
    return {"of the training": some(drawn), "of any lengths": some(random_batches(frames, args.max_frames, 1))}


def load(args, uids):
    """A batch as the training sees it."""
    options = LLMASRTask.build_iter_options(args, DistributedOption(), "train")
    dataset = LLMASRTask.build_dataset(args, options, set(uids))
    return placed(LLMASRTask.build_collate_fn(args, True)([dataset[uid] for uid in uids])[1], "cpu")


def step(model, batch) -> float:
    """The loss; gradients are made and thrown away."""
    loss = model(**batch)[0]
    loss.backward()
    model.zero_grad()
    return float(loss.detach())


@contextmanager
def without_encoder(model, batch):
    """While open, the encoder's frames of this batch are there already."""
    with torch.no_grad():
        frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    model.encode = lambda *args: (frames, lengths)
    try:
        yield
    finally:
        del model.encode


def measure(model, batches, rounds):
    """CPU seconds {part: (packed (rounds,), padded (rounds,))} of all batches, and the largest difference of losses."""
    seconds, off = {part: np.zeros((2, rounds + 1)) for part in ("step", "LLM")}, 0.0
    for number in range(rounds + 1):  # the first round is thrown away
        for place, batch in enumerate(batches):
            with without_encoder(model, batch):
                off = max(off, both(model, batch, seconds["LLM"], number, place % 2))
            both(model, batch, seconds["step"], number, place % 2)
    return {part: values[:, 1:] for part, values in seconds.items()}, off


def both(model, batch, seconds, number, first) -> float:
    """Adds the times of a step in packed and in padded rows (`first`: 0 or 1); returns by how much the losses differ."""
    losses = {}
    for form in (first, 1 - first):
        torch.manual_seed(number)
        if form == 0:
            took, losses[form] = cpu_s(step, model, batch)
        else:
            with padded_rows():
                took, losses[form] = cpu_s(step, model, batch)
        seconds[form, number] += took
    return abs(losses[0] - losses[1])


def rows_of(model, batch):
    """Sequence tokens of a batch, and places of its packed and padded rows."""
    _, speech = model.adaptor(*model.encode(batch["speech"], batch["speech_lengths"]))
    lengths = batch["prompt_lengths"] - 1 + speech + batch["text_lengths"]
    return lengths.sum(), np.prod(attention.layout_of(model.llm, lengths)[1]), np.prod(pad(lengths)[1])


def main(recipe: str, rounds: str = "5") -> None:
    torch.set_num_threads(1)
    model, args, frames = training(Path(recipe))
    rows = []
    for name, ids in selections(args, frames).items():
        batches, audio_s = [load(args, uids) for uids in ids], sum(frames[uid] for uids in ids for uid in uids) / 100
        with torch.no_grad():
            tokens, packed, padded = np.sum([rows_of(model, batch) for batch in batches], axis=0)
        seconds, off = measure(model, batches, int(rounds))
        for part, (ours, theirs) in seconds.items():
            waste = f"{1 - tokens / packed:.1%}", f"{1 - tokens / padded:.1%}"
            speeds = spread(audio_s / ours), spread(audio_s / theirs)
            rows.append((name, part, *waste, *speeds, spread(theirs / ours, 3), f"{off:.0e}"))
    print(machine("torch", "transformers"))
    columns = [
        "batches",
        "of",
        "empty places, packed",
        "padded",
        "audio s per CPU s, packed",
        "padded",
        "ratio",
        "loss differs",
    ]
    table(columns, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
