"""Encoder, adaptor and LLM as one ESPnet model (paper section 3.1).

B batch, N samples, T encoder frames, D encoder width, L' speech tokens, P prompt tokens, U target tokens, E LLM width,
S = P - 1 + L' + U tokens of a composed sequence; K rows of W places hold all sequences (asr/packing.py).
"""

from typing import Dict, Optional, Tuple

import numpy as np
import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from torch import Tensor, nn

from espnet_llmasr.asr import attention
from espnet_llmasr.asr.modules import Lengths, on_device, on_host
from espnet_llmasr.asr.packing import Rows, spans
from espnet_llmasr.asr.speech_model import SpeechModel
from espnet_llmasr.text.prompt import SPEECH_ID, expand_speech


class LLMASRModel(SpeechModel):
    """The LLM reads a prompt in which <speech> is replaced by encoder frames (Eq. 4) and writes the transcript (Eq. 5).

    The buffer `swap_step`, which every checkpoint saves, is the pretraining step of the current encoder (0: not from
    the encoder store). No other attribute may start with "encoder", because ESPnet's --init_param matches by prefix.
    """

    def __init__(self, components: Dict[str, Optional[nn.Module]], adaptor: nn.Module, llm: nn.Module):
        super().__init__(components)
        self.adaptor, self.llm = adaptor, llm
        self.register_buffer("swap_step", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Lengths,
        prompt: Lengths,
        prompt_lengths: Lengths,
        text: Lengths,
        text_lengths: Lengths,
        **kwargs,
    ) -> Tuple[Tensor, Dict[str, Tensor], Tensor]:
        """speech (B, N), prompt (B, P), text (B, U) with lengths (B,) -> mean loss per target token, stats, weight.

        The weight is the number of target tokens. The trainer needs it for the mean over the global batch.
        """
        speech_tokens, speech_token_lengths = self.embed_speech(speech, speech_lengths)
        prompt, prompt_lengths, text, text_lengths = map(on_host, (prompt, prompt_lengths, text, text_lengths))
        places = zip(prompt, prompt_lengths, speech_token_lengths)
        prompts = [expand_speech(row[:length], num_speech) for row, length, num_speech in places]
        targets = [row[:length] for row, length in zip(text, text_lengths)]
        attention.choose(self.llm, speech.device)
        context_lengths = np.array(list(map(len, prompts)))
        layout = attention.layout_of(self.llm, context_lengths + text_lengths)
        rows = Rows.of([np.concatenate(pair) for pair in zip(prompts, targets)], *layout)
        inputs = attention.inputs_of(self.llm, rows, speech.device)
        embedded = self.compose(rows, speech_tokens, speech_token_lengths)
        before = rows.starts + context_lengths - 1  # the place whose logits are those of the first target token
        with attention.head_at(self.llm, on_device(spans(before, text_lengths), speech.device)):
            logits = self.llm(inputs_embeds=embedded, use_cache=False, **inputs).logits[0]
        return self._loss(logits, on_device(np.concatenate(targets), speech.device))

    @staticmethod
    def _loss(logits: Tensor, labels: Tensor):
        """Next-token cross-entropy of logits (n, V) and token ids (n,)."""
        logits = logits.float()
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(-1) == labels).float().mean()
        weight = loss.detach().new_full((), len(labels))
        return force_gatherable((loss, {"loss": loss.detach(), "acc": accuracy}, weight), loss.device)

    def embed_speech(self, speech: Tensor, speech_lengths: Lengths) -> Tuple[Tensor, np.ndarray]:
        """speech (B, N) -> speech tokens (B, L', E) and their lengths (B,) (Eq. 2 and 3)."""
        frames, frame_lengths = self.encode(speech, speech_lengths)
        return self.adaptor(frames, frame_lengths)

    def encode(self, speech: Tensor, speech_lengths: Lengths) -> Tuple[Tensor, np.ndarray]:
        """speech (B, N) -> encoder frames (B, T, D) and their lengths (B,)."""
        feats, lengths = self.extract_features(speech, speech_lengths)
        if self.training and self.specaug is not None:
            feats = self.specaug(feats, lengths)
        return self.encode_features(feats, lengths)

    def compose(self, rows: Rows, speech_tokens: Tensor, speech_token_lengths: np.ndarray) -> Tensor:
        """Embeds rows (K, W) and puts the valid speech tokens (B, L', E) into their places: (K, W, E) (Eq. 4)."""
        device = speech_tokens.device
        ids = np.where(rows.ids == SPEECH_ID, 0, rows.ids)  # any valid id: it is overwritten
        embedded = self.llm.get_input_embeddings()(on_device(ids, device))
        begins = np.arange(len(speech_tokens)) * speech_tokens.size(1)
        valid = on_device(spans(begins, speech_token_lengths), device)
        speech = speech_tokens.flatten(0, 1).index_select(0, valid).to(embedded.dtype)
        places = on_device(spans(rows.speech_starts, speech_token_lengths), device)
        return embedded.flatten(0, 1).index_copy(0, places, speech).view_as(embedded)
