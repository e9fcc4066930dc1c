"""Measures the guard: false alarms on transcripts with their own audio, and flagged ones with corrupted audio.

python -m espnet_llmasr.bin.measure_guard --ctc_train_config exp/ctc_head/config.yaml \
    --ctc_model_file exp/ctc_head/latest.pth --ref_dir dump --hyp_dir exp/joint_sft/decode --out exp/guard test_zh
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, add_ctc_options, run
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.evaluation import measure, page, write_result
from espnet_llmasr.guard.verifier import CTCVerifier


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
    result = measure(verifier, saved, args.ref_dir, args.hyp_dir, args.sets, args.max_frames, args.seed)
    write_result(args.out, result)
    print(page(result))


if __name__ == "__main__":
    run(main)
