"""Prompt, lengths and speech modules of a pack, without ESPnet (which only its own encoders and frontend need).

B batch, N samples, L' speech tokens, E LLM width.
"""

from functools import lru_cache
from pathlib import Path
from typing import List, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.encoders import encoder_class, windows_of
from espnet_llmasr.asr.fbank import FeatureMVN
from espnet_llmasr.asr.frontends import frontend_class
from espnet_llmasr.asr.llm import load_tokenizer
from espnet_llmasr.asr.modules import extract_features
from espnet_llmasr.files import read_yaml
from espnet_llmasr.tasks.packed import resolved
from espnet_llmasr.text.prompt import PROMPT_FILE, SPEECH_ID, Prompt
from espnet_llmasr.zoo.load import load


class Pack:
    """A packed model before its weights.

    Attributes:
        rate: of the samples in Hz.
        before, after: the token ids of the prompt on both sides of the speech.
    """

    def __init__(self, folder: str):
        config = load(folder)["llm_asr_train_config"]
        self.options = resolved(read_yaml(config), config)
        tokenizer_file, saved = Path(self.options["llm_tokenizer"]), self.options.get("prompt")
        tokenizer = load_tokenizer(tokenizer_file)
        prompt = (
            Prompt.restore(tokenizer, saved) if saved else Prompt.read(tokenizer, tokenizer_file.with_name(PROMPT_FILE))
        )
        place = prompt.ids.index(SPEECH_ID)
        self.before, self.after = prompt.ids[:place], prompt.ids[place + 1 :]
        self.frontend = frontend_class(self.options["frontend"])(**self.options["frontend_conf"])
        self.rate = self.frontend.fs
        conf = self.options["encoder_conf"]
        self.windows = windows_of(self.options["encoder"], conf, self.frontend.output_size())
        with torch.device("meta"):
            self.adaptor = ConcatAdaptor(1, 1, **self.options["adaptor_conf"])

    def speech_tokens(self, num_samples: int) -> int:
        """L' of so many samples, as in training: a last group that is not full is filled up, not cut.

        Raises:
            ValueError: too few samples for one token.
        """
        tokens = self.adaptor.output_lengths(self.windows.count(self.frontend.frame_lengths(num_samples)))
        if tokens < 1 or num_samples < self.frontend.min_samples:
            needed = self.frontend.windows.size + self.frontend.windows.shift * (self.windows.size - 1)
            needed = max(self.frontend.min_samples, needed)
            raise ValueError(f"the recording has {num_samples} samples at {self.rate} Hz, the encoder needs {needed}")
        return tokens

    def prompt_of(self, samples: np.ndarray) -> dict:
        """The input of vLLM for samples (N,); its processor puts the places of the speech tokens after `before`."""
        return {"prompt_token_ids": self.before + self.after, "multi_modal_data": {"audio": (samples, self.rate)}}

    def build(self, llm_width: int) -> "SpeechSide":
        """The speech modules with random weights, in fp32, whatever torch's default type is."""
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            return SpeechSide(self.options, llm_width)
        finally:
            torch.set_default_dtype(default)


@lru_cache(4)
def open_pack(folder: str) -> Pack:
    """The pack in a folder; read once per process."""
    return Pack(folder)


class SpeechSide(nn.Module):
    """Frontend, normalisation, encoder and adaptor under the names of the pack's weights."""

    def __init__(self, options: dict, llm_width: int):
        super().__init__()
        self.frontend = frontend_class(options["frontend"])(**options["frontend_conf"])
        self.normalize = FeatureMVN(**options["normalize_conf"]) if options["normalize"] else None
        conf = {"input_size": self.frontend.output_size(), **options["encoder_conf"]}
        self.encoder = encoder_class(options["encoder"])(**conf)
        self.adaptor = ConcatAdaptor(self.encoder.output_size(), llm_width, **options["adaptor_conf"])

    @torch.no_grad()
    def forward(self, samples: Sequence[Tensor]) -> List[Tensor]:
        """Samples (N,) of B recordings in [-1, 1] -> their speech tokens (L', E)."""
        lengths = np.array([len(row) for row in samples])
        feats, lengths = extract_features(pad_sequence(samples, True), lengths, self.frontend, self.normalize)
        frames, lengths, _ = self.encoder(feats, lengths)
        tokens, lengths = self.adaptor(frames, lengths)
        return [row[:length] for row, length in zip(tokens, lengths)]
