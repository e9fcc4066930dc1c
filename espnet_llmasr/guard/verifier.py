"""Verifies transcripts with a CTC head: how well their labels fit its output, and when each word was spoken.

The head has no language model, so a fluent transcript of other audio gets a low confidence.

B batch, N samples, S encoder frames, D encoder width, V tokens (token 0 is blank), U labels.
"""

import hashlib
import math
from typing import List, NamedTuple, Optional, Sequence

import torch
from torchaudio.functional import forced_align

from espnet_llmasr.asr.cr_ctc import BLANK, greedy
from espnet_llmasr.asr.modules import Lengths, on_host
from espnet_llmasr.files import PathLike
from espnet_llmasr.guard.gaps import LABEL_EVIDENCE, UNHEARD, UNWRITTEN, Gap, find_stretches
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.ctc_labels import CTCLabelizer, Labels
from espnet_llmasr.text.phonemes import min_frames

TAIL_S = 0.2  # at most so long a word is heard after the frames of its last label; chosen on validation sets
SHARED = ("frontend", "frontend_conf", "normalize", "encoder", "encoder_conf")  # options that equal encoders share


class Alignment(NamedTuple):
    """`path` (S,): the token of each frame on the best path through the labels.

    `losses` (S,): log-probability of the best token of each frame minus that of the path's token; 0 or more.
    """

    path: torch.Tensor
    losses: torch.Tensor


def align(log_probs: torch.Tensor, labels: Sequence[int]) -> Optional[Alignment]:
    """The most probable path (Viterbi) of log_probs (S, V) for `labels`; None if they need more frames."""
    if min_frames(labels) > len(log_probs):
        return None
    if labels:
        targets = torch.tensor([labels], dtype=torch.int32, device=log_probs.device)
        paths, scores = forced_align(log_probs[None], targets, blank=BLANK)
        path, score = paths[0], scores[0]
    else:
        score = log_probs[:, BLANK]
        path = torch.full_like(score, BLANK, dtype=torch.int32)
    return Alignment(path, log_probs.amax(1) - score)


def support(losses: torch.Tensor, num_labels: int) -> float:
    """exp(-sum of losses (S,) / labels), in [0, 1]; it is 1 if the path is the greedy path."""
    return math.exp(-float(losses.double().sum()) / max(1, num_labels))


def starts(path: torch.Tensor) -> List[int]:
    """The first frame of each label of a path (S,)."""
    previous = torch.cat([path.new_full((1,), BLANK), path[:-1]])
    return ((path != BLANK) & (path != previous)).nonzero().flatten().tolist()


def ends(path: torch.Tensor) -> List[int]:
    """The frame after the last one of each label of a path (S,)."""
    following = torch.cat([path[1:], path.new_full((1,), BLANK)])
    return (((path != BLANK) & (path != following)).nonzero().flatten() + 1).tolist()


class Word(NamedTuple):
    """A word or a Han character, its start and end in seconds, and its confidence there (0 to 1)."""

    text: str
    start_s: float
    end_s: float
    confidence: float


class Verification(NamedTuple):
    """The confidence of a transcript (0 to 1), its number of labels, and of labels for which the head has no token.

    `greedy_labels` is the number of labels of the greedy output.
    """

    confidence: float
    labels: int
    unknown: int
    greedy_labels: int


class CTCVerifier:
    """Compares the best path through the labels of a transcript with the best of all paths (the greedy output).

    confidence = exp((log p(path of the labels) - log p(greedy path)) / max(known, greedy)) * known / labels

    "labels" is the number of labels of the transcript, "known" of those with a token, "greedy" of the greedy output.
    The confidence is 1 for the greedy output, and 0 if the labels need more frames than the audio has. The path of the
    empty transcript is blank in all frames.

    Raises:
        ValueError: files that do not fit together, or tokens that are neither phones nor characters.
    """

    def __init__(self, ctc_train_config: PathLike, ctc_model_file: PathLike, device: str = "cpu"):
        self.model, self.args = PhonemeCTCTask.load(ctc_train_config, ctc_model_file, device)
        self.labelize = CTCLabelizer(self.args.token_list, vars(self.args).get("pronunciations"))
        self.device = device
        frontend = self.model.frontend
        self.sample_rate = frontend.fs
        self.feature_shift_s = frontend.windows.shift / frontend.fs
        self.frame_s = 1 / self.model.encoder.frame_rate_hz(1 / self.feature_shift_s)

    def shares_encoder(self, model, args) -> bool:
        """True if `model` (with its configuration) computes exactly the same encoder frames."""
        if any(getattr(args, name) != getattr(self.args, name) for name in SHARED):
            return False
        return all(_equal(getattr(model, name), getattr(self.model, name)) for name in ("normalize", "encoder"))

    @torch.no_grad()
    def log_probs(self, speech: torch.Tensor, lengths: Lengths) -> List[torch.Tensor]:
        """speech (B, N) with lengths (B,) -> log-probabilities (S, V) of each utterance, on the CPU."""
        return _rows(*self.model.classify(*self.model.extract_features(speech.to(self.device), lengths)))

    @torch.no_grad()
    def log_probs_of_frames(self, frames: torch.Tensor, lengths: Lengths) -> List[torch.Tensor]:
        """The same from encoder frames (B, S, D) of a model that shares the encoder."""
        return _rows(self.model.ctc_head(frames), lengths)

    def verify(self, log_probs: torch.Tensor, text: str, lang: str = "") -> Verification:
        """The verification of a transcript by log_probs (S, V)."""
        labels = self.labelize(text, lang)
        return self._compare(log_probs, labels, align(log_probs, labels.ids))

    def words(self, log_probs: torch.Tensor, text: str, lang: str = "") -> List[Word]:
        """The words of a transcript with their times; none if the audio is too short or a label is unknown.

        CTC emits a label at its beginning, mostly in one frame, so a word begins with its first label's frames. It ends
        half-way between its last label's frames and the next word (or the end), but at most TAIL_S after the former.
        """
        labels = self.labelize(text, lang)
        alignment = align(log_probs, labels.ids)
        if alignment is None:
            return []
        first, last = starts(alignment.path), ends(alignment.path)
        following = [*(first[begin] for _, begin, _ in labels.words[1:]), len(alignment.path)]
        words = []
        for (word, begin, end), limit in zip(labels.words, following):
            frames = slice(first[begin], last[end - 1])
            stop = min((frames.stop + limit) / 2, frames.stop + TAIL_S / self.frame_s)
            times = self._seconds(frames.start), self._seconds(stop)
            words.append(Word(word, *times, round(support(alignment.losses[frames], end - begin), 6)))
        return words

    def gaps(self, log_probs: torch.Tensor, text: str, lang: str, threshold: float) -> List[Gap]:
        """The stretches whose evidence exceeds `threshold` nats, in order of time (see `find_stretches`).

        A transcript with more labels than the frames can have is unheard as a whole.
        """
        alignment = align(log_probs, self.labelize(text, lang).ids)
        if alignment is None:
            return [Gap(0.0, self._seconds(len(log_probs)), UNHEARD)]
        stretches = find_stretches(log_probs, alignment.path)
        found = [stretch for stretch in stretches if stretch.evidence > threshold]
        return [Gap(self._seconds(each.start), self._seconds(each.end), each.kind) for each in found]

    def gap_evidence(self, log_probs: torch.Tensor, text: str, lang: str = "", kinds=(UNWRITTEN, UNHEARD)) -> float:
        """The evidence of the heaviest stretch of these kinds, in nats: 0 if there is none."""
        labels = self.labelize(text, lang).ids
        alignment = align(log_probs, labels)
        if alignment is None:
            return len(labels) * LABEL_EVIDENCE
        stretches = find_stretches(log_probs, alignment.path)
        return max((stretch.evidence for stretch in stretches if stretch.kind in kinds), default=0.0)

    def _seconds(self, frame: float) -> float:
        return round(frame * self.frame_s, 3)

    @staticmethod
    def _compare(log_probs: torch.Tensor, labels: Labels, alignment: Optional[Alignment]) -> Verification:
        (greedy_ids,) = greedy(log_probs[None], torch.tensor([len(log_probs)]))
        number = len(labels.ids)
        confidence = 0.0 if alignment is None else support(alignment.losses, max(number, len(greedy_ids)))
        known = number / (number + labels.unknown) if labels.unknown else 1.0
        return Verification(confidence * known, number + labels.unknown, labels.unknown, len(greedy_ids))

    def fingerprint(self) -> str:
        """A short hash of (a sample of) the weights, different for every training."""
        digest = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            flat = value.detach().flatten()
            sample = flat[:: max(1, flat.numel() // 1000)].cpu().double()
            digest.update(f"{name} {tuple(value.shape)}".encode() + sample.numpy().tobytes())
        return digest.hexdigest()[:16]


def _rows(log_probs: torch.Tensor, lengths: Lengths) -> List[torch.Tensor]:
    """(B, S, V) -> the valid frames (S, V) of each utterance, on the CPU."""
    log_probs = log_probs.float().cpu()
    return [row[:length] for row, length in zip(log_probs, on_host(lengths))]


def _equal(first: Optional[torch.nn.Module], second: Optional[torch.nn.Module]) -> bool:
    """True if both modules have the same weights, or both are None."""
    if first is None or second is None:
        return first is second
    weights, others = first.state_dict(), second.state_dict()
    return weights.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in weights.items())
