"""The guard at decoding: says of a transcript whether the ear supports it, and chooses among others where not."""

import logging
import math
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch

from espnet_llmasr.asr.llm_asr_model import Candidate, LLMASRModel
from espnet_llmasr.asr.loop_stop import find_tail
from espnet_llmasr.files import PathLike
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.verifier import Witness

MODES = ("off", "flag", "redecode")
LOOP, BUDGET, UNSUPPORTED = "loop", "budget", "unsupported"
_LOWEST = 1e-30  # a confidence of 0 stays comparable


class Hypothesis(NamedTuple):
    """A transcript and its mean log-probability per token; under the guard its confidence and flags, too.

    Flags: "loop" (ended while it repeated itself, cut back to as many copies as the ear supports best), "budget" (ended
    by the limit of its length), "unsupported" (confidence below the threshold). `first` is what a second decoding has
    replaced, if it has.
    """

    text: str
    score: float
    confidence: Optional[float] = None
    flags: Tuple[str, ...] = ()
    first: Optional["Hypothesis"] = None


class Guard:
    """Checks transcripts with a witness, by its calibrated thresholds.

    Args:
        decode: token ids -> text.
    Raises:
        ValueError: see `Witness` and `read_calibration`.
    """

    def __init__(self, witness: Witness, guard_file: PathLike, decode: Callable[[List[int]], str]):
        self.witness, self.decode, self.shared = witness, decode, False
        calibration = read_calibration(guard_file, witness.fingerprint())
        self.threshold, self.doubt = calibration.threshold, calibration.doubt

    def attend(self, model: LLMASRModel, args) -> None:
        """From now on `listen` gets audio and encoder frames of this model (with its configuration).

        Raises:
            ValueError: it hears another sample rate than the witness.
        """
        if self.witness.sample_rate != model.frontend.fs:
            raise ValueError(f"the CTC head hears {self.witness.sample_rate} Hz, the model {model.frontend.fs} Hz")
        self.shared = self.witness.shares_encoder(model, args)
        logging.info("guard: %s", "one encoder for the LLM and the CTC head" if self.shared else "two encoders")

    def listen(self, speech, lengths, frames, frame_lengths) -> List[torch.Tensor]:
        """speech (B, N), encoder frames (B, S, D), lengths (B,) -> what the head hears, log-probabilities (S, V)."""
        if self.shared:
            return self.witness.listen_to_frames(frames, frame_lengths)
        return self.witness.listen(speech, lengths)

    def check(self, heard: torch.Tensor, candidate: Candidate, lang: str = "") -> Hypothesis:
        """The candidate as a flagged transcript of what was heard, log-probabilities (S, V)."""
        tail = find_tail(candidate.ids)
        copies = [tail.cut(candidate.ids, number) for number in range(1, tail.repeats + 1)] or [candidate.ids]
        texts = [self.decode(ids) for ids in copies]
        confidences = [self.witness.judge(heard, text, lang).confidence for text in texts]
        best = confidences.index(max(confidences))
        flags = {LOOP: tail.repeats > 0, BUDGET: candidate.at_limit, UNSUPPORTED: confidences[best] < self.threshold}
        return Hypothesis(texts[best], candidate.score, confidences[best], tuple(flag for flag in flags if flags[flag]))

    def is_doubtful(self, hypothesis: Hypothesis) -> bool:
        """True where a second decoding may pay: a flag, or less confidence than nearly all true transcripts have."""
        return bool(hypothesis.flags) or hypothesis.confidence < self.doubt

    def choose(
        self, heard: torch.Tensor, first: Hypothesis, candidates: Sequence[Candidate], lang: str = ""
    ) -> Hypothesis:
        """The best transcript after a second decoding.

        It is the one with the greatest log(confidence) + score, both log-probabilities per unit, of the head and of the
        LLM. If that one is not supported, and silence (the empty transcript, for which there is no score) fits what is
        heard better, silence is taken.
        """
        checked = [first, *(self.check(heard, candidate, lang) for candidate in candidates)]
        best = max(checked, key=lambda one: math.log(max(one.confidence, _LOWEST)) + one.score)
        silence = self.witness.judge(heard, "").confidence
        if best.confidence < min(self.threshold, silence):
            best = Hypothesis("", first.score, silence, (UNSUPPORTED,) if silence < self.threshold else ())
        return first if best.text == first.text else best._replace(first=first)
