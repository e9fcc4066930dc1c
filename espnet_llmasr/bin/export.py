"""Exports a packed model: encoder, adaptor and CTC head as ONNX, the LLM as a folder for llama.cpp: docs/export.md."""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.zoo.export import export


def main(argv=None) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("pack", help="folder or zip of bin.pack, or a name: see Speech2Text.from_pretrained")
    parser.add_argument("out", type=Path, help="folder to write")
    args = parser.parse_args(argv)
    print(export(args.pack, args.out))


if __name__ == "__main__":
    run(main)
