"""The guard at decoding: it flags transcripts that the CTC head does not support, and chooses among candidates.

B batch, N samples, S encoder frames, D encoder width, V tokens of the CTC head.
"""

import logging
import math
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import torch

from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.files import PathLike
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.gaps import UNWRITTEN, Gap
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.inference.hypothesis import BUDGET, GAP, LOOP, UNSUPPORTED, Candidate, Hypothesis
from espnet_llmasr.inference.search import find_tail_loop
from espnet_llmasr.text.ctc_labels import WORD
from espnet_llmasr.text.normalize import joined

MODES = ("off", "flag", "redecode")
MARGIN_S = 0.3  # audio on both sides of a gap that is decoded with it
MIN_CONFIDENCE = 1e-30  # keeps log(0) finite, so that the LLM's score decides among candidates of confidence 0


class Guard:
    """Verifies transcripts with a CTC head and its calibrated thresholds.

    Args:
        decode: token ids -> text.
    Raises:
        ValueError: see `CTCVerifier` and `read_calibration`.
    """

    def __init__(self, verifier: CTCVerifier, guard_file: PathLike, decode: Callable[[List[int]], str]):
        self.verifier, self.decode, self.shared = verifier, decode, False
        calibration = read_calibration(guard_file, verifier.fingerprint())
        self.threshold, self.doubt, self.gap = calibration.threshold, calibration.doubt, calibration.gap

    def bind(self, model: LLMASRModel, args) -> None:
        """Sets the model (with its configuration) whose audio and encoder frames `log_probs` gets.

        Raises:
            ValueError: the sample rates of the model and of the CTC head differ.
        """
        if self.verifier.sample_rate != model.frontend.fs:
            rates = f"the CTC head needs {self.verifier.sample_rate} Hz, the model {model.frontend.fs} Hz"
            raise ValueError(f"{rates}: fit a CTC head for this model (stage 10), or decode with --guard off")
        self.shared = self.verifier.shares_encoder(model, args)
        logging.info("guard: %s", "one encoder for the LLM and the CTC head" if self.shared else "two encoders")

    def log_probs(self, speech, lengths, frames, frame_lengths) -> List[torch.Tensor]:
        """speech (B, N), encoder frames (B, S, D), lengths (B,) -> log-probabilities (S, V) of each utterance."""
        if self.shared:  # saves the second pass through the encoder
            return self.verifier.log_probs_of_frames(frames, frame_lengths)
        return self.verifier.log_probs(speech, lengths)

    def verify(self, log_probs: torch.Tensor, candidate: Candidate, lang: str = "") -> Hypothesis:
        """A candidate with its confidence and flags under log_probs (S, V); a loop at its end is cut back."""
        loop = find_tail_loop(candidate.ids)
        cut_back = [loop.cut(candidate.ids, copies) for copies in range(1, loop.repeats + 1)] or [candidate.ids]
        texts = [self.decode(ids) for ids in cut_back]
        confidences = [self.verifier.verify(log_probs, text, lang).confidence for text in texts]
        best = confidences.index(max(confidences))
        hypothesis = self._complete(log_probs, texts[best], candidate.score, confidences[best], lang)
        flags = [flag for flag, is_set in ((LOOP, loop.repeats > 0), (BUDGET, candidate.at_limit)) if is_set]
        return hypothesis._replace(flags=(*flags, *hypothesis.flags))

    def _complete(self, log_probs: torch.Tensor, text: str, score: float, confidence: float, lang: str) -> Hypothesis:
        """The hypothesis with its words, gaps and the flags that follow from confidence and gaps."""
        words = tuple(self.verifier.words(log_probs, text, lang))
        gaps = tuple(self.verifier.gaps(log_probs, text, lang, self.gap))
        flags = tuple(
            flag for flag, is_set in ((UNSUPPORTED, confidence < self.threshold), (GAP, bool(gaps))) if is_set
        )
        return Hypothesis(text, score, confidence, flags, words=words, gaps=gaps)

    def is_doubtful(self, hypothesis: Hypothesis) -> bool:
        """True if a second decoding may help: the hypothesis has a flag, or a confidence below `doubt`."""
        return bool(hypothesis.flags) or hypothesis.confidence < self.doubt

    def choose(
        self, log_probs: torch.Tensor, first: Hypothesis, candidates: Sequence[Candidate], lang: str = ""
    ) -> Hypothesis:
        """The best transcript after a second decoding.

        It is the one with the greatest `merit`, log(confidence) + score: log-probability per label of the CTC head plus
        that per token of the LLM. If it is below the threshold and the empty transcript, which has no LLM score, has a
        higher confidence, the empty transcript is taken.
        """
        hypotheses = [first, *(self.verify(log_probs, candidate, lang) for candidate in candidates)]
        best = max(hypotheses, key=merit)
        silence = self.verifier.verify(log_probs, "").confidence
        if best.confidence < min(self.threshold, silence):
            best = self._complete(log_probs, "", first.score, silence, lang)
        return first if best.text == first.text else best._replace(first=first)

    def fill(
        self, log_probs: torch.Tensor, hypothesis: Hypothesis, pieces: Sequence[Candidate], lang: str = ""
    ) -> Hypothesis:
        """The hypothesis with `pieces`, the transcripts of its `unwritten` gaps, inserted at their times.

        Its score is the lowest of all parts. The hypothesis itself is kept if it has the greater merit (see `choose`),
        if its text has other words than its times, if the filled one is not supported (so music and babble get no
        words), or if it does not have fewer gaps: for the head, words that it does not hear are a smaller error than
        labels that are not written.
        """
        texts = [self.decode(piece.ids) for piece in pieces]
        text = insert(hypothesis, texts)
        if text is None or text == hypothesis.text:
            return hypothesis
        confidence = self.verifier.verify(log_probs, text, lang).confidence
        score = min(hypothesis.score, *(piece.score for piece in pieces))
        filled = self._complete(log_probs, text, score, confidence, lang)
        fills = confidence >= self.threshold and len(filled.gaps) < len(hypothesis.gaps)
        if fills and merit(filled) > merit(hypothesis):
            return filled._replace(first=hypothesis.first or hypothesis)
        return hypothesis


def merit(hypothesis: Hypothesis) -> float:
    """log(confidence) + score."""
    return math.log(max(hypothesis.confidence, MIN_CONFIDENCE)) + hypothesis.score


def unwritten(hypothesis: Hypothesis) -> List[Gap]:
    """The gaps that a second decoding of their audio may fill."""
    return [gap for gap in hypothesis.gaps if gap.kind == UNWRITTEN]


def span(hypothesis: Hypothesis, gap: Gap) -> Tuple[float, float]:
    """Start and end in seconds of the audio of a gap: with a margin, but without the words beside it."""
    before = [min(word.end_s, gap.start_s) for word in hypothesis.words if word.start_s < gap.start_s]
    after = [word.start_s for word in hypothesis.words if word.start_s >= gap.end_s]
    return max([0.0, gap.start_s - MARGIN_S, *before]), min([gap.end_s + MARGIN_S, *after])


def insert(hypothesis: Hypothesis, texts: Sequence[str]) -> Optional[str]:
    """The text with one text for each of its `unwritten` gaps; None if its words are not those that have times."""
    written = [match.start() for match in WORD.finditer(hypothesis.text)]
    if len(written) != len(hypothesis.words):
        return None
    ends = [*written, len(hypothesis.text)]
    text = hypothesis.text
    for gap, piece in reversed(list(zip(unwritten(hypothesis), texts))):
        place = ends[sum(word.start_s < gap.start_s for word in hypothesis.words)]
        text = joined([text[:place].rstrip(), piece.strip(), text[place:]])
    return text


def check_guard(guard: str, *files: Optional[PathLike]) -> None:
    """Raises ValueError for an unknown guard, or one without the files of its CTC head."""
    if guard not in MODES:
        raise ValueError(f"unknown guard '{guard}': choose one of {', '.join(MODES)}")
    if guard == "off":
        return
    advice = "run stage 10, which fits and calibrates it, or decode with --guard off"
    for name, path in zip(("ctc_train_config", "ctc_model_file"), files):
        if path is None:
            raise ValueError(f"--guard {guard} needs --{name}, of the CTC head: {advice}")
        if not Path(path).is_file():
            raise ValueError(f"no file {path}, which --guard {guard} needs: {advice}")
