"""What the witness says of transcripts with their own audio, and with audio that was replaced."""

from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Mapping

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.replaced import half_replaced, noise_like, others
from espnet_llmasr.guard.verifier import Witness
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.speech_batches import read_audio, speech_batches

REPLACED = ("noise", "other", "half")
"""Noise as long and as loud, another utterance with other words, and the second half replaced by such an utterance."""

Confidences = Dict[str, Dict[str, float]]


class Trial:
    """Confidences of the transcripts of one set: {"own", "noise", "other", "half"} -> id -> confidence.

    Args:
        data_dir: dump/<set> with wav.scp, utt2num_frames and perhaps utt2lang.
        texts: id -> transcript; the audio of these utterances is used.
    Raises:
        ValueError: an utterance without audio, or all transcripts have the same words.
    """

    def __init__(self, witness: Witness, data_dir: Path, texts: Mapping[str, str], seed: int = 0):
        self.witness, self.texts, self.seed = witness, texts, seed
        self.langs = read_langs(data_dir)
        self.frames = read_num_frames(data_dir / "utt2num_frames", texts)
        self.wavs = wavs_of(data_dir, texts)
        self.numbers = {uid: number for number, uid in enumerate(sorted(texts))}
        self.other = others(texts, seed)
        self.takers: Dict[str, List[str]] = defaultdict(list)
        for uid, other in self.other.items():
            self.takers[other].append(uid)

    def run(self, max_frames: int) -> Confidences:
        """All four confidences of every utterance; every audio is heard three times (own, noise, half)."""
        found: Confidences = {kind: {} for kind in ("own", *REPLACED)}
        for uids, speech, lengths in speech_batches(self.wavs, self.frames, max_frames, self.witness.sample_rate):
            rows = [row[:length].numpy() for row, length in zip(speech, lengths.tolist())]
            for uid, heard in zip(uids, self.witness.listen(speech, lengths)):
                found["own"][uid] = self._judge(heard, uid)
                found["other"].update({taker: self._judge(heard, taker) for taker in self.takers[uid]})
            for kind, change in (("noise", self._noise), ("half", self._half)):
                changed = [torch.from_numpy(change(*pair)) for pair in zip(uids, rows)]
                for uid, heard in zip(uids, self.witness.listen(pad_sequence(changed, batch_first=True), lengths)):
                    found[kind][uid] = self._judge(heard, uid)
        return found

    def _judge(self, heard: torch.Tensor, uid: str) -> float:
        return self.witness.judge(heard, self.texts[uid], self.langs.get(uid, "")).confidence

    def _noise(self, uid: str, samples: np.ndarray) -> np.ndarray:
        return noise_like(samples, self.numbers[uid], self.seed, self.witness.sample_rate)

    def _half(self, uid: str, samples: np.ndarray) -> np.ndarray:
        other = self.other[uid]
        return half_replaced(samples, read_audio(other, self.wavs[other], self.witness.sample_rate))


def wavs_of(data_dir: Path, texts: Mapping[str, str]) -> Dict[str, str]:
    """The entries of wav.scp of these utterances. Raises ValueError if some have none."""
    wavs = read_scp(data_dir / "wav.scp")
    absent = [uid for uid in texts if uid not in wavs]
    if absent:
        raise ValueError(f"{len(absent)} utterances have no audio in {data_dir}/wav.scp ({', '.join(absent[:5])})")
    return {uid: wavs[uid] for uid in texts}


def read_langs(data_dir: Path) -> Dict[str, str]:
    """utt2lang, or nothing where there is none."""
    return read_scp(data_dir / "utt2lang") if (data_dir / "utt2lang").exists() else {}
