"""Prepares a speech encoder of Hugging Face (Whisper, wav2vec 2.0 and its kin, w2v-BERT) for trainings.

python -m espnet_llmasr.bin.prepare_encoder --encoder openai/whisper-small --output_dir exp/whisper

Writes encoder.yaml, the configuration of the encoder for --encoder_conf of a recipe, and encoder.pth, its weights, for
--init_param exp/whisper/encoder.pth::encoder of the first training that uses it.
"""

from pathlib import Path

import yaml

from espnet_llmasr.asr.released_encoder import read_released
from espnet_llmasr.asr.weights import write_state
from espnet_llmasr.cli import Parser, run
from espnet_llmasr.files import write_atomically


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--encoder", required=True, help="hub name or directory of a speech encoder")
    parser.add_argument("--output_dir", type=Path, required=True, help="encoder.pth and encoder.yaml are written here")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    options, state = read_released(args.encoder)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    write_state(args.output_dir / "encoder.pth", state)
    write_atomically(args.output_dir / "encoder.yaml", yaml.safe_dump(options, sort_keys=False))


if __name__ == "__main__":
    run(main)
