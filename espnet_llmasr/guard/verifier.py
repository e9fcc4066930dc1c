"""The acoustic witness: what a transcript is worth to the CTC head, which hears the phones but knows no language.

B batch, N samples, S encoder frames, D encoder width, V tokens.
"""

import hashlib
from typing import List, NamedTuple, Optional

import torch

from espnet_llmasr.asr.cr_ctc import greedy
from espnet_llmasr.asr.features import extract_features
from espnet_llmasr.files import PathLike
from espnet_llmasr.guard.alignment import Alignment, align, ends, starts, support
from espnet_llmasr.text.ctc_labels import Labeller, Labels
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

SHARED = ("frontend", "frontend_conf", "normalize", "encoder", "encoder_conf")  # what two equal encoders have in common


class Word(NamedTuple):
    """A word, or a Han character, with its place in the audio in seconds and how well it is supported there."""

    text: str
    start_s: float
    end_s: float
    confidence: float


class Verdict(NamedTuple):
    """`confidence` of the transcript (0 to 1), the number of its labels (`unknown`: without a token), and `heard`.

    `heard` is the number of labels on the best free path.
    """

    confidence: float
    labels: int
    unknown: int
    heard: int


class Witness:
    """Scores transcripts by the best path through their labels against the best free path.

    confidence = exp((log p(path of the labels) - log p(free path)) / labels) * known labels / labels of the transcript

    where the first "labels" are those of the transcript or of the free path, whichever has more. It is 1 for what the
    head itself would write, and 0 where the labels need more frames than there are. The empty transcript has the path
    of blanks alone.

    Raises:
        ValueError: files that do not fit together, or a head with tokens of an unknown unit.
    """

    def __init__(self, ctc_train_config: PathLike, ctc_model_file: PathLike, device: str = "cpu"):
        self.model, self.args = PhonemeCTCTask.load(ctc_train_config, ctc_model_file, device)
        self.label = Labeller(self.args.token_list)
        self.device = device
        frontend = self.model.frontend
        self.sample_rate = frontend.fs
        self.frame_s = 1 / self.model.encoder.frame_rate_hz(frontend.fs / frontend.windows.shift)

    def shares_encoder(self, model, args) -> bool:
        """True if `model` (with its configuration) computes the very same encoder frames."""
        if any(getattr(args, name) != getattr(self.args, name) for name in SHARED):
            return False
        return all(_equal(getattr(model, name), getattr(self.model, name)) for name in ("normalize", "encoder"))

    @torch.no_grad()
    def listen(self, speech: torch.Tensor, lengths: torch.Tensor) -> List[torch.Tensor]:
        """speech (B, N) with lengths (B,) -> log-probabilities (S, V) of each utterance, on the CPU."""
        speech, lengths = speech.to(self.device), lengths.to(self.device)
        feats, lengths = extract_features(speech, lengths, self.model.frontend, self.model.normalize)
        return _rows(*self.model.classify(feats, lengths))

    @torch.no_grad()
    def listen_to_frames(self, frames: torch.Tensor, lengths: torch.Tensor) -> List[torch.Tensor]:
        """The same from encoder frames (B, S, D) of a model that shares the encoder."""
        return _rows(self.model.ctc_head(frames), lengths)

    def judge(self, log_probs: torch.Tensor, text: str, lang: str = "") -> Verdict:
        """The verdict on a transcript of what was heard as log_probs (S, V)."""
        labels = self.label(text, lang)
        return self._verdict(log_probs, labels, align(log_probs, labels.ids))

    def words(self, log_probs: torch.Tensor, text: str, lang: str = "") -> List[Word]:
        """Place and support of every word; none where the text does not fit in, or has unknown labels."""
        labels = self.label(text, lang)
        alignment = align(log_probs, labels.ids)
        if alignment is None:
            return []
        first, last = starts(alignment.path), ends(alignment.path)
        return [
            Word(
                word,
                round(first[begin] * self.frame_s, 3),
                round(last[end - 1] * self.frame_s, 3),
                round(support(alignment.losses[first[begin] : last[end - 1]], end - begin), 6),
            )
            for word, begin, end in labels.words
        ]

    @staticmethod
    def _verdict(log_probs: torch.Tensor, labels: Labels, alignment: Optional[Alignment]) -> Verdict:
        (free,) = greedy(log_probs[None], torch.tensor([len(log_probs)]))
        number = len(labels.ids)
        confidence = 0.0 if alignment is None else support(alignment.losses, max(number, len(free)))
        known = number / (number + labels.unknown) if labels.unknown else 1.0
        return Verdict(confidence * known, number + labels.unknown, labels.unknown, len(free))

    def fingerprint(self) -> str:
        """A short name of the weights: another training has another one."""
        digest = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            flat = value.detach().flatten()
            sample = flat[:: max(1, flat.numel() // 1000)].cpu().double()
            digest.update(f"{name} {tuple(value.shape)}".encode() + sample.numpy().tobytes())
        return digest.hexdigest()[:16]


def _rows(log_probs: torch.Tensor, lengths: torch.Tensor) -> List[torch.Tensor]:
    log_probs = log_probs.float().cpu()
    return [row[:length] for row, length in zip(log_probs, lengths.tolist())]


def _equal(first: Optional[torch.nn.Module], second: Optional[torch.nn.Module]) -> bool:
    if first is None or second is None:
        return first is second
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
