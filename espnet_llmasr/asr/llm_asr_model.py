"""Encoder, adaptor and LLM as one ESPnet model (paper section 3.1).

B batch, N samples, T encoder frames, D encoder width, L' speech tokens, P prompt tokens, U target tokens, E LLM width,
S = P - 1 + L' + U tokens of the composed sequence.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.layers.abs_normalize import AbsNormalize
from espnet2.torch_utils.device_funcs import force_gatherable
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import LogitsProcessorList

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.llm import PerUtteranceLimit
from espnet_llmasr.asr.loop_stop import LoopStop
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.asr.speech_model import SpeechModel
from espnet_llmasr.text.prompt import IGNORE_ID, SPEECH_ID, expand_speech, labels_for


class Candidate(NamedTuple):
    """Token ids without the end token, their mean log-probability, and whether only the limit has ended them."""

    ids: List[int]
    score: float
    at_limit: bool


@dataclass(frozen=True)
class Search:
    """How to decode: beams, the limit of tokens per second of speech, whether loops are ended, candidates wanted."""

    beam_size: int = 3
    tokens_per_second: float = 15.0
    stop_loops: bool = False
    candidates: int = 1

    def limits(self, seconds: torch.Tensor) -> torch.Tensor:
        """Most tokens, the end token among them, for durations (B,)."""
        return torch.ceil(seconds * self.tokens_per_second).long() + 16


class LLMASRModel(SpeechModel):
    """The LLM reads a prompt in which <speech> is replaced by encoder frames (Eq. 4) and writes the transcript (Eq. 5).

    Modules whose parameters are all frozen stay in eval mode and under no_grad, whatever the trainer asks.
    The buffer `swap_step` is the pretraining step of the encoder inside (0: not from the encoder store); it travels in
    every checkpoint. No attribute but the encoder may start with "encoder": ESPnet's --init_param matches by prefix.
    """

    def __init__(
        self,
        frontend: AbsFrontend,
        specaug: Optional[nn.Module],
        normalize: Optional[AbsNormalize],
        encoder: Encoder,
        adaptor: ConcatAdaptor,
        llm: nn.Module,
    ):
        super().__init__(frontend, specaug, normalize, encoder)
        self.adaptor = adaptor
        self.llm = llm
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

        The weight is the number of target tokens, so that the trainer can form the mean over the global batch.
        """
        speech_tokens, speech_token_lengths = self.embed_speech(speech, speech_lengths)
        prompts = self._expand(prompt, prompt_lengths, speech_token_lengths)
        targets = [row[:n] for row, n in zip(text, text_lengths.tolist())]
        rows = [torch.cat(pair) for pair in zip(prompts, targets)]
        ids = pad_sequence(rows, batch_first=True)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        labels = pad_sequence([labels_for(*pair) for pair in zip(prompts, targets)], True, IGNORE_ID)
        logits = self.llm(
            inputs_embeds=self.compose(ids, speech_tokens, speech_token_lengths), attention_mask=mask, use_cache=False
        ).logits
        return self._loss(logits, labels)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor):
        """Next-token cross-entropy on target positions only; logits (B, S, V), labels (B, S)."""
        keep = labels[:, 1:] != IGNORE_ID
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
        embedded = self.llm.get_input_embeddings()(ids.masked_fill(is_speech, 0))
        valid = valid_frames(speech_token_lengths, speech_tokens.size(1))
        return embedded.masked_scatter(is_speech[..., None], speech_tokens[valid].to(embedded.dtype))

    @staticmethod
    def _expand(prompt, prompt_lengths, speech_token_lengths) -> List[torch.Tensor]:
        triples = zip(prompt, prompt_lengths.tolist(), speech_token_lengths.tolist())
        return [expand_speech(row[:length], num_speech) for row, length, num_speech in triples]

    @torch.no_grad()
    def generate(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor, prompt: torch.Tensor, end_id: int, search: Search
    ) -> List[List[Candidate]]:
        """Candidates of each utterance for speech (B, N) with one prompt (P,), the best first."""
        frames, frame_lengths = self.encode(speech, speech_lengths)
        return self.generate_from(frames, frame_lengths, speech_lengths / self.frontend.fs, prompt, end_id, search)

    @torch.no_grad()
    def generate_from(
        self,
        frames: torch.Tensor,
        frame_lengths: torch.Tensor,
        seconds: torch.Tensor,
        prompt: torch.Tensor,
        end_id: int,
        search: Search,
    ) -> List[List[Candidate]]:
        """The same from encoder frames (B, T, D) of speech that lasts `seconds` (B,).

        Left-padded with true lengths; each utterance has a limit of ceil(seconds * tokens_per_second) + 16 tokens.
        """
        speech_tokens, speech_token_lengths = self.adaptor(frames, frame_lengths)
        rows = [expand_speech(prompt, n) for n in speech_token_lengths.tolist()]
        ids = pad_sequence(rows, batch_first=True, padding_side="left")
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
        limits = search.limits(seconds)
        stops = [LoopStop(end_id)] if search.stop_loops else []
        out = self.llm.generate(
            inputs_embeds=self.compose(ids, speech_tokens, speech_token_lengths),
            attention_mask=mask,
            num_beams=search.beam_size,
            num_return_sequences=search.candidates,
            do_sample=False,
            max_new_tokens=int(limits.max()),
            logits_processor=LogitsProcessorList([*stops, PerUtteranceLimit(limits, end_id)]),
            eos_token_id=end_id,
            pad_token_id=end_id,
            return_dict_in_generate=True,
            output_scores=True,
        )
        found = [until(row, end_id) for row in out.sequences.tolist()]
        most = (limits - 1).repeat_interleave(search.candidates).tolist()
        flat = [Candidate(*row, len(row[0]) == n) for *row, n in zip(found, _scores(out, end_id).tolist(), most)]
        return [flat[first : first + search.candidates] for first in range(0, len(flat), search.candidates)]


def until(ids: List[int], end_id: int) -> List[int]:
    """The ids before the first end token."""
    return ids[: ids.index(end_id)] if end_id in ids else ids


def _scores(out, end_id: int) -> torch.Tensor:
    """Mean log-probability per generated token: beam search's own score, or computed for greedy search."""
    if getattr(out, "sequences_scores", None) is not None:
        return out.sequences_scores
    log_probs = torch.stack(out.scores, 1).log_softmax(-1).gather(2, out.sequences[..., None]).squeeze(-1)
    valid = (out.sequences == end_id).cumsum(1) <= 1
    return (log_probs * valid).sum(1) / valid.sum(1)
