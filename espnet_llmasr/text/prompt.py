"""The chat prompt with a <speech> placeholder, from the tokenizer's own chat template.

P prompt tokens, L' speech tokens, U target tokens (transcript and end token).
"""

from typing import List, Optional

import jinja2
import torch

INSTRUCTION = "Transcribe the speech into text."
SPEECH = "<speech>"
SPEECH_ID = -1  # marks speech in token sequences; it never reaches the embedding table, so it needs no token
IGNORE_ID = -100  # positions without loss, as in Hugging Face and torch


class Prompt:
    """Turns a transcript into prompt and target ids (paper section 3.1, Eq. 4).

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template (Qwen3: thinking is switched off).
        instruction: the user's text before the speech.
        system: optional system message.
    Raises:
        ValueError: the tokenizer has no chat template, or the prompt does not have exactly one placeholder.
    """

    def __init__(self, tokenizer, instruction: str = INSTRUCTION, system: Optional[str] = None):
        if not tokenizer.chat_template:
            raise ValueError("the LLM's tokenizer has no chat template: take an instruction-tuned LLM such as Qwen3")
        self.tokenizer = tokenizer
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": instruction + SPEECH})
        try:
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except (jinja2.TemplateError, TypeError) as error:
            file = f"the chat template (chat_template.jinja) of {tokenizer.name_or_path}"
            raise ValueError(f"{file} is damaged ({error}): prepare the LLM again (stage 4)") from error
        if text.count(SPEECH) != 1:
            raise ValueError(
                f"the prompt has {text.count(SPEECH)} times {SPEECH}, expected once: {text!r}: remove it from the "
                "instruction and the system message, and take an LLM whose chat template keeps it"
            )
        before, _, after = text.partition(SPEECH)
        self.ids: List[int] = self._encode(before) + [SPEECH_ID] + self._encode(after)
        self.end_id: int = tokenizer.eos_token_id

    def _encode(self, text: str) -> List[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def target(self, transcript: str) -> List[int]:
        """Token ids of the transcript and the end token: the only positions that carry loss."""
        return self._encode(transcript) + [self.end_id]

    def decode(self, ids) -> str:
        """The transcript of generated ids, in one line without special tokens."""
        return " ".join(self.tokenizer.decode(ids, skip_special_tokens=True).split())


def expand_speech(prompt: torch.Tensor, num_speech: int) -> torch.Tensor:
    """Repeats the single placeholder of `prompt` (P,) `num_speech` times: (P - 1 + L',)."""
    repeats = torch.where(prompt == SPEECH_ID, num_speech, 1)
    return prompt.repeat_interleave(repeats)


def labels_for(prompt: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Labels of the sequence [prompt, target]: IGNORE_ID on the (expanded) prompt, the ids on the target."""
    return torch.cat([torch.full_like(prompt, IGNORE_ID), target])
