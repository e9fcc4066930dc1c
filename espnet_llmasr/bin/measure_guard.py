"""Measures the guard: false alarms on transcripts with their own audio, and flagged ones with corrupted audio.

python -m espnet_llmasr.bin.measure_guard --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --ref_dir dump --hyp_dir exp/joint_sft/decode --out exp/guard test_zh
"""

import json
from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, run
from espnet_llmasr.files import write_atomically
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.evaluation import figures, page, read_cases
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.text.routes import make_route


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--ref_dir", type=Path, required=True, help="dump: <set>/text, wav.scp and utt2num_frames")
    parser.add_argument("--hyp_dir", type=Path, required=True, help="<set>/text of the system to be guarded")
    parser.add_argument("--out", type=Path, required=True, help="<out>.json and <out>.md are written")
    parser.add_argument("--seed", type=int, default=0, help="seed of the corrupted audio")
    parser.add_argument("sets", nargs="+", help="test sets")
    add_ctc_options(parser)
    return parser


def main(argv=None):
    args = get_parser().parse_args(argv)
    verifier = CTCVerifier(args.ctc_train_config, args.ctc_model_file, args.device)
    saved = read_calibration(args.ctc_model_file.with_name("guard.json"), verifier.fingerprint())
    folders = args.ref_dir, args.hyp_dir
    cases = [case for name in args.sets for case in read_cases(verifier, *folders, name, args.max_frames, args.seed)]
    options = {"sets": args.sets, "seed": args.seed, "route": str(make_route("none")), "threshold": saved.threshold}
    result = {**options, "gap": saved.gap, **figures(cases, saved.threshold, saved.gap)}
    write_atomically(f"{args.out}.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    write_atomically(f"{args.out}.md", page(result))
    print(page(result))


if __name__ == "__main__":
    run(main)
