"""How PAI and CSAI, and their change by joint SFT, move with what the paper leaves open: pooling, PCA size, ridge.

python benchmarks/choices.py --recipe egs2/mini_zh_en/llmasr1    (after stage 9; a minute; prints the table of
                                                                 docs/encoder_analysis.md)
python benchmarks/choices.py --recipe egs2/mini_zh_en/llmasr1 --sets train --num_utterances 1000
"""

import argparse
import os
from pathlib import Path

import torch
from common import table

from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool
from espnet_llmasr.metrics.encoder_metrics import permutation_baseline, set_metrics
from espnet_llmasr.observe.encoders import find_encoder
from espnet_llmasr.observe.make_targets import make_targets, phones_of
from espnet_llmasr.observe.measure import choose
from espnet_llmasr.tasks.speech_task import SpeechTask
from espnet_llmasr.train.speech_batches import read_audio

SIZES = ((4, 0.01), (8, 0.01), (16, 0.001), (16, 0.01), (16, 0.1))
CHOICES = [
    *(EstimatorConfig(k, ridge) for k, ridge in (*SIZES, (32, 0.001), (32, 0.01), (32, 0.1))),
    *(EstimatorConfig(k, ridge, "mean") for k, ridge in (*SIZES, (32, 0.01))),
]
HALVES = 40


def read_table(sets, name):
    """A table of all sets; sets without it have no rows."""
    paths = [Path("dump") / data / name for data in sets]
    return {uid: value for path in paths if path.exists() for uid, value in read_scp(path).items()}


def pooled_by(encoder, entries):
    """(B, 2 D): mean and standard deviation of the output's frames."""
    audio = (read_audio(*entry, encoder.rate) for entry in entries)
    return torch.stack([pool(encoder(torch.from_numpy(samples)).layers[-1]) for samples in audio])


def untrained():
    """The same encoder with random weights."""
    encoder = find_encoder("exp/pretrain").open()
    torch.manual_seed(0)
    config = SpeechTask.config_of(Path("exp/pretrain/config.yaml"))
    encoder.encoder = SpeechTask.build_components(config)["encoder"].eval()
    return encoder


def cells(vectors, targets, choice, halves):
    """The row of a choice, from the vectors of the untrained, the pretrained and the final encoder."""

    def bits(pooled, rows=slice(None)):
        return torch.tensor(list(set_metrics(pooled[rows], *(target[rows] for target in targets), choice).values()))

    width = vectors[0].size(1) // (1 if choice.pooling == "mean_std" else 2)
    random, before, after = (pooled[:, :width] for pooled in vectors)
    std = torch.stack([bits(after, half) - bits(before, half) for half in halves]).std(dim=0)
    chance = permutation_baseline(before, *targets, choice).values()
    yield from (choice.pooling, choice.num_components, choice.ridge)
    for level, first, last, spread, noise in zip(*map(bits, (random, before, after)), std, chance):
        yield from (f"{level:.2f}", f"{first:.2f}", f"{last - first:+.2f} ± {spread:.2f}", f"{noise:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["valid", "test_zh", "test_en", "test_cs"])
    parser.add_argument("--num_utterances", type=int)
    args = parser.parse_args()
    os.chdir(args.recipe)  # paths in the configurations of its trainings are relative
    wavs, texts, langs = (read_table(args.sets, name) for name in ("wav.scp", "text", "utt2lang"))
    targets = make_targets(Path("dump"), texts, phones_of(texts, langs, "zh_en"), "exp/llm")
    ids = choose(set(wavs) & set(targets.ids), args.num_utterances)
    encoders = [untrained(), *(find_encoder(f"exp/{stage}").open() for stage in ("pretrain", "joint_sft"))]
    with torch.no_grad():
        vectors = [pooled_by(encoder, [(uid, wavs[uid]) for uid in ids]) for encoder in encoders]
    generator = torch.Generator().manual_seed(0)
    halves = [torch.randperm(len(ids), generator=generator)[: len(ids) // 2] for _ in range(HALVES)]
    print(f"{len(ids)} utterances")
    columns = [f"{name} {part}" for name in ("PAI", "CSAI") for part in ("random", "pretrained", "change", "chance")]
    rows = (cells(vectors, targets.rows(ids), choice, halves) for choice in CHOICES)
    table(("pooling", "k", "λ", *columns), rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
