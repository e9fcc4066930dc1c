"""The chat prompt with a <speech> placeholder, rendered once from the LLM's own chat template and then kept as text.

P prompt tokens, L' speech tokens, U target tokens (transcript and end token).
"""

import json
import logging
import os
import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from jinja2 import TemplateError
from tokenizers import AddedToken

from espnet_llmasr.files import PathLike, read_json, write_atomically

INSTRUCTION = "Transcribe the speech into text."
SPEECH = "<speech>"
SPEECH_ID = -1  # marks speech in token sequences; it never reaches the embedding table, so it needs no token
HINTS = " Contextual hints: {}."  # after the speech, as in arXiv 2604.18105; ", " between two hints
CUE = "Transcript:"  # the last line of a plain prompt
IGNORE_ID = -100  # positions without loss, as in Hugging Face and torch
PROMPT_FILE = "prompt.json"  # beside the tokenizer
ANSWER = "transcript"  # an assistant's turn from which the end token is found
THINKING = re.compile(r"[<\[](?:\w+:)?(?:think|thinking|thought|reasoning)[>\]]", re.I)  # opens a block of reasoning
PARALLELISM = "TOKENIZERS_PARALLELISM"  # a variable of the environment that tokenizers reads at every call
CHUNK = 10_000  # transcripts that are in memory as tokens at once

NO_SYSTEM = "give no --system, and put its text into --instruction"


class Prompt:
    """Turns a transcript into prompt and target ids (paper section 3.1, Eq. 4).

    Args:
        tokenizer: a Hugging Face tokenizer.
        text: the rendered chat up to where the LLM answers, with one <speech>.
        end_token: the token that ends a transcript.
    Raises:
        ValueError: the end token is none of this tokenizer's, or the text does not have exactly one placeholder.
    """

    def __init__(self, tokenizer, text: str, end_token: str):
        if text.count(SPEECH) != 1:
            raise ValueError(
                f"the prompt has {text.count(SPEECH)} times {SPEECH}, expected once: {text!r}: remove it from the "
                "instruction and the system message, and take an LLM whose chat template keeps it"
            )
        if end_token not in tokenizer.get_vocab():
            raise ValueError(f"the end token {end_token!r} of the prompt is no token of the LLM: run stage 4 again")
        self.tokenizer, self.text, self.end_token = tokenizer, text, end_token
        before, _, after = text.partition(SPEECH)
        self._before, self._after = self._encode(before) + [SPEECH_ID], self._encode(after)
        self.ids: List[int] = self._before + self._after
        self.end_id: int = tokenizer.convert_tokens_to_ids(end_token)

    @classmethod
    def render(cls, tokenizer, instruction: str = INSTRUCTION, system: Optional[str] = None) -> "Prompt":
        """The prompt by the tokenizer's chat template, without thinking; a plain one without template (`_plain`).

        Rendered by the LLM's preparation only, because some templates print today's date.

        Args:
            instruction: the user's text before the speech.
            system: optional system message; "" takes out the template's own, if it has one.
        Raises:
            ValueError: a chat template that refuses or drops a message; no end token; see also `Prompt`.
        """
        if not tokenizer.chat_template:
            return cls(tokenizer, *_plain(tokenizer, instruction, system))
        user = [{"role": "user", "content": instruction + SPEECH}]
        with_system = [{"role": "system", "content": system}, *user]
        # an empty turn may be longer than none
        chats = {None: [user], "": [user, with_system]}.get(system, [with_system])
        texts = [_render(tokenizer, chat, add_generation_prompt=True) for chat in chats]
        text, messages = min(zip(texts, chats), key=lambda pair: len(pair[0]))
        if system and " ".join(system.split()) not in " ".join(text.split()):
            raise ValueError(f"the LLM's chat template drops the system message: {NO_SYSTEM}")
        end_token = _end_token(tokenizer, messages)
        _make_special(tokenizer, end_token)
        return cls(tokenizer, _close_thinking(text), end_token)

    @classmethod
    def read(cls, tokenizer, path: PathLike) -> "Prompt":
        """The prompt in a file that `write` wrote. Raises ValueError, with its name, if it is missing or damaged."""
        advice = "run the LLM-preparation stage (4) again"
        if not Path(path).exists():
            raise ValueError(f"{path}, the prompt of the LLM, is missing: {advice}")
        try:
            return cls.restore(tokenizer, read_json(path, kind=object))
        except ValueError as error:
            raise ValueError(f"{path} holds no prompt of an LLM ({error}): {advice}") from error

    @classmethod
    def restore(cls, tokenizer, saved: object) -> "Prompt":
        """The prompt of which a file or a configuration keeps `saved`. Raises ValueError if that is something else."""
        if not isinstance(saved, dict) or saved.keys() != {"text", "end_token"}:
            raise ValueError(f"expected the keys text and end_token, found {saved!r:.200}")
        if not all(isinstance(value, str) for value in saved.values()):
            raise ValueError(f"expected texts under text and end_token, found {saved!r:.200}")
        return cls(tokenizer, **saved)

    def write(self, path: PathLike) -> None:
        """Writes the prompt as JSON."""
        write_atomically(path, json.dumps(self.saved, ensure_ascii=False, indent=2) + "\n")

    @property
    def saved(self) -> Dict[str, str]:
        """What a file or a configuration keeps: text and end_token."""
        return {"text": self.text, "end_token": self.end_token}

    def with_hints(self, hints: Sequence[str]) -> List[int]:
        """The ids of a prompt with hints between <speech> and the end of the user's turn; `ids` if there are none.

        The template is not applied again: it ends the user's turn after what follows <speech>, whatever that is.
        Special tokens that are written in a hint are encoded as text.
        """
        if not hints:
            return self.ids
        return self._before + self._encode(HINTS.format(", ".join(hints)), split_special_tokens=True) + self._after

    def target(self, transcript: str) -> List[int]:
        """Token ids of the transcript and the end token: the only positions that carry loss.

        A special token that is written in a transcript is encoded as text, so that it cannot end the transcript.
        """
        return self._encode(transcript, split_special_tokens=True) + [self.end_id]

    def target_lengths(self, transcripts: List[str]) -> List[int]:
        """The lengths of their `target`s, on all cores: a million take two minutes of CPU time."""
        lengths: List[int] = []
        os.environ[PARALLELISM] = "true"
        for start in range(0, len(transcripts), CHUNK):
            rows = self._encode(transcripts[start : start + CHUNK], split_special_tokens=True)
            lengths += [len(row) + 1 for row in rows]
        os.environ[PARALLELISM] = "false"  # else every process that is forked from now on would warn
        return lengths

    def decode(self, ids) -> str:
        """The transcript of generated ids, in one line without special tokens."""
        return " ".join(self.tokenizer.decode(ids, skip_special_tokens=True).split())

    def _encode(self, text: Union[str, List[str]], **options) -> list:
        return self.tokenizer(text, add_special_tokens=False, **options)["input_ids"]


def _plain(tokenizer, instruction: str, system: Optional[str]) -> Tuple[str, str]:
    """Prompt and end token for a base LLM, which has no chat template: lines of text, ended by its end of text.

    The token that the tokenizer puts before every text (BOS, if any) comes first, since the LLM was trained with it.
    """
    if tokenizer.eos_token is None:
        raise ValueError("the LLM's tokenizer has neither a chat template nor an eos_token: take another LLM")
    logging.warning("the LLM's tokenizer has no chat template: the prompt is plain text, without turns of a chat")
    before = tokenizer("a")["input_ids"]
    begins = tokenizer.bos_token is not None and before[0] == tokenizer.bos_token_id
    lines = [*([system] if system else []), instruction, SPEECH, CUE, ""]
    _make_special(tokenizer, tokenizer.eos_token)
    return (tokenizer.bos_token if begins else "") + "\n".join(lines), tokenizer.eos_token


def _render(tokenizer, messages: List[Dict[str, str]], **options) -> str:
    """The chat as text. Raises ValueError for a template that refuses it."""
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False, **options)
    except (TemplateError, TypeError) as error:
        roles = " and ".join(message["role"] for message in messages)
        advice = NO_SYSTEM if messages[0]["role"] == "system" else "take another chat LLM such as Qwen3"
        raise ValueError(f"the LLM's chat template refuses a chat of {roles} ({error}): {advice}") from error


def _close_thinking(text: str) -> str:
    """Closes a block of reasoning that the template leaves open: a transcript in it would be taken for reasoning."""
    after = text.partition(SPEECH)[2]
    opened = list(THINKING.finditer(after))
    if not opened:
        return text
    tag = opened[-1][0]
    closing = f"{tag[0]}/{tag[1:]}"
    if closing in after[opened[-1].end() :]:
        return text
    logging.warning("the LLM's chat template always opens %s: the prompt closes it before the transcript", tag)
    return f"{text.rstrip()}\n\n{closing}\n\n"


def _end_token(tokenizer, messages: List[Dict[str, str]]) -> str:
    """The token that the template puts after an assistant's turn; the tokenizer's eos_token where it puts none.

    Raises:
        ValueError: there is neither.
    """
    text = _render(tokenizer, [*messages, {"role": "assistant", "content": ANSWER}])
    after = text.rpartition(ANSWER)[2].lstrip()
    eos = tokenizer.eos_token
    found = [
        token for token in {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens} if after.startswith(token)
    ]
    if found:
        return max(found, key=len)
    if eos is None:
        raise ValueError(
            "the LLM has no end token: its chat template puts none after an assistant's turn, and its tokenizer has no "
            "eos_token: take a chat LLM such as Qwen3"
        )
    return eos


def _make_special(tokenizer, token: str) -> None:
    """Marks the end token as special: only special tokens are encoded as text where they stand in transcripts."""
    added = tokenizer.added_tokens_decoder.get(tokenizer.convert_tokens_to_ids(token))
    if added is None or not added.special:
        flags = {name: getattr(added, name, False) for name in ("lstrip", "rstrip", "single_word")}
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False, **flags)], special_tokens=True)


def expand_speech(prompt: Sequence[int], num_speech: int) -> np.ndarray:
    """Repeats the single placeholder of `prompt` (P,) `num_speech` times: (P - 1 + L',)."""
    ids = np.asarray(prompt)
    return np.repeat(ids, np.where(ids == SPEECH_ID, num_speech, 1))
