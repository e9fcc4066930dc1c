"""Reads speech from wav.scp: single files, a table for ESPnet, and sets in batches for statistics, CKA and decoding."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Collection, Container, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr import audio
from espnet_llmasr.data.kaldi import read_utt2lang
from espnet_llmasr.files import parse_shard, read_scp
from espnet_llmasr.train.batches import frame_batches, read_num_frames

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
        self.entries = read_scp(path, keys_to_load)

    def __getitem__(self, uid: str) -> np.ndarray:
        return read_audio(uid, self.entries[uid], self.rate)

    def __contains__(self, uid: object) -> bool:
        return uid in self.entries  # that of Mapping would read the audio

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


class SpeechSet:
    """The utterances of dump/<set>, or those of `ids`.

    Attributes:
        wavs: id -> entry of wav.scp. num_frames: id -> feature frames.
    Raises:
        ValueError: no utterances, or an utterance that wav.scp or utt2num_frames lacks.
    """

    def __init__(self, data_dir: Path, ids: Optional[Collection[str]] = None):
        self.data_dir, self.wavs = data_dir, read_scp(data_dir / "wav.scp", ids)
        absent = [uid for uid in ids or () if uid not in self.wavs]
        if absent:
            raise ValueError(f"{len(absent)} utterances have no audio in {data_dir}/wav.scp ({', '.join(absent[:5])})")
        if not self.wavs:
            raise ValueError(f"{data_dir}/wav.scp is empty: run the data stage (2)")
        self.num_frames = read_num_frames(data_dir / "utt2num_frames", self.wavs)
        unknown = [uid for uid in self.wavs if uid not in self.num_frames]
        if unknown:
            raise ValueError(f"{unknown[0]} is in wav.scp but not in utt2num_frames: run the data stage (2)")

    @cached_property
    def langs(self) -> Dict[str, str]:
        """id -> language, see `read_utt2lang`."""
        return read_utt2lang(self.data_dir)

    def batches(self, max_frames: int, sample_rate: int, part: str = "1/1") -> Iterator[Batch]:
        """Utterances of similar length: ids, speech (B, N) right-padded, lengths (B,).

        Part "i/n" is every n-th id in sorted order, from the i-th (i starts at 1). Raises ValueError for a part of
        another form, an utterance longer than `max_frames`, or audio that cannot be read.
        """
        number, total = parse_shard(part)
        ids = sorted(self.wavs)[number - 1 :: total]
        for uids in frame_batches({uid: self.num_frames[uid] for uid in ids}, max_frames) if ids else ():
            rows = [torch.from_numpy(read_audio(uid, self.wavs[uid], sample_rate)) for uid in uids]
            yield uids, pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])
