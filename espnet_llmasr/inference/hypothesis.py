"""Results of decoding, and the files that they are written to."""

from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from espnet_llmasr.files import json_lines, write_atomically, write_scp
from espnet_llmasr.guard.gaps import Gap
from espnet_llmasr.guard.transcripts import words_row
from espnet_llmasr.guard.verifier import Word

LOOP, BUDGET, UNSUPPORTED, GAP, UNHEARD_HOTWORD = "loop", "budget", "unsupported", "gap", "hotword"
GUARD_FILES = ("confidence", "flagged", "words.jsonl", "gaps", "redecoded.jsonl")


class Candidate(NamedTuple):
    """Token ids without the end token, and their mean log-probability.

    `at_limit` is True if the length limit ended the candidate, not the LLM.
    """

    ids: List[int]
    score: float
    at_limit: bool


class Hypothesis(NamedTuple):
    """A transcript and its mean log-probability per token.

    The guard adds a confidence (0 to 1), flags, the words with their times, and the gaps.

    Flags: "loop" (the transcript ended in a loop, which was cut back to the number of copies with the highest
    confidence), "budget" (the length limit ended the transcript), "unsupported" (the confidence is below the
    threshold), "gap" (`gaps` is not empty), "hotword" (an entry of the list of hotwords stands where the head does not
    hear it). `words` is empty if a label of the text is unknown. `first` is the hypothesis that the second decoding
    replaced, if it did.
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
    gaps = {uid: hypothesis.gaps for uid, hypothesis in hypotheses.items() if hypothesis.gaps}
    write("gaps", {uid: " ".join(f"{gap.kind}:{gap.start_s}-{gap.end_s}" for gap in gaps[uid]) for uid in gaps})
    rows = (words_row(uid, hypotheses[uid].words) for uid in sorted(hypotheses))
    write_atomically(output_dir / f"words.jsonl{suffix}", json_lines(rows))
    if guard == "redecode":
        replaced = sorted((uid, hypothesis) for uid, hypothesis in hypotheses.items() if hypothesis.first)
        rows = ({"id": uid, "first": final.first.as_json(), "final": final.as_json()} for uid, final in replaced)
        write_atomically(output_dir / f"redecoded.jsonl{suffix}", json_lines(rows))
