"""One pass over a set: NSE, PAI, CSAI and CKA of one encoder (section 3.2, 4.4 and A.4 of arXiv 2604.08003).

Memory does not grow with the audio: of every utterance only its pooled vectors stay.

B utterances, L frames, D encoder width, E width of a text embedding.
"""

from dataclasses import asdict
from typing import Dict, Iterable, List, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from espnet_llmasr.metrics.accessible_information import (
    Choices,
    accessible_information,
    permutation_baseline,
    pool,
    projected,
)
from espnet_llmasr.metrics.cka import linear_cka
from espnet_llmasr.metrics.spectral_entropy import nse
from espnet_llmasr.observe.frames import Frames, SpeechEncoder
from espnet_llmasr.train.speech_batches import read_audio
from espnet_llmasr.train.targets import Targets

NUM_PERMUTATIONS = 20


class Summary(NamedTuple):
    """What stays of one utterance.

    Attributes:
        nse: (layers,). pooled: the output by `pool`. means: every layer's mean frame (D,), the adaptor's last.
        cka: (layers,) against the reference encoder, or None.
    """

    nse: Tensor
    pooled: Tensor
    means: List[Tensor]
    cka: Optional[Tensor]


def summarise(frames: Frames, pooling: str, reference: Optional[Frames] = None) -> Summary:
    """Pools the frames of one utterance.

    Raises:
        ValueError: NaN, or a reference with another number of layers or frames.
    """
    both = [*frames.layers, *([] if frames.adaptor is None else [frames.adaptor])]
    means = [layer.double().mean(dim=0).float().cpu() for layer in both]
    entropies = torch.stack([nse(layer).cpu() for layer in frames.layers])
    pooled = pool(frames.layers[-1], pooling).cpu()
    return Summary(entropies, pooled, means, None if reference is None else _compare(frames, reference))


def _compare(frames: Frames, reference: Frames) -> Tensor:
    """Eq. 12 of every layer."""
    if len(frames.layers) != len(reference.layers):
        found = f"{len(frames.layers)} layers and {len(reference.layers)}"
        raise ValueError(f"--reference has another depth ({found}): compare encoders of one architecture")
    return torch.stack([linear_cka(*pair).cpu() for pair in zip(frames.layers, reference.layers)])


def measure(
    encoder: SpeechEncoder,
    entries: Dict[str, str],
    targets: Targets,
    choices: Choices = Choices(),
    reference: Optional[SpeechEncoder] = None,
) -> Dict[str, object]:
    """All figures of an `Observation` but its name and place.

    Args:
        entries: id -> entry of wav.scp.
        targets: of these utterances at least.

    Raises:
        ValueError: audio that cannot be read or is not for this encoder (the utterance is named), or utterances
            without targets, or too few of them.
    """
    (phonetic, semantic), text = targets.rows(entries), targets.text_rows(entries)
    projected(phonetic, phonetic, semantic, choices)  # too few utterances: said before hours of listening, not after
    seen = [_listen(uid, entry, encoder, choices.pooling, reference) for uid, entry in entries.items()]
    u, entropies = torch.stack([row.pooled for row in seen]), torch.stack([row.nse for row in seen])
    scores = [float(linear_cka(torch.stack(layer), text)) for layer in zip(*(row.means for row in seen))]
    information = accessible_information(u, phonetic, semantic, choices)
    bias = permutation_baseline(u, phonetic, semantic, choices, NUM_PERMUTATIONS)
    depth = entropies.shape[1]
    return dict(
        utterances=len(seen),
        nse=float(entropies[:, -1].mean()),
        nse_std=float(entropies[:, -1].std(correction=0)),
        nse_layers=entropies.mean(dim=0).tolist(),
        pai=information.pai,
        csai=information.csai,
        pai_baseline=bias.pai,
        csai_baseline=bias.csai,
        choices=asdict(choices),
        cka_text=scores[:depth],
        cka_text_adaptor=scores[depth] if len(scores) > depth else None,
        cka_reference=[] if reference is None else torch.stack([row.cka for row in seen]).mean(dim=0).tolist(),
    )


def _listen(
    uid: str, entry: str, encoder: SpeechEncoder, pooling: str, reference: Optional[SpeechEncoder] = None
) -> Summary:
    """Reads, encodes and pools one utterance; errors name it."""
    try:
        frames = encoder(torch.from_numpy(read_audio(uid, entry, encoder.rate)))
        other = reference and reference(torch.from_numpy(read_audio(uid, entry, reference.rate)))
        return summarise(frames, pooling, other)
    except ValueError as error:
        raise ValueError(str(error) if uid in str(error) else f"{uid}: {error}") from error


def choose(ids: Iterable[str], most: Optional[int]) -> List[str]:
    """`most` ids (None: all) spread evenly over their sorted list, so that no speaker or language goes missing."""
    ids = sorted(ids)
    if most is None or most >= len(ids):
        return ids
    return [ids[number] for number in np.linspace(0, len(ids) - 1, most).round().astype(int).tolist()]
