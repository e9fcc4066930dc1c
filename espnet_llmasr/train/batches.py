"""Batches by a budget of feature frames."""

import re
from typing import Container, Dict, List, Mapping, Optional

from espnet_llmasr.files import PathLike, read_scp

FRAMES = re.compile(r"[0-9]{1,9}(,[0-9]+)?")


def frame_batches(num_frames: Mapping[str, int], max_frames: int, world_size: int = 1) -> List[List[str]]:
    """Groups utterances of similar length so that longest x size <= max_frames holds on every rank.

    ESPnet's own sampler lets the utterance that overflows in, counts raw samples and shares the budget among ranks; the
    paper's "20k frames per batch" is kept exactly here. Rank r takes batch[r::world_size]; a batch with fewer
    utterances than ranks is filled up by repeating them.

    Args:
        num_frames: frames per utterance id.
        max_frames: most padded frames per batch and rank.
    Raises ValueError if an utterance alone exceeds the budget.
    """
    longest = max(num_frames, key=num_frames.get, default=None)
    if longest is None:
        raise ValueError("no utterances to form batches of: the shape file is empty")
    if num_frames[longest] > max_frames:
        raise ValueError(
            f"{longest} has {num_frames[longest]} frames, the budget is max_frames={max_frames}: "
            "raise max_frames or lower --max_duration of the data stage (augment_conf counts at its longest)"
        )
    batches: List[List[str]] = [[]]
    for uid in sorted(sorted(num_frames), key=num_frames.get):
        if len(batches[-1]) + 1 > world_size * (max_frames // max(num_frames[uid], 1)):
            batches.append([])
        batches[-1].append(uid)
    return [_fill_up(batch, world_size) for batch in batches]


def _fill_up(batch: List[str], world_size: int) -> List[str]:
    return batch if len(batch) >= world_size else (batch * world_size)[:world_size]


def read_num_frames(path: PathLike, keys: Optional[Container[str]] = None) -> Dict[str, int]:
    """Reads utt2num_frames: lines "id frames" or "id frames,dim"; only those of `keys`, if given. Raises as `read_scp`."""
    return read_scp(path, keys, _parse_frames)


def _parse_frames(shape: str) -> int:
    if not FRAMES.fullmatch(shape):
        raise ValueError("expected a number of frames such as 98: run the data stage (2)")
    return int(shape.partition(",")[0])
