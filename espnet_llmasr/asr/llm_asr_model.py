"""Encoder, adaptor and LLM as one ESPnet model (paper section 3.1).

B batch, N samples, T encoder frames, D encoder width, L' speech tokens, P prompt tokens, U target tokens, E LLM width,
S = P - 1 + L' + U tokens of the composed sequence.
"""

from typing import Dict, Optional, Tuple

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.asr.speech_model import SpeechModel
from espnet_llmasr.text.prompt import IGNORE_ID, SPEECH_ID, expand_speech, labels_for


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
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        prompt: torch.Tensor,
        prompt_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """speech (B, N), prompt (B, P), text (B, U) with lengths (B,) -> mean loss per target token, stats, weight.

        The weight is the number of target tokens. The trainer needs it for the mean over the global batch.
        """
        speech_tokens, speech_token_lengths = self.embed_speech(speech, speech_lengths)
        places = zip(prompt, prompt_lengths.tolist(), speech_token_lengths.tolist())
        prompts = [expand_speech(row[:length], num_speech) for row, length, num_speech in places]
        targets = [row[:n] for row, n in zip(text, text_lengths.tolist())]
        # A row is [prompt with speech, transcript], padded on the right: positions do not depend on the batch.
        rows = [torch.cat(pair) for pair in zip(prompts, targets)]
        ids = pad_sequence(rows, batch_first=True)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        labels = pad_sequence([labels_for(*pair) for pair in zip(prompts, targets)], True, IGNORE_ID)
        logits = self.llm(
            inputs_embeds=self.compose(ids, speech_tokens, speech_token_lengths), attention_mask=mask, use_cache=False
        ).logits
        return self._loss(logits, labels)

    def num_targets(self, text_lengths: torch.Tensor, **batch) -> int:
        """The weight of a batch, before its forward pass: its target tokens; text_lengths (B,) on the host."""
        return int(text_lengths.sum())

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor):
        """Next-token cross-entropy on target positions only; logits (B, S, V), labels (B, S)."""
        keep = labels[:, 1:] != IGNORE_ID  # the softmax over V is computed for these positions only, to save memory
        logits, labels = logits[:, :-1][keep].float(), labels[:, 1:][keep]
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(-1) == labels).float().mean()
        weight = torch.tensor(float(labels.numel()), device=labels.device)
        return force_gatherable((loss, {"loss": loss.detach(), "acc": accuracy}, weight), loss.device)

    def embed_speech(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """speech (B, N) -> speech tokens (B, L', E) and their lengths (B,) (Eq. 2 and 3)."""
        frames, frame_lengths = self.encode(speech, speech_lengths)
        return self.adaptor(frames, frame_lengths)

    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """speech (B, N) -> encoder frames (B, T, D) and their lengths (B,)."""
        feats, lengths = self.extract_features(speech, speech_lengths)
        if self.training and self.specaug is not None:
            feats = self.specaug(feats, lengths)
        return self.encode_features(feats, lengths)

    def compose(
        self, ids: torch.Tensor, speech_tokens: torch.Tensor, speech_token_lengths: torch.Tensor
    ) -> torch.Tensor:
        """Embeds ids (B, S) and fills the places of SPEECH_ID with the valid speech tokens: (B, S, E) (Eq. 4)."""
        is_speech = ids == SPEECH_ID
        embedded = self.llm.get_input_embeddings()(ids.masked_fill(is_speech, 0))  # any valid id: it is overwritten
        valid = valid_frames(speech_token_lengths, speech_tokens.size(1))
        return embedded.masked_scatter(is_speech[..., None], speech_tokens[valid].to(embedded.dtype))
