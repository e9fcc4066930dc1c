"""Transcripts of clips without speech, counted by kind of clip, without and with the guard."""

from itertools import chain
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.hallucination import ALARM_CHARS_PER_MINUTE, DESCRIPTIONS, chars_per_minute, judge
from espnet_llmasr.scoring.markdown import markdown, pace_cell, share_cell
from espnet_llmasr.scoring.sidecar import read_sidecar
from espnet_llmasr.scoring.test_sets import check_set, refuse
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route

COLUMNS = ("non-empty % (95 %)", "loops % (95 %)", "chars/min (95 %)")
FOOTNOTE = (
    "These clips have no speech, so every word is made up. Loops: {loop} Chars/min: characters without blanks "
    "a minute of audio; ! marks more than {alarm}, an alarm in other test suites. Guard: flagged ones count as none. "
    "Redecode: doubtful transcripts are decoded again, and all count, flagged or not. Route {route}. Intervals "
    "of shares are Wilson's, of chars/min from bootstrap samples of the clips.\n"
)


Decoding = Dict[str, Tuple[str, float]]
"""id -> transcript and duration in seconds of every clip."""


def read_decoding(data_dir: Path, hyp_dir: Path, discard_flagged: bool) -> Decoding:
    """The transcripts of a decoding of the suite; with `discard_flagged` those that the guard flagged become empty.

    Raises:
        ValueError: all problems of the tables, or references that are not empty.
    """
    problems: List[str] = []
    test_set = check_set(data_dir, hyp_dir, ".", problems)
    sidecar = read_sidecar(data_dir, hyp_dir, test_set, problems)
    refuse(problems)
    if len(test_set.non_speech) < len(test_set.references) or sidecar.seconds is None:
        raise ValueError(
            f"{data_dir} is no suite of bin.make_nonspeech: empty references and utt2num_frames are expected"
        )
    flagged = (sidecar.flagged or {}) if discard_flagged else {}
    texts = {uid: "" if uid in flagged else text for uid, text in test_set.hypotheses.items()}
    return {uid: (text, sidecar.seconds[uid]) for uid, text in texts.items()}


def cells(texts: Sequence[str], seconds: Sequence[float]) -> List[str]:
    """The transcripts and durations of some clips, in the order of COLUMNS."""
    pace = chars_per_minute([len("".join(text.split())) for text in texts], seconds)
    hits = sum(map(bool, texts)), sum("loop" in judge([], score_tokens(text)) for text in texts)
    alarm = " !" if pace.rate > ALARM_CHARS_PER_MINUTE else ""
    return [*(share_cell(count, len(texts)) for count in hits), pace_cell(pace, 0) + alarm]


def table(kind_of: Dict[str, str], decodings: Dict[str, Decoding]) -> str:
    """`kind_of`: id -> kind of clip. `decodings`: words before the names of its columns -> decoding."""
    rows = [["kind", "clips", *(f"{mode}{name}" for mode in decodings for name in COLUMNS)]]
    for kind in [*sorted(set(kind_of.values())), "all"]:
        ids = [uid for uid, clip_kind in kind_of.items() if kind in (clip_kind, "all")]
        parts = [cells(*zip(*(clips[uid] for uid in ids))) for clips in decodings.values()]
        rows.append([kind, str(len(ids)), *chain(*parts)])
    return markdown(rows)


def nonspeech_page(
    data_dir: Path, hyp_dir: Path, guard_dir: Optional[Path] = None, redecode_dir: Optional[Path] = None
) -> str:
    """The table with its footnote, in Markdown; the options are those of bin.nonspeech_table."""
    folders = {"": hyp_dir, "guard: ": guard_dir, "redecode: ": redecode_dir}
    decodings = {mode: read_decoding(data_dir, path, mode == "guard: ") for mode, path in folders.items() if path}
    footnote = FOOTNOTE.format(loop=DESCRIPTIONS["loop"], alarm=ALARM_CHARS_PER_MINUTE, route=make_route("none"))
    kind_of = read_scp(data_dir / "utt2spk")
    if kind_of.keys() != read_scp(data_dir / "text").keys():
        raise ValueError(f"{data_dir}/utt2spk has other ids than text beside it: make the suite again (stage 13)")
    return f"{table(kind_of, decodings)}\n{footnote}"
