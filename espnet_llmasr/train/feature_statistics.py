"""Sums of the features over a set, for mean and variance (stage 3).  N samples, T frames, F values a frame."""

from itertools import islice
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np

from espnet_llmasr.asr.fbank import write_statistics
from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.frontends import read_frontend
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.files import PathLike, count_rows, read_rows
from espnet_llmasr.train.speech_batches import SpeechSet

MAX_FRAMES = 20000  # padded frames per batch


def sample(path: Path, most: int) -> Dict[str, str]:
    """At most `most` rows of a table of any length, taken at even distances; the same ones every time."""
    rows = read_rows(path)
    return dict(islice(rows, 0, None, -(-count_rows(path) // most) or 1)) if path.exists() else dict(rows)


def feature_sums(speech_set: SpeechSet, frontend: Frontend) -> Tuple[int, np.ndarray, np.ndarray]:
    """Frames, sums (F,) and sums of squares (F,) over the valid frames of the set's audio, in float64.

    Raises ValueError for audio that cannot be read.
    """
    total, first, second = 0, np.zeros(frontend.output_size()), np.zeros(frontend.output_size())
    budget = max([MAX_FRAMES, *speech_set.num_frames.values()])
    for _, speech, lengths in speech_set.batches(budget, frontend.fs):
        feats, feat_lengths = frontend(speech, lengths)
        valid = feats[valid_frames(feat_lengths, feats)].double().numpy()
        total, first, second = total + len(valid), first + valid.sum(0), second + (valid**2).sum(0)
    return total, first, second


def compute_statistics(
    output: PathLike, data_dir: Path, fs: int, encoder_config: Optional[PathLike], max_utterances: int
) -> Tuple[int, int]:
    """Writes feats_stats.npz of a sample of dump/<set>; returns its frames and utterances.

    Args:
        fs: sample rate in Hz.
        encoder_config: YAML file with frontend and frontend_conf; None: the default frontend.
        max_utterances: taken evenly from the set.

    Raises:
        ValueError: see `SpeechSet`, `read_frontend` and `feature_sums`.
    """
    speech_set = SpeechSet(data_dir, sample(data_dir / "wav.scp", max_utterances))
    total, first, second = feature_sums(speech_set, read_frontend(encoder_config, fs))
    write_statistics(output, total, first, second)
    return total, len(speech_set.wavs)
