"""Reads the published directories of FireRedASR-AED and FireRedASR-LLM (FireRedTeam/FireRedASR), and none of their code.

model.pth.tar         {"args": argparse.Namespace, "model_state_dict": weights}: encoder.* and decoder.* of an AED;
                      encoder.*, encoder_projector.* and the LLM's LoRA of an LLM
asr_encoder.pth.tar   of an LLM only: the AED from which its encoder started, in the same form
cmvn.ark              Kaldi's sums and sums of squares of the features with the number of frames: float64 (2, 81)
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.fbank import write_statistics
from espnet_llmasr.asr.weights import load_state, part_of, read_state, write_state
from espnet_llmasr.files import PathLike, check_file, count_rows

MODEL, ENCODER, CMVN, TOKENS = "model.pth.tar", "asr_encoder.pth.tar", "cmvn.ark", "dict.txt"
BINS = 80
KALDI_MATRICES = {b"\0BDM ": "<f8", b"\0BFM ": "<f4"}  # then \4, rows, \4, columns (int32), and the rows
ADVICE = "give the published directory of FireRedASR-AED or FireRedASR-LLM"
State = Dict[str, Tensor]


@dataclass
class Release:
    """What we take of a published directory.

    Attributes:
        adaptor: of FireRedASR-LLM; theirs drops the frames of an incomplete last group, ours fills it with zeros.
        sums: (count, sum (80,), sum of squares (80,)) of their features, which are those of asr/fbank.py.
        left: what is not taken, in words.
    """

    encoder: FireRedConformerEncoder
    adaptor: Optional[ConcatAdaptor]
    sums: Tuple[float, np.ndarray, np.ndarray]
    left: Dict[str, str]

    def write(self, out: Path) -> None:
        """encoder.pth for --init_param (encoder.*, and adaptor.* if there is one) and feats_stats.npz."""
        parts = {"encoder": self.encoder, **({"adaptor": self.adaptor} if self.adaptor else {})}
        state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
        write_state(out / "encoder.pth", state)
        write_statistics(out / "feats_stats.npz", *self.sums)

    def summary(self) -> str:
        """What is taken and what is left, a line each."""
        encoder, count = self.encoder, millions(self.encoder.parameters())
        taken = f"encoder ({encoder.num_layers} blocks of width {encoder.output_size()}, {count})"
        if self.adaptor is not None:
            groups, count = self.adaptor.downsample, millions(self.adaptor.parameters())
            taken += f", adaptor ({groups} frames to a vector of {self.adaptor.linear2.out_features}, {count})"
        left = ", ".join(f"{name} ({text})" for name, text in self.left.items())
        return f"taken: {taken}, statistics of {self.sums[0]:,.0f} frames\nleft:  {left or 'nothing'}\n"


def read_release(folder: PathLike) -> Release:
    """The encoder, the adaptor if there is one, and the statistics of the features in a published directory.

    Weights stay on the disk until their first use. Raises ValueError for a file that is missing or damaged, holds other
    objects than weights and options, or does not fit our classes; weights that do not fit are named.
    """
    folder = Path(folder)
    args, state = read_package(folder / MODEL)
    adaptor = part_of(state, "encoder_projector.")
    encoder = part_of(state, "encoder.")
    if adaptor and (folder / ENCODER).is_file():  # as they do: the encoder of the AED, then what the LLM has of its own
        args, started_from = read_package(folder / ENCODER)
        encoder = {**part_of(started_from, "encoder."), **encoder}
    if not encoder:
        raise ValueError(f"{folder / MODEL} has no weights 'encoder.*': {ADVICE}")
    built = build_encoder(encoder, args, folder / MODEL)
    sums, left = read_sums(folder / CMVN), parts_left(state, folder / TOKENS)
    return Release(built, build_adaptor(adaptor, built, folder / MODEL), sums, left)


def parts_left(state: State, tokens: Path) -> Dict[str, str]:
    """{part: its size in words} of what is not taken."""
    parts: Dict[str, List[Tensor]] = {}
    for name, value in state.items():
        parts.setdefault(name.partition(".")[0], []).append(value)
    left = {name: millions(part) for name, part in parts.items() if name not in ("encoder", "encoder_projector")}
    return left | ({TOKENS: f"{count_rows(tokens):,} tokens of the decoder"} if tokens.is_file() else {})


def read_package(path: Path) -> Tuple[argparse.Namespace, State]:
    """Options and weights of a file of theirs; nothing in it can run."""
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}: {ADVICE}")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            package = read_state(path, lazy=True)
        args, state = package["args"], package["model_state_dict"]
        return args, {name: value.float() for name, value in state.items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged, or holds no options and weights of FireRedASR: {ADVICE}") from error


def build_encoder(state: State, args: argparse.Namespace, path: Path) -> FireRedConformerEncoder:
    """The encoder with these weights, from which its sizes follow; `args` must not say otherwise."""
    try:
        sizes = dict(
            output_size=len(state["input_preprocessor.out.weight"]),
            num_blocks=len({name.split(".")[1] for name in state if name.startswith("layer_stack.")}),
            attention_heads=len(state["layer_stack.0.mhsa.pos_bias_u"]),
            kernel_size=state["layer_stack.0.conv.depthwise_conv.weight"].size(-1),
            pe_maxlen=state["positional_encoding.pe"].size(1) // 2 + 1,
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"{path} is not of their Conformer, it lacks 'encoder.*' weights ({error}): {ADVICE}"
        ) from error
    theirs = dict(zip(("d_model", "n_layers_enc", "n_head", "kernel_size", "pe_maxlen"), sizes.values()), idim=BINS)
    for name, found in theirs.items():
        if getattr(args, name, found) != found:
            raise ValueError(f"{path} has weights for {name}={found}, its options say {getattr(args, name)}: {ADVICE}")
    with torch.device("meta"):  # the weights take the places of the parameters
        encoder = FireRedConformerEncoder(BINS, **sizes)
    return loaded(encoder, state, path)


def build_adaptor(state: State, encoder: FireRedConformerEncoder, path: Path) -> Optional[ConcatAdaptor]:
    """The adaptor with these weights; None without any."""
    if not state:
        return None
    width, (size, wide) = encoder.output_size(), state.get("linear1.weight", torch.empty(1, 1)).shape[-2:]
    with torch.device("meta"):
        adaptor = ConcatAdaptor(width, size, max(wide // width, 1))
    return loaded(adaptor, state, path)


def loaded(module: nn.Module, state: State, path: Path) -> nn.Module:
    load_state(module, state, path, f"our {type(module).__name__}", assign=True)
    return module.eval()


def read_sums(path: Path) -> Tuple[float, np.ndarray, np.ndarray]:
    """(count, sum (80,), sum of squares (80,)) of a cmvn.ark."""
    matrix = read_kaldi_matrix(path)
    if matrix.shape != (2, BINS + 1) or not (np.isfinite(matrix).all() and matrix[0, BINS] >= 1):
        found = f"{path} has numbers of shape {matrix.shape}"
        raise ValueError(f"{found}, expected finite (2, {BINS + 1}), the sums of at least one frame: {ADVICE}")
    return float(matrix[0, BINS]), matrix[0, :BINS], matrix[1, :BINS]


def read_kaldi_matrix(path: Path) -> np.ndarray:
    """The only matrix in a file of Kaldi's, in its binary form. Raises ValueError for anything else."""
    check_file(path)
    data = path.read_bytes()
    rows, columns = (int.from_bytes(data[start : start + 4], "little") for start in (6, 11))
    kind = KALDI_MATRICES.get(data[:5])
    if kind is None or len(data) != 15 + rows * columns * np.dtype(kind).itemsize:
        raise ValueError(f"{path} holds no whole binary matrix of Kaldi's: {ADVICE}")
    return np.frombuffer(data, kind, offset=15).reshape(rows, columns).astype(np.float64)


def millions(weights: Iterable[Tensor]) -> str:
    return f"{sum(value.numel() for value in weights) / 1e6:,.1f}M parameters"
