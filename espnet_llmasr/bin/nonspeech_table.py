"""What was written for clips without speech, by kind of clip, without and with the guard.

    python -m espnet_llmasr.bin.nonspeech_table --data_dir dump/nonspeech --hyp_dir exp/joint_sft/robustness/off \
        --guard_dir exp/joint_sft/robustness/flag --redecode_dir exp/joint_sft/robustness/redecode

Reads <data_dir>/{text,utt2spk,utt2num_frames} of bin.make_nonspeech, and text and flagged of the decodings. With
`--guard flag` a flagged transcript counts as none, for that is what a user makes of it; with `--guard redecode` every
transcript counts as it stands.
"""

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from espnet_llmasr.scoring.sidecar import read_beside
from espnet_llmasr.cli import Parser, run
from espnet_llmasr.scoring.test_sets import check_set, refuse
from espnet_llmasr.scoring.markdown import markdown, pace_cell, share_cell
from espnet_llmasr.files import read_scp, write_atomically
from espnet_llmasr.metrics.hallucination import ALARM_CHARS_PER_MINUTE, DESCRIPTIONS, Pace, chars_per_minute, judge
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route

COLUMNS = ("non-empty % (95 %)", "loops % (95 %)", "chars/min (95 %)")
FOOTNOTE = (
    "Nobody says anything in these clips, so every word is made up. Loops: {loop} Chars/min: characters without blanks "
    "a minute of audio; ! marks more than {alarm}, an alarm in other test suites. Guard: flagged ones count as none. "
    "Redecode: what is in doubt is decoded again, and all count, flagged or not. Route {route}. Intervals "
    "of shares are Wilson's, of chars/min from bootstrap samples of the clips.\n"
)


class Tally(NamedTuple):
    """What was written for some clips."""

    clips: int
    non_empty: int
    loops: int
    pace: Pace


def tally(texts: Dict[str, str], seconds: Dict[str, float]) -> Tally:
    """id -> transcript and id -> duration of the same clips."""
    return Tally(
        clips=len(texts),
        non_empty=sum(map(bool, texts.values())),
        loops=sum("loop" in judge([], score_tokens(text)) for text in texts.values()),
        pace=chars_per_minute([len("".join(text.split())) for text in texts.values()], [seconds[uid] for uid in texts]),
    )


def read(data_dir: Path, hyp_dir: Path, discard_flagged: bool) -> Dict[str, Dict]:
    """{"texts": {id: transcript, "" if flagged ones are discarded and this is one}, "seconds": {id: duration}}.

    Raises:
        ValueError: all that is wrong with the tables, or references that are not empty.
    """
    problems: List[str] = []
    test_set = check_set(data_dir, hyp_dir, ".", problems)
    beside = read_beside(data_dir, hyp_dir, test_set, problems)
    refuse(problems)
    if len(test_set.non_speech) < len(test_set.references) or beside.seconds is None:
        raise ValueError(
            f"{data_dir} is no suite of bin.make_nonspeech: empty references and utt2num_frames are expected"
        )
    flagged = (beside.flagged or {}) if discard_flagged else {}
    texts = {uid: "" if uid in flagged else text for uid, text in test_set.hypotheses.items()}
    return {"texts": texts, "seconds": beside.seconds}


def cells(one: Tally) -> List[str]:
    """In the order of COLUMNS."""
    alarm = " !" if one.pace.rate > ALARM_CHARS_PER_MINUTE else ""
    shares = [share_cell(hits, one.clips) for hits in (one.non_empty, one.loops)]
    return [*shares, pace_cell(one.pace, 0) + alarm]


def table(kinds: Dict[str, str], decodings: Dict[str, Dict[str, Dict]]) -> str:
    """id -> kind, and what `read` gives for each decoding by the words before its columns."""
    header = ["kind", "clips", *(f"{mode}{name}" for mode in decodings for name in COLUMNS)]
    lines = [header]
    for kind in [*sorted(set(kinds.values())), "all"]:
        ids = [uid for uid, its in kinds.items() if kind in (its, "all")]
        tallies = [tally({uid: one["texts"][uid] for uid in ids}, one["seconds"]) for one in decodings.values()]
        lines.append([kind, str(len(ids)), *(cell for one in tallies for cell in cells(one))])
    return markdown(lines)


def get_parser() -> Parser:
    parser = Parser(description="Table of what was written for clips without speech.")
    parser.add_argument("--data_dir", type=Path, required=True, help="the suite, of bin.make_nonspeech")
    parser.add_argument("--hyp_dir", type=Path, required=True, help="its transcripts without the guard")
    parser.add_argument("--guard_dir", type=Path, help="its transcripts with --guard flag, and what is flagged")
    parser.add_argument("--redecode_dir", type=Path, help="its transcripts with --guard redecode")
    parser.add_argument("--out", type=Path, help="markdown file to write the table to")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    args = get_parser().parse_args(argv)
    folders = {"": args.hyp_dir, "guard: ": args.guard_dir, "redecode: ": args.redecode_dir}
    decodings = {name: read(args.data_dir, path, name == "guard: ") for name, path in folders.items() if path}
    footnote = FOOTNOTE.format(loop=DESCRIPTIONS["loop"], alarm=ALARM_CHARS_PER_MINUTE, route=make_route("none"))
    result = f"{table(read_scp(args.data_dir / 'utt2spk'), decodings)}\n{footnote}"
    if args.out:
        write_atomically(args.out, result)
    print(result, end="")


if __name__ == "__main__":
    run(main)
