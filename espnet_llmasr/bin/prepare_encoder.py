"""Prepares a speech encoder of Hugging Face (Whisper, wav2vec 2.0 and its kin, w2v-BERT) for trainings.

python -m espnet_llmasr.bin.prepare_encoder --encoder openai/whisper-small --output_dir exp/whisper

Writes encoder.yaml, the configuration of the encoder for --encoder_conf of a recipe, and encoder.pth, its weights, for
--init_param exp/whisper/encoder.pth::encoder of the first training that uses it.
"""

from pathlib import Path

from espnet_llmasr.asr.released_encoder import write_released
from espnet_llmasr.cli import Parser, run


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--encoder", required=True, help="hub name or directory of a speech encoder")
    parser.add_argument("--output_dir", type=Path, required=True, help="encoder.pth and encoder.yaml are written here")
    return parser


def main(argv=None) -> None:
    """Raises ValueError and OSError: see `read_released`."""
    args = get_parser().parse_args(argv)
    write_released(args.encoder, args.output_dir)


if __name__ == "__main__":
    run(main)
