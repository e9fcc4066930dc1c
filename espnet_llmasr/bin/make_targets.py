"""Makes the targets of encoder analysis: the transcripts as phones and as meaning.

python -m espnet_llmasr.bin.make_targets --data_dir dump/valid --embedder exp/llm --out exp/targets/valid.npz

The phones come from the file `text` (and utt2lang, if it exists), so that they are the same for an encoder that was
trained on characters. At the paper's size: --embedder Qwen/Qwen3-Embedding-8B --text_embeddings exp/llm --device cuda
"""

import logging
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.data.kaldi import read_utt2lang
from espnet_llmasr.files import read_scp
from espnet_llmasr.observe.make_targets import make_targets, phones_of, read_phones
from espnet_llmasr.text.inventories import INVENTORIES
from espnet_llmasr.train.targets import check_name


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--data_dir", type=Path, required=True, help="dump/<set> or any folder with text")
    add("--embedder", required=True, help="text model: hub name, its directory, exp/llm, or minilm")
    add("--out", type=Path, required=True, help="the file to write, such as exp/targets/valid.npz")
    add("--inventory", choices=sorted(INVENTORIES), default="zh_en", help="phones made from the text")
    add("--phones", type=Path, help="take this table (id and phones) instead: for other languages")
    add("--text_embeddings", help="LLM whose input embeddings stand for the text in CKA; default: the embedder")
    add("--batch_size", type=at_least(1), default=32, help="transcripts at a time")
    add("--device", type=device, default="cpu", help="cpu or cuda (bf16)")
    return parser


def main(argv=None):
    """Writes the targets of all utterances that have a transcript."""
    args = get_parser().parse_args(argv)
    check_name(args.out)
    texts = read_scp(args.data_dir / "text")
    if args.phones is None:
        phones = phones_of(texts, read_utt2lang(args.data_dir), args.inventory)
    else:
        phones = read_phones(args.phones, texts)
    models = args.embedder, args.text_embeddings
    targets = make_targets(args.data_dir, texts, phones, *models, args.batch_size, args.device)
    targets.made["phones_from"] = str(args.phones or args.inventory)
    targets.save(args.out)
    logging.info("%s: %d utterances, %d phones", args.out, len(targets.ids), targets.phonetic.size(1))


if __name__ == "__main__":
    run(main)
