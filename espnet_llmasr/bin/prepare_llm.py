"""Prepares the LLM: python -m espnet_llmasr.bin.prepare_llm --llm Qwen/Qwen3-1.7B --output_dir exp/llm

With --llm (a hub name or a directory) its configuration, tokenizer and weights are taken; without, a tiny Qwen3 is
trained on --text. Writes config.json, tokenizer files and llm.pth (the weights, for --init_param exp/llm/llm.pth::llm).
"""

import logging
import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.files import atomic_path, read_scp
from espnet_llmasr.text.prompt import Prompt
from espnet_llmasr.train import small_llm


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--output_dir", type=Path, required=True, help="where the LLM's files go")
    parser.add_argument("--llm", default="", help="hub name or directory of a chat LLM; empty: train a tiny one")
    parser.add_argument("--text", type=Path, help="training text (Kaldi form) for the tiny one")
    group = parser.add_argument_group("the tiny LLM")
    group.add_argument("--vocab_size", type=int, default=600, help="BPE vocabulary")
    group.add_argument("--hidden_size", type=int, default=192, help="width (a multiple of 64)")
    group.add_argument("--num_layers", type=int, default=4, help="layers")
    group.add_argument("--num_updates", type=int, default=600, help="training updates")
    group.add_argument("--batch_size", type=int, default=32, help="sequences per update")
    group.add_argument("--max_lr", type=float, default=2e-3, help="highest learning rate")
    group.add_argument("--seed", type=int, default=0, help="random seed")
    return parser


def tiny_llm(args):
    """Trains tokenizer and LLM on the text."""
    if args.text is None:
        raise ValueError("neither --llm nor --text is given: name an LLM (Qwen/Qwen3-1.7B) or a training text")
    set_seed(args.seed)
    lines = sorted(set(read_scp(args.text).values()))
    tokenizer = small_llm.train_tokenizer(lines, args.vocab_size)
    model = small_llm.build(tokenizer, args.hidden_size, args.num_layers)
    logging.info("tiny Qwen3: %d parameters, %d tokens", model.num_parameters(), len(tokenizer))
    task = small_llm.CopyTask(lines, Prompt(tokenizer), random.Random(args.seed))
    small_llm.train(model, task, args.num_updates, args.batch_size, args.max_lr)
    return tokenizer, model


def main(argv=None):
    """Writes the LLM's files; llm.pth comes last."""
    args = get_parser().parse_args(argv)
    if args.llm:
        if args.llm.startswith((".", "/")) and not Path(args.llm, "config.json").is_file():
            raise ValueError(
                f"--llm {args.llm} has no config.json: give the directory of an LLM, or its name on the hub"
            )
        tokenizer = AutoTokenizer.from_pretrained(args.llm)
        model = AutoModelForCausalLM.from_pretrained(args.llm, dtype=torch.float32)
        Prompt(tokenizer)  # fails now, not in the training, if the tokenizer has no chat template
    else:
        tokenizer, model = tiny_llm(args)
    tokenizer.save_pretrained(args.output_dir)
    model.config.save_pretrained(args.output_dir)
    with atomic_path(args.output_dir / "llm.pth") as path:
        torch.save(model.state_dict(), path)


if __name__ == "__main__":
    run(main)
