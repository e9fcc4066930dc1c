"""Takes the encoder of an earlier pretraining of ours as the start of another one, as asr/firered.py takes a published one."""

import os
from pathlib import Path

from espnet_llmasr.asr.weights import read_state, write_state
from espnet_llmasr.files import atomic_path, check_file

WEIGHTS, STATISTICS = "latest.pth", Path("stats", "feats_stats.npz")


def take_encoder(pretraining: Path, out: Path) -> str:
    """Writes OUT/encoder.pth and OUT/feats_stats.npz of a folder such as exp/pretrain; returns what is taken, in words.

    The statistics of the features are those in exp/stats: the encoder has seen features that were normalised by them.
    Raises ValueError if a file is missing or broken, or there is no encoder.
    """
    weights, statistics = pretraining / WEIGHTS, Path(os.path.abspath(pretraining)).parent / STATISTICS
    for file in (weights, statistics):
        check_file(file)
    state = {name: value for name, value in read_state(weights).items() if name.startswith("encoder.")}
    if not state:
        raise ValueError(
            f"{weights} has no weights 'encoder.*': give the folder of a pretraining, such as exp/pretrain"
        )
    write_state(out / "encoder.pth", state)
    with atomic_path(out / STATISTICS.name) as temporary:
        Path(temporary).write_bytes(statistics.read_bytes())
    size = sum(value.numel() for value in state.values()) / 1e6
    return f"taken: encoder ({size:,.1f}M numbers), statistics of {statistics}\nleft:  everything else in {weights}\n"
