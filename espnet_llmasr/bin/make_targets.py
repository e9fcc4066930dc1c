"""Makes the targets of encoder analysis: the transcripts as phones and as meaning.

python -m espnet_llmasr.bin.make_targets --data_dir dump/valid --embedder exp/llm --out exp/targets/valid.npz

The phones come from the file `text` (and utt2lang, if it exists), so that they are the same for an encoder that was
trained on characters. At the paper's size: --embedder Qwen/Qwen3-Embedding-8B --text_embeddings exp/llm --device cuda
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.observe.make_targets import write_targets
from espnet_llmasr.text.inventories import inventory


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--data_dir", type=Path, required=True, help="dump/<set> or any folder with text")
    add("--embedder", required=True, help="text model: hub name, its directory, exp/llm, or minilm")
    add("--out", type=Path, required=True, help="the file to write, such as exp/targets/valid.npz")
    add("--inventory", type=inventory, default="zh_en", help="phones made from the text, or a table of pronunciations")
    add("--phones", type=Path, help="take this table (id and phones) instead: for other languages")
    add("--text_embeddings", help="LLM whose input embeddings stand for the text in CKA; default: the embedder")
    add("--batch_size", type=at_least(1), default=32, help="transcripts at a time")
    add("--device", type=device, default="cpu", help="cpu or cuda (bf16)")
    return parser


def main(argv=None):
    """Writes the targets of all utterances that have a transcript."""
    options = vars(get_parser().parse_args(argv))
    del options["config"]
    targets = write_targets(**options)
    counts = len(targets.ids), targets.phonetic.size(1)
    logging.info("%s: %d utterances, %d phones", options["out"], *counts)


if __name__ == "__main__":
    run(main)
