"""Makes the targets that encoders are measured against: what was said, as phones and as meaning.

python -m espnet_llmasr.bin.make_targets --data_dir dump/valid --embedder exp/llm --out exp/targets/valid.npz

The phones come from the file `text` (and utt2lang, if it is there), so that they are the same for an encoder that was
trained on characters. At the paper's size: --embedder Qwen/Qwen3-Embedding-8B --text_embeddings exp/llm --device cuda
"""

import logging
from pathlib import Path
from typing import Dict, List

from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.data.kaldi import read_utt2lang
from espnet_llmasr.files import read_scp
from espnet_llmasr.observe.embedder import TextEmbedder
from espnet_llmasr.observe.phonetic import phone_shares, phones_of
from espnet_llmasr.text.inventories import INVENTORIES
from espnet_llmasr.train.targets import Targets, check_name


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> or any folder with text")
    parser.add_argument("--embedder", required=True, help="text model: hub name, its directory, or exp/llm")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, such as exp/targets/valid.npz")
    parser.add_argument("--inventory", choices=sorted(INVENTORIES), default="zh_en", help="phones made from the text")
    parser.add_argument("--phones", type=Path, help="take this table (id and phones) instead: for other languages")
    parser.add_argument(
        "--text_embeddings", help="LLM whose input embeddings stand for the text in CKA; default: the embedder"
    )
    parser.add_argument("--batch_size", type=at_least(1), default=32, help="transcripts at a time")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda (bf16)")
    return parser


def read_phones(args, texts: Dict[str, str]) -> Dict[str, List[str]]:
    """The phones of all transcripts. Raises ValueError if --phones lacks one of them."""
    if args.phones is None:
        return phones_of(texts, read_utt2lang(args.data_dir), args.inventory)
    table = read_scp(args.phones)
    missing = [uid for uid in texts if uid not in table]
    if missing:
        raise ValueError(f"{args.phones} has no phones of {missing[0]} ({len(missing)} are missing): complete it")
    return {uid: table[uid].split() for uid in texts}


def main(argv=None):
    """Writes the targets of all utterances that have a transcript."""
    args = get_parser().parse_args(argv)
    check_name(args.out)
    texts = read_scp(args.data_dir / "text")
    shares, tokens = phone_shares(read_phones(args, texts))
    spoken = [number for number, row in enumerate(shares) if row.any()]
    if not spoken:
        raise ValueError(f"{args.data_dir}/text has no transcript with phones: nothing to measure against")
    if len(spoken) < len(texts):
        logging.warning("%d of %d utterances have no phones: left out", len(texts) - len(spoken), len(texts))
    ids = [list(texts)[number] for number in spoken]
    said = [texts[uid] for uid in ids]
    embedder = TextEmbedder(args.embedder, args.device, args.batch_size)
    semantic = embedder.last_token(said)
    llm = args.text_embeddings or args.embedder
    if llm != args.embedder:
        embedder = TextEmbedder(llm, args.device, args.batch_size)
    made = dict(embedder=args.embedder, text_embeddings=llm, phones=tokens, data_dir=str(args.data_dir))
    made["phones_from"] = args.inventory if args.phones is None else str(args.phones)
    Targets(ids, shares[spoken], semantic, embedder.input_mean(said), made).save(args.out)
    logging.info("%s: %d utterances, %d phones, %s", args.out, len(ids), len(tokens), args.embedder)


if __name__ == "__main__":
    run(main)
