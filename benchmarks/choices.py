#!/usr/bin/env python3
"""How PAI and CSAI, and their change by joint SFT, move with what the paper leaves open: pooling, PCA size, ridge.

python benchmarks/choices.py --recipe egs2/mini_zh_en/llmasr1    (after all its stages; a minute; prints the table
                                                                 that stands in docs/encoder_analysis.md)
python benchmarks/choices.py --recipe egs2/mini_zh_en/llmasr1 --sets train --num_utterances 1000
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from espnet_llmasr.files import read_scp  # noqa: E402
from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool  # noqa: E402
from espnet_llmasr.metrics.encoder_metrics import permutation_baseline, set_metrics  # noqa: E402
from espnet_llmasr.observe.encoders import find_encoder  # noqa: E402
from espnet_llmasr.observe.make_targets import make_targets, phones_of  # noqa: E402
from espnet_llmasr.observe.measure import choose  # noqa: E402
from espnet_llmasr.tasks.speech_task import SpeechTask  # noqa: E402
from espnet_llmasr.train.speech_batches import read_audio  # noqa: E402

CHOICES = [
    *(EstimatorConfig(k, ridge) for k, ridge in ((4, 0.01), (8, 0.01), (16, 0.001), (16, 0.01), (16, 0.1))),
    *(EstimatorConfig(32, ridge) for ridge in (0.001, 0.01, 0.1)),
    *(EstimatorConfig(k, ridge, "mean") for k, ridge in ((4, 0.01), (8, 0.01), (16, 0.001), (16, 0.01), (16, 0.1))),
    EstimatorConfig(32, 0.01, "mean"),
]
HALVES = 40


def joined(sets, folder: Path) -> None:
    """wav.scp, text and utt2lang of all sets in one folder."""
    for name in ("wav.scp", "text", "utt2lang"):
        parts = [Path("dump") / one / name for one in sets]
        (folder / name).write_text("".join(part.read_text(encoding="utf-8") for part in parts if part.exists()))


def pooled_by(encoder, entries) -> torch.Tensor:
    """(B, 2 D): mean and standard deviation of the output's frames."""
    return torch.stack([pool(encoder(torch.from_numpy(read_audio(*one, encoder.rate))).layers[-1]) for one in entries])


def untrained():
    """The same encoder with the weights that it began with."""
    encoder = find_encoder("exp/pretrain").open()
    torch.manual_seed(0)
    encoder.encoder = SpeechTask.build_components(SpeechTask.config_of(Path("exp/pretrain/config.yaml")))[
        "encoder"
    ].eval()
    return encoder


def measured(pooled, targets, choices, rows):
    """(PAI, CSAI) of some utterances."""
    u = pooled if choices.pooling == "mean_std" else pooled[:, : pooled.size(1) // 2]
    return torch.tensor(list(set_metrics(u[rows], *(one[rows] for one in targets), choices).values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["valid", "test_zh", "test_en", "test_cs"])
    parser.add_argument("--num_utterances", type=int)
    args = parser.parse_args()
    os.chdir(args.recipe)  # as its trainings: paths in their configurations are relative
    with tempfile.TemporaryDirectory() as folder:
        joined(args.sets, Path(folder))
        texts = read_scp(Path(folder) / "text")
        phones = phones_of(texts, read_scp(Path(folder) / "utt2lang"), "zh_en")
        found = make_targets(Path(folder), texts, phones, "exp/llm")
        wavs = read_scp(Path(folder) / "wav.scp")
        ids = choose(set(wavs) & set(found.ids), args.num_utterances)
    targets = found.rows(ids)
    before, after = (find_encoder(f"exp/{stage}").open() for stage in ("pretrain", "joint_sft"))
    with torch.no_grad():
        entries = [(uid, wavs[uid]) for uid in ids]
        pooled = [pooled_by(one, entries) for one in (before, after, untrained())]
    everything, generator = torch.arange(len(ids)), torch.Generator().manual_seed(0)
    halves = [torch.randperm(len(ids), generator=generator)[: len(ids) // 2] for _ in range(HALVES)]
    print(f"{len(ids)} utterances\n")
    columns = [f"{name} {part}" for name in ("PAI", "CSAI") for part in ("random", "pretrained", "change", "chance")]
    print(f"| pooling | k | λ | {' | '.join(columns)} |\n|{'---|' * 11}")
    for choices in CHOICES:
        first, second, random = (measured(one, targets, choices, everything) for one in pooled)
        width = pooled[0].size(1) if choices.pooling == "mean_std" else pooled[0].size(1) // 2
        chance = list(permutation_baseline(pooled[0][:, :width], *targets, choices).values())
        change = [
            measured(pooled[1], targets, choices, half) - measured(pooled[0], targets, choices, half) for half in halves
        ]
        spread = torch.stack(change).std(dim=0)
        cells = [
            f"{random[i]:.2f} | {first[i]:.2f} | {second[i] - first[i]:+.2f} ± {spread[i]:.2f} | {chance[i]:.2f}"
            for i in (0, 1)
        ]
        print(f"| {choices.pooling} | {choices.num_components} | {choices.ridge} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
