"""Scores the transcripts of any system by what our CTC head hears; needs no LLM.

python -m espnet_llmasr.bin.verify_transcripts --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --data_dir dump/test --hyp their/text --output_dir their/witness
"""

import json
import logging
from pathlib import Path
from typing import Dict, List, Tuple

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.files import read_scp, write_atomically, write_scp
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.trial import read_langs
from espnet_llmasr.guard.verifier import Verdict, Witness, Word
from espnet_llmasr.metrics.error_rate import check_ids
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.speech_batches import speech_batches


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--ctc_train_config", required=True, help="config.yaml of the CTC head")
    parser.add_argument("--ctc_model_file", type=Path, required=True, help="its weights; guard.json lies beside them")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--hyp", type=Path, required=True, help="transcripts of all its utterances: id and text")
    parser.add_argument("--output_dir", type=Path, required=True, help="confidence, flagged, words.jsonl come here")
    parser.add_argument("--max_frames", type=at_least(1), default=10000, help="padded frames per batch")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def read_hypotheses(path: Path, data_dir: Path) -> Dict[str, str]:
    """The transcripts of all utterances.

    Raises:
        ValueError: no utterances, or missing or unknown ids, with their numbers.
    """
    hypotheses, wavs = read_scp(path), read_scp(data_dir / "wav.scp")
    if not wavs:
        raise ValueError(f"{data_dir}/wav.scp is empty: run the data stage (2)")
    try:
        check_ids(wavs, hypotheses)
    except ValueError as error:
        raise ValueError(f"{path}: {error} in wav.scp") from error
    return hypotheses


def judge(args, witness: Witness, texts: Dict[str, str]) -> Tuple[Dict[str, Verdict], Dict[str, List[Word]]]:
    """Verdict and words of every utterance."""
    langs, frames = read_langs(args.data_dir), read_num_frames(args.data_dir / "utt2num_frames")
    verdicts, words = {}, {}
    batches = speech_batches(read_scp(args.data_dir / "wav.scp"), frames, args.max_frames, witness.sample_rate)
    for uids, speech, lengths in batches:
        for uid, heard in zip(uids, witness.listen(speech, lengths)):
            verdicts[uid] = witness.judge(heard, texts[uid], langs.get(uid, ""))
            words[uid] = witness.words(heard, texts[uid], langs.get(uid, ""))
    return verdicts, words


def main(argv=None):
    """Writes confidence, words.jsonl, and where the witness is calibrated flagged."""
    args = get_parser().parse_args(argv)
    texts = read_hypotheses(args.hyp, args.data_dir)
    witness = Witness(args.ctc_train_config, args.ctc_model_file, args.device)
    threshold = read_calibration(args.ctc_model_file.with_name("guard.json"), witness.fingerprint()).threshold
    verdicts, words = judge(args, witness, texts)
    flagged = {uid: "unsupported" for uid, verdict in verdicts.items() if verdict.confidence < threshold}
    write_scp(args.output_dir / "confidence", {uid: f"{v.confidence:.6f}" for uid, v in verdicts.items()})
    write_scp(args.output_dir / "flagged", flagged)
    rows = ({"id": uid, "words": [word._asdict() for word in words[uid]]} for uid in sorted(words))
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    write_atomically(args.output_dir / "words.jsonl", "".join(f"{line}\n" for line in lines))
    logging.info("%d of %d utterances are not supported", len(flagged), len(verdicts))
    unknown, labels = (sum(getattr(verdict, name) for verdict in verdicts.values()) for name in ("unknown", "labels"))
    if unknown:
        logging.warning("%d of %d labels have no token of the CTC head; they count as not supported", unknown, labels)


if __name__ == "__main__":
    run(main)
