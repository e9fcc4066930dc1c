"""A tiny Qwen3 that is trained on the transcripts, and the files of an LLM, a tiny or a released one.

The tiny Qwen3 replaces Qwen3-1.7B in the miniature. A released LLM can copy text from its context; a tiny one must
learn this first, otherwise no adaptor can be aligned to it while it is frozen. The tiny LLM is therefore trained on the
chat prompt with random words in the place of speech, which it has to repeat. It can be trained on plain text beside, as
released LLMs are: then it knows what usually follows, and can guess. S tokens of a sequence.
"""

import logging
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, set_seed

from espnet_llmasr.asr.llm import try_llm
from espnet_llmasr.asr.weights import write_state
from espnet_llmasr.files import PathLike, read_scp
from espnet_llmasr.text.prompt import IGNORE_ID, INSTRUCTION, PROMPT_FILE, SPEECH_ID, Prompt

WORD = re.compile(r"[A-Za-z']+|[^\sA-Za-z']")
ENOUGH = 0.01  # copy loss at which the training of the tiny LLM ends early
END, PAD = "<|im_end|>", "<|endoftext|>"
CHAT_WEIGHT = 1000  # copies of the prompt in the text of the tokenizer, so that the prompt takes few tokens
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(lines: List[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen's special tokens and chat format."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special, alphabet = [PAD, "<|im_start|>", END], pre_tokenizers.ByteLevel.alphabet()
    options = dict(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    chat = [f"user assistant {INSTRUCTION}"] * CHAT_WEIGHT
    tokenizer.train_from_iterator([*lines, *chat], trainers.BpeTrainer(vocab_size=vocab_size, **options))
    options = dict(eos_token=END, pad_token=PAD, chat_template=CHAT_TEMPLATE)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)


def build(tokenizer, hidden_size: int, num_layers: int) -> Qwen3ForCausalLM:
    """A Qwen3 with random weights, tied embeddings and heads of 64."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=max(hidden_size // 64, 1),
        num_key_value_heads=max(hidden_size // 128, 1),
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


class CopyTask:
    """Random examples: the prompt holds a string of words in the place of speech, and the target repeats it.

    Half of the strings are lines of the corpus, half are one to five random Latin words and Han characters. A share
    `plain_share` of the examples is a text of `plain` alone, without prompt, each as often as it occurs there. Tokens
    stand 1 to `repeats` times in the prompt, as words span several positions of speech.
    """

    def __init__(
        self,
        lines: List[str],
        prompt: Prompt,
        rng: random.Random,
        plain: Sequence[str] = (),
        plain_share: float = 0.0,
        repeats: int = 1,
    ):
        self.lines, self.prompt, self.rng = lines, prompt, rng
        self.plain, self.plain_share, self.repeats = plain, plain_share, repeats
        self.words = sorted({word for line in lines for word in WORD.findall(line)})
        if not self.words:
            raise ValueError(
                "the text for the tiny LLM has no words: give the transcripts of the training set as --text"
            )

    def text(self) -> str:
        """A line to repeat."""
        if self.rng.random() < 0.5:
            return self.rng.choice(self.lines)
        words = self.rng.choices(self.words, k=self.rng.randint(1, 5))
        return " ".join("".join(f" {word} " if word.isascii() else word for word in words).split())

    def example(self):
        """Token ids (S,) and labels (S,), which are IGNORE_ID outside the transcript and the end token."""
        if self.plain_share and self.rng.random() < self.plain_share:
            target = torch.tensor(self.prompt.target(self.rng.choice(self.plain)))
            return target, target
        target = self.prompt.target(self.text())
        place = self.prompt.ids.index(SPEECH_ID)
        spoken = target[:-1]
        if self.repeats > 1:
            spoken = [token for token in spoken for _ in range(self.rng.randint(1, self.repeats))]
        context = self.prompt.ids[:place] + spoken + self.prompt.ids[place + 1 :]
        return torch.tensor(context + target), torch.tensor([IGNORE_ID] * len(context) + target)

    def batch(self, size: int):
        """ids, mask, labels, each (size, S)."""
        ids, labels = zip(*(self.example() for _ in range(size)))
        mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
        return pad_sequence(ids, batch_first=True), mask, pad_sequence(labels, True, IGNORE_ID)


def train(model, task: CopyTask, num_updates: int, batch_size: int, max_lr: float) -> None:
    """AdamW with a one-cycle learning rate until the running mean of the loss is below `ENOUGH`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=max_lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=num_updates, pct_start=0.1)
    model.train()
    shown, mean = time.monotonic(), 0.0
    for update in range(1, num_updates + 1):
        ids, mask, labels = task.batch(batch_size)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        mean = loss.item() if update == 1 else 0.9 * mean + 0.1 * loss.item()
        if time.monotonic() - shown > 5 or update == num_updates or mean < ENOUGH:
            shown = time.monotonic()
            logging.info("update %d/%d copy loss %.4f", update, num_updates, mean)
        if mean < ENOUGH:
            break


@dataclass(frozen=True)
class TinyLLM:
    """Sizes and training of the tiny LLM."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_updates: int
    batch_size: int
    max_lr: float
    seed: int
    plain_share: float
    repeats: int


def train_llm(text: PathLike, tiny: TinyLLM, **prompt_options):
    """Prompt and tiny LLM trained on the transcripts of a Kaldi table.

    Args:
        prompt_options: `instruction` and `system` of `Prompt.render`.
    """
    set_seed(tiny.seed)
    texts = list(read_scp(text).values())
    lines = sorted(set(texts))
    tokenizer = train_tokenizer(lines, tiny.vocab_size)
    model = build(tokenizer, tiny.hidden_size, tiny.num_layers)
    logging.info("tiny Qwen3: %d parameters, %d tokens", model.num_parameters(), len(tokenizer))
    prompt = Prompt.render(tokenizer, **prompt_options)
    task = CopyTask(lines, prompt, random.Random(tiny.seed), texts, tiny.plain_share, tiny.repeats)
    train(model, task, tiny.num_updates, tiny.batch_size, tiny.max_lr)
    return prompt, model


def save_llm(output_dir: Path, prompt: Prompt, model) -> None:
    """Writes the files of the LLM once it is tried.

    prompt.json comes last, so that its presence means that all are complete.

    Raises:
        ValueError: no training or decoding would work with this LLM.
    """
    try_llm(prompt, model)
    length = len(prompt.ids) - 1  # without <speech>
    logging.info("the prompt is %r of %d tokens, transcripts end with %s", prompt.text, length, prompt.end_token)
    (output_dir / PROMPT_FILE).unlink(missing_ok=True)
    prompt.tokenizer.save_pretrained(output_dir)
    model.config.save_pretrained(output_dir)
    write_state(output_dir / "llm.pth", model.state_dict())
    prompt.write(output_dir / PROMPT_FILE)
