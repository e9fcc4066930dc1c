"""Calibrates the guard on true transcripts and on replaced audio. Writes guard.json beside the CTC head.

python -m espnet_llmasr.bin.calibrate_guard --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --data_dir dump/valid
"""

import logging
from pathlib import Path
from typing import Dict

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.calibration import TARGET, Calibration, thresholds_for
from espnet_llmasr.guard.detection import share_below
from espnet_llmasr.guard.trial import REPLACED, Trial
from espnet_llmasr.guard.verifier import Witness


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--ctc_train_config", required=True, help="config.yaml of the CTC head")
    parser.add_argument("--ctc_model_file", type=Path, required=True, help="its weights; guard.json comes beside them")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with true transcripts, not trained on")
    parser.add_argument(
        "--false_alarms", type=float, default=TARGET, help="share of true transcripts that may be in doubt"
    )
    parser.add_argument("--max_utterances", type=at_least(1), default=2000, help="of a larger set only so many")
    parser.add_argument("--max_frames", type=at_least(1), default=10000, help="padded frames per batch")
    parser.add_argument("--seed", type=int, default=0, help="of the replaced audio")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def read_texts(path: Path, most: int) -> Dict[str, str]:
    """Transcripts, taken evenly if there are more than `most`. Raises ValueError if there are none."""
    texts = {uid: text for uid, text in read_scp(path).items() if text}
    if not texts:
        raise ValueError(f"{path} has no transcripts: give a checked data directory (stage 2), such as dump/valid")
    return {uid: texts[uid] for uid in sorted(texts)[:: -(-len(texts) // most)]}


def main(argv=None):
    """Writes guard.json and says how much of replaced audio the threshold finds."""
    args = get_parser().parse_args(argv)
    texts = read_texts(args.data_dir / "text", args.max_utterances)
    witness = Witness(args.ctc_train_config, args.ctc_model_file, args.device)
    found = Trial(witness, args.data_dir, texts, args.seed).run(args.max_frames)
    false = [confidence for kind in REPLACED for confidence in found[kind].values()]
    threshold, doubt = thresholds_for(list(found["own"].values()), false, args.false_alarms)
    path = args.ctc_model_file.with_name("guard.json")
    model = witness.fingerprint()
    Calibration(threshold, doubt, args.false_alarms, len(texts), model, str(args.data_dir)).write(path)
    logging.info("%s: not supported below %.4f, in doubt below %.4f; %d utterances", path, threshold, doubt, len(texts))
    for kind in ("own", *REPLACED):
        share = share_below(list(found[kind].values()), threshold)
        low, high = share["95 %"]
        text = "flagged with %s audio: %.1f %% (95 %%: %.1f-%.1f)"
        logging.info(text, kind, 100 * share["rate"], 100 * low, 100 * high)


if __name__ == "__main__":
    run(main)
