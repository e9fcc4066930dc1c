"""Speech from wav.scp in batches, outside a training loop: statistics, CKA checks, decoding."""

from typing import Dict, Iterator, List, Tuple

import numpy as np
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.train.batches import frame_batches
from espnet_llmasr.train.preprocessor import as_samples

Batch = Tuple[List[str], torch.Tensor, torch.Tensor]


def read_audio(uid: str, path: str, sample_rate: int) -> np.ndarray:
    """float32 samples (N,) of one mono file.

    Raises:
        ValueError: another sample rate than the model's, several channels, empty, NaN.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{uid}: cannot read {path}: {error}") from error
    if rate != sample_rate:
        raise ValueError(
            f"{uid}: {path} has {rate} Hz, the model {sample_rate} Hz: run the data stage (2), which resamples"
        )
    return as_samples(uid, samples)


def speech_batches(
    wavs: Dict[str, str], num_frames: Dict[str, int], max_frames: int, sample_rate: int
) -> Iterator[Batch]:
    """Utterances of similar length: ids, speech (B, N) right-padded, lengths (B,).

    Raises:
        ValueError: no utterance, one without a number of frames, or audio that cannot be read.
    """
    unknown = [uid for uid in wavs if uid not in num_frames]
    if unknown:
        raise ValueError(f"{unknown[0]} is in wav.scp but not in utt2num_frames: run the data stage (2)")
    for uids in frame_batches({uid: num_frames[uid] for uid in wavs}, max_frames):
        rows = [torch.from_numpy(read_audio(uid, wavs[uid], sample_rate)) for uid in uids]
        yield uids, pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def shard(ids: List[str], spec: str) -> List[str]:
    """The part "i/n" (i from 1) of a list, dealt out in turn.

    Raises:
        ValueError: the specification is not of that form.
    """
    number, _, total = spec.partition("/")
    if not (number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise ValueError(f"shard '{spec}': expected i/n with 1 <= i <= n, such as 1/4")
    return ids[int(number) - 1 :: int(total)]
