"""Reads speech from wav.scp: single files, a table for ESPnet, and batches for statistics, CKA and decoding."""

from collections.abc import Mapping
from typing import Container, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr import audio
from espnet_llmasr.files import parse_shard, read_rows
from espnet_llmasr.train.batches import frame_batches

Batch = Tuple[List[str], torch.Tensor, torch.Tensor]


def read_audio(uid: str, entry: str, sample_rate: int) -> np.ndarray:
    """float32 mono samples (N,) at `sample_rate` Hz of an entry of wav.scp with any rate and number of channels.

    Raises ValueError if the audio is missing, damaged or empty, or has a NaN.
    """
    try:
        return audio.read(entry, sample_rate)
    except audio.AudioError as error:
        raise ValueError(f"{uid}: cannot use {error}: run the data stage (2), which drops such audio") from error


class AudioTable(Mapping):
    """wav.scp as a mapping of ids to samples, for ESPnet's data type "audio_16000" (or another rate in Hz).

    Raises ValueError if an id occurs twice.
    """

    def __init__(self, path: str, loader_type: str, keys_to_load: Optional[Container] = None):
        self.rate = int(loader_type.rpartition("_")[2])
        self.entries: Dict[str, str] = {}
        for uid, entry in read_rows(path):
            if keys_to_load is None or uid in keys_to_load:
                if uid in self.entries:
                    raise ValueError(f"{path}: id '{uid}' occurs twice: run the data stage (2)")
                self.entries[uid] = entry

    def __getitem__(self, uid: str) -> np.ndarray:
        return read_audio(uid, self.entries[uid], self.rate)

    def __contains__(self, uid: object) -> bool:
        return uid in self.entries  # that of Mapping would read the audio

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


def speech_batches(
    wavs: Dict[str, str], num_frames: Dict[str, int], max_frames: int, sample_rate: int
) -> Iterator[Batch]:
    """Utterances of similar length: ids, speech (B, N) right-padded, lengths (B,).

    Raises ValueError for no utterances, an utterance without a number of frames, or audio that cannot be read.
    """
    unknown = [uid for uid in wavs if uid not in num_frames]
    if unknown:
        raise ValueError(f"{unknown[0]} is in wav.scp but not in utt2num_frames: run the data stage (2)")
    for uids in frame_batches({uid: num_frames[uid] for uid in wavs}, max_frames):
        rows = [torch.from_numpy(read_audio(uid, wavs[uid], sample_rate)) for uid in uids]
        yield uids, pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def shard(ids: List[str], spec: str) -> List[str]:
    """Part "i/n" of a list: every n-th id, from the i-th (i starts at 1). Raises ValueError for another form."""
    number, total = parse_shard(spec)
    return ids[number - 1 :: total]
