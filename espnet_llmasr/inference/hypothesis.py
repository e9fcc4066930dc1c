"""Results of decoding, and the files that they are written to."""

from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from espnet_llmasr.files import json_lines, write_atomically, write_scp
from espnet_llmasr.guard.verifier import Word

LOOP, BUDGET, UNSUPPORTED = "loop", "budget", "unsupported"
GUARD_FILES = ("confidence", "flagged", "redecoded.jsonl")


class Candidate(NamedTuple):
    """Token ids without the end token, and their mean log-probability.

    `at_limit` is True if the length limit ended the candidate, not the LLM.
    """

    ids: List[int]
    score: float
    at_limit: bool


class Gap(NamedTuple):
    """A stretch of audio, in seconds, on which the transcript and the CTC head disagree.

    `kind` is "unwritten" (the head hears labels that the transcript lacks) or "unheard" (the transcript has words that
    the head does not hear).
    """

    start_s: float
    end_s: float
    kind: str


class Hypothesis(NamedTuple):
    """A transcript and its mean log-probability per token.

    The guard adds a confidence (0 to 1), flags, the words with their times, and the gaps.

    Flags: "loop" (the transcript ended in a loop, which was cut back to the number of copies with the highest
    confidence), "budget" (the length limit ended the transcript), "unsupported" (the confidence is below the
    threshold). `first` is the hypothesis that the second decoding replaced, if it did.
    """

    text: str
    score: float
    confidence: Optional[float] = None
    flags: Tuple[str, ...] = ()
    first: Optional["Hypothesis"] = None
    words: Tuple[Word, ...] = ()
    gaps: Tuple[Gap, ...] = ()

    def as_json(self) -> Dict:
        """Text, score, confidence and flags; numbers are rounded as in the tables."""
        rounded = self._replace(score=round(self.score, 4), confidence=round(self.confidence, 6))
        return {name: getattr(rounded, name) for name in ("text", "score", "confidence", "flags")}


def write_hypotheses(output_dir: Path, suffix: str, hypotheses: Mapping[str, Hypothesis], guard: str) -> None:
    """Writes text and score, and with a guard ("flag", "redecode") its files; deletes guard files of earlier runs."""

    def write(name: str, table: Mapping[str, object]) -> None:
        write_scp(output_dir / f"{name}{suffix}", table)

    write("text", {uid: hypothesis.text for uid, hypothesis in hypotheses.items()})
    write("score", {uid: f"{hypothesis.score:.4f}" for uid, hypothesis in hypotheses.items()})
    for name in GUARD_FILES:
        (output_dir / f"{name}{suffix}").unlink(missing_ok=True)
    if guard == "off":
        return
    write("confidence", {uid: f"{hypothesis.confidence:.6f}" for uid, hypothesis in hypotheses.items()})
    write("flagged", {uid: ",".join(hypothesis.flags) for uid, hypothesis in hypotheses.items() if hypothesis.flags})
    if guard == "redecode":
        replaced = sorted((uid, hypothesis) for uid, hypothesis in hypotheses.items() if hypothesis.first)
        rows = ({"id": uid, "first": final.first.as_json(), "final": final.as_json()} for uid, final in replaced)
        write_atomically(output_dir / f"redecoded.jsonl{suffix}", json_lines(rows))
