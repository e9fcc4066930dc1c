"""Beam search with the LLM, with a length limit per utterance, and an option that ends loops.

B utterances, R rows (utterances x beams), T encoder frames, D encoder width, P prompt tokens, L tokens generated so
far, V vocabulary.
"""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from transformers import Cache, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from espnet_llmasr.asr.attention import PACKED
from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.asr.modules import Lengths, on_device, on_host
from espnet_llmasr.asr.packing import Rows, pad
from espnet_llmasr.inference.hypothesis import Candidate
from espnet_llmasr.text.loops import MAX_UNIT
from espnet_llmasr.text.prompt import Prompt, expand_speech

MIN_REPEATS = 6  # speakers do say "no no no no no", or five equal digits of three tokens each
MIN_LENGTH = 18  # tokens; speakers also say twelve equal digits of one token each
NEEDED = tuple(unit * max(MIN_REPEATS, -(-MIN_LENGTH // unit)) for unit in range(1, MAX_UNIT + 1))
"""Length in tokens from which the repeats of a piece of 1, 2, ... tokens are a loop."""


@dataclass(frozen=True)
class DecodingOptions:
    """Beams, token limit per second of speech, whether loops are ended, and the number of candidates to return."""

    beam_size: int = 3
    tokens_per_second: float = 15.0
    stop_loops: bool = False
    candidates: int = 1

    def limits(self, seconds: np.ndarray) -> np.ndarray:
        """Maximal number of tokens, including the end token, for durations (B,)."""
        return np.ceil(np.asarray(seconds, np.float32) * self.tokens_per_second).astype(int) + 16


class TailLoop(NamedTuple):
    """The last `unit` tokens of a sequence are repeated `repeats` times in a row at its end."""

    unit: int
    repeats: int

    def cut(self, ids: List[int], copies: int = 1) -> List[int]:
        """The sequence with only `copies` repeats."""
        return ids[: len(ids) - self.unit * (self.repeats - copies)]


class RepetitionStop(LogitsProcessor):
    """Forces a beam to end once its last tokens are a loop: every token except `end_id` gets -inf.

    `end_id` keeps the score that the LLM gave it, so another beam that does not repeat can still win.
    """

    def __init__(self, end_id: int):
        self.end_id = end_id

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids (R, L), scores (R, V)."""
        goes_on = torch.arange(scores.size(1), device=scores.device) != self.end_id
        return scores.masked_fill(in_loop(input_ids)[:, None] & goes_on, float("-inf"))


class PerUtteranceLimit(LogitsProcessor):
    """Forces the end token on each utterance at its own length limit.

    With one limit for the whole batch the longest utterance would change the transcripts of the others.

    Args:
        limits: (B,) maximal number of new tokens per utterance, on the host; rows are utterance-major over beams.
        end_id: the end token.
    """

    def __init__(self, limits: np.ndarray, end_id: int):
        self.limits, self.end_id = limits, end_id

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids (R, L), scores (R, V)."""
        full = (input_ids.size(1) >= self.limits - 1).repeat(scores.size(0) // len(self.limits))
        if not full.any():
            return scores
        forced = torch.full_like(scores, float("-inf"))
        forced[:, self.end_id] = 0.0
        return torch.where(on_device(full, scores.device)[:, None], forced, scores)


@torch.no_grad()
def beam_search(
    model: LLMASRModel,
    frames: torch.Tensor,
    frame_lengths: Lengths,
    seconds: np.ndarray,
    prompt: Prompt,
    options: DecodingOptions,
    hints: Optional[Sequence[Sequence[str]]] = None,
) -> List[List[Candidate]]:
    """Encoder frames (B, T, D) with lengths (B,) and durations (B,), and hints (B) -> candidates of each, best first.

    Rows are left-padded because generation goes on at the right end; padding does not change a result. The limit of an
    utterance is ceil(seconds * tokens_per_second) + 16 tokens. A beam size of 1 is greedy search.
    """
    speech_tokens, speech_token_lengths = model.adaptor(frames, on_host(frame_lengths))
    end_id, limits = prompt.end_id, options.limits(seconds)
    ids = [prompt.with_hints(each) for each in hints or [()] * len(frames)]
    prompts = [expand_speech(*row) for row in zip(ids, speech_token_lengths)]
    rows = Rows.of(prompts, *pad(np.array(list(map(len, prompts))), left=True))
    embedded = model.compose(rows, speech_tokens, speech_token_lengths)
    stops = [RepetitionStop(end_id)] if options.stop_loops else []
    out = model.llm.generate(
        inputs_embeds=embedded,
        attention_mask=on_device(rows.positions >= 0, frames.device),
        **prefill(model.llm, embedded, rows, options.beam_size),
        num_beams=options.beam_size,
        num_return_sequences=options.candidates,
        do_sample=False,
        max_new_tokens=int(limits.max()),
        logits_processor=LogitsProcessorList([*stops, PerUtteranceLimit(limits, end_id)]),
        eos_token_id=end_id,
        pad_token_id=end_id,
        return_dict_in_generate=True,
        output_scores=True,
    )
    sequences = [before_end(row, end_id) for row in out.sequences.tolist()]
    longest = (limits - 1).repeat(options.candidates).tolist()
    triples = zip(sequences, _mean_log_probs(out, end_id).tolist(), longest)
    candidates = [Candidate(sequence, score, len(sequence) == limit) for sequence, score, limit in triples]
    return [candidates[start : start + options.candidates] for start in range(0, len(candidates), options.candidates)]


def prefill(llm: PreTrainedModel, embedded: torch.Tensor, rows: Rows, num_beams: int) -> Dict[str, Cache]:
    """Keys and values of embedded rows (B, S, E) without the last place: computed once, then repeated for the beams.

    transformers repeats an utterance for its beams first and computes the prompt and the speech for each of them. That
    is left to it for an LLM that is not in `PACKED`, because a state cannot be repeated in this way.
    """
    if num_beams == 1 or llm.config.model_type not in PACKED:
        return {}
    positions = on_device(rows.positions[:, :-1], embedded.device)
    inputs = dict(attention_mask=positions >= 0, position_ids=positions.clamp(min=0), use_cache=True)
    cache = llm.get_decoder()(inputs_embeds=embedded[:, :-1], **inputs).past_key_values
    cache.batch_repeat_interleave(num_beams)
    return dict(past_key_values=cache)


def before_end(ids: List[int], end_id: int) -> List[int]:
    """The ids before the first end token."""
    return ids[: ids.index(end_id)] if end_id in ids else ids


def in_loop(ids: torch.Tensor) -> torch.Tensor:
    """ids (R, L) -> (R,): True for a row whose last tokens repeat a piece to the length in `NEEDED`."""
    possible = sum(needed <= ids.size(1) for needed in NEEDED)
    if not possible:
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    units = np.arange(1, possible + 1)[:, None]
    # In a loop of `unit` tokens each of the last `needed - unit` tokens also stands `unit` places earlier.
    compared = np.array(NEEDED[:possible])[:, None] - units
    age = np.arange(compared.max())
    earlier = on_device((ids.size(1) - 1 - age - units).clip(min=0), ids.device)
    same = ids[:, earlier] == ids.flip(1)[:, None, : len(age)]
    return (same | on_device(age >= compared, ids.device)).all(2).any(1)


def find_tail_loop(ids: Sequence[int]) -> TailLoop:
    """The loop of the shortest unit at the end of a sequence, by the rule of `in_loop`; TailLoop(0, 0) if none."""
    for unit, needed in enumerate(NEEDED, 1):
        same = 0
        while same < len(ids) - unit and ids[-1 - same] == ids[-1 - same - unit]:
            same += 1
        if same + unit >= needed:
            return TailLoop(unit, (same + unit) // unit)
    return TailLoop(0, 0)


def _mean_log_probs(out, end_id: int) -> torch.Tensor:
    """(B * candidates,) mean log-probability per generated token, including the end token."""
    if getattr(out, "sequences_scores", None) is not None:
        return out.sequences_scores  # beam search has computed it; greedy search has not
    log_probs = torch.stack(out.scores, 1).log_softmax(-1).gather(2, out.sequences[..., None]).squeeze(-1)
    valid = (out.sequences == end_id).cumsum(1) <= 1
    return (log_probs * valid).sum(1) / valid.sum(1)
