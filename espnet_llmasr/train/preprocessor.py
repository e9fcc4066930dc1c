"""From one utterance on disk to arrays, and from utterances to a padded batch."""

from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.train.hints import TrainingHints

Utterance = Dict[str, np.ndarray]


class PhonePreprocessor:
    """Maps {"speech": (N,), "phones": "a b c"} to float32 samples and label ids.

    Raises ValueError if a phone is not in the token list (the list belongs to another checkpoint or corpus).
    """

    def __init__(self, token_list: List[str]):
        self.ids = {token: number for number, token in enumerate(token_list)}

    def __call__(self, uid: str, data: Dict[str, object]) -> Utterance:
        out = {"speech": as_samples(uid, data["speech"])}
        if "phones" in data:
            phones = data["phones"].split()
            unknown = [phone for phone in phones if phone not in self.ids]
            if unknown:
                raise ValueError(
                    f"{uid}: phone '{unknown[0]}' is not among the {len(self.ids)} tokens of the model: "
                    "prepare the data (stage 2) with the token list of this checkpoint"
                )
            out["phones"] = np.array([self.ids[phone] for phone in phones], dtype=np.int64)
        return out


class PromptPreprocessor:
    """Maps {"speech": (N,), "text": str} to float32 samples, prompt ids (P,) and target ids (U,).

    `hints`, if any, draws the hints of an utterance from its transcript; they stand in its prompt.
    """

    def __init__(self, prompt, hints: Optional[TrainingHints] = None):
        self.prompt, self.hints = prompt, hints

    def prompt_of(self, uid: str, text: str) -> List[int]:
        """The prompt ids (P,) of an utterance with this transcript."""
        return self.prompt.ids if self.hints is None else self.prompt.with_hints(self.hints(uid, text))

    def __call__(self, uid: str, data: Dict[str, object]) -> Utterance:
        prompt = self.prompt_of(uid, data.get("text", ""))
        out = {"speech": as_samples(uid, data["speech"]), "prompt": np.array(prompt, dtype=np.int64)}
        if "text" in data:
            out["text"] = np.array(self.prompt.target(data["text"]), dtype=np.int64)
        return out


def as_samples(uid: str, speech: np.ndarray) -> np.ndarray:
    """float32 mono samples (N,).

    Raises ValueError if the audio is empty, has several channels, or holds NaN or infinity.
    """
    speech = np.asarray(speech, dtype=np.float32)
    if speech.ndim != 1 or speech.size == 0:
        raise ValueError(f"{uid}: audio of shape {speech.shape}, expected mono (N,): run the data stage (2) on it")
    if not np.isfinite(speech).all():
        raise ValueError(f"{uid}: audio holds NaN or infinity: run the data stage (2), which drops such utterances")
    return speech


def collate(utterances: List[Tuple[str, Utterance]]) -> Tuple[List[str], Dict[str, torch.Tensor]]:
    """Right-pads each array with zeros: {name: (B, longest), name_lengths: (B,)}."""
    uids, datas = zip(*utterances)
    batch = {}
    for name in datas[0]:
        rows = [torch.from_numpy(data[name]) for data in datas]
        batch |= {name: pad_sequence(rows, batch_first=True), f"{name}_lengths": torch.tensor(list(map(len, rows)))}
    return list(uids), batch
