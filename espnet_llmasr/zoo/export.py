"""Exports a pack for other engines: encoder, adaptor and CTC head as ONNX, the LLM as a folder for llama.cpp.

docs/export.md describes the files.

B batch, T feature frames, F feature bins, S encoder frames, V tokens of the CTC head, L' speech tokens, E LLM width.
"""

import json
import logging
import shutil
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from espnet_llmasr.asr.fbank import KaldiFbank
from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.asr.shipped import need_packages
from espnet_llmasr.asr.speech_model import SpeechModel
from espnet_llmasr.files import PathLike, replacing, write_tokens
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.zoo.load import load

SPEECH_GRAPH, CTC_GRAPH = "speech.onnx", "ctc.onnx"
TOLERANCE = 1e-4  # of a number that ONNX Runtime computes, as a share of the largest one
FRAMES = 200  # encoder frames of the longest input of the comparison
INPUTS = ("x", "x_len")
CTC, SPEECH = ("log_probs", "log_probs_len"), ("speech_embeddings", "speech_embeddings_len")


class Graph(nn.Module):
    """x (B, T, F) unnormalised features and x_len (B,) -> the two outputs of the CTC head, of the adaptor, or of both.

    log_probs (B, S, V), their lengths (B,); speech_embeddings (B, L', E), their lengths (B,). Values beyond a length
    are no result. The CTC head comes first, where sherpa-onnx looks for it.
    """

    def __init__(self, model: SpeechModel, args, ctc_head: Optional[nn.Module], adaptor: Optional[nn.Module]):
        super().__init__()
        self.frontend, self.normalize, self.encoder = model.frontend, model.normalize, model.encoder
        self.ctc_head, self.adaptor = ctc_head, adaptor
        self.features = {"frontend": args.frontend, "frontend_conf": json.dumps(args.frontend_conf)}
        self.outputs = (CTC if ctc_head else ()) + (SPEECH if adaptor else ())

    def forward(self, x: Tensor, x_len: Tensor) -> Tuple[Tensor, ...]:
        if self.normalize is not None:
            x, x_len = self.normalize(x, x_len)
        frames, lengths, _ = self.encoder(x, x_len)
        ctc = (self.ctc_head(frames), lengths) if self.ctc_head else ()
        return ctc + (self.adaptor(frames, lengths) if self.adaptor else ())


def export(source: PathLike, out: Path) -> Path:
    """Writes the folder `out`, beside and renamed, and returns it.

    Raises:
        ValueError: no pack, packages that are not installed, an encoder that torch cannot export, or a graph whose
            numbers differ from torch's.
    """
    need_packages("an export", "onnx", "onnxscript", "onnxruntime")
    files = load(source)
    model, args = LLMASRTask.load(files["llm_asr_train_config"], files["llm_asr_model_file"])
    verifier = None
    if "ctc_model_file" in files:
        verifier = CTCVerifier(files["ctc_train_config"], files["ctc_model_file"])
    with replacing(out, mark=SPEECH_GRAPH) as staged:
        for name, graph in graphs_of(model, args, verifier).items():
            write_graph(staged / name, graph)
        if verifier is not None:
            tokens = ["<blk>", *verifier.args.token_list[1:]]  # the name that sherpa-onnx has for blank
            write_tokens(staged / "tokens.txt", [f"{token} {number}" for number, token in enumerate(tokens)])
        shutil.copytree(Path(args.llm_config).parent, staged / "llm")
        with redirect_stdout(sys.stderr):  # accelerate imports deepspeed, where it is installed, and that prints
            model.llm.save_pretrained(staged / "llm")
    logging.info("%s: for llama.cpp, python convert_hf_to_gguf.py %s", type(model.llm).__name__, out / "llm")
    return out


def graphs_of(model: LLMASRModel, args, verifier: Optional[CTCVerifier]) -> Dict[str, Graph]:
    """File name -> graph: one for both heads where they share the encoder, so that it is stored and run once."""
    if verifier is not None and verifier.shares_encoder(model, args):
        return {SPEECH_GRAPH: Graph(model, args, verifier.model.ctc_head, model.adaptor)}
    graphs = {SPEECH_GRAPH: Graph(model, args, None, model.adaptor)}
    if verifier is not None:
        graphs[CTC_GRAPH] = Graph(verifier.model, verifier.args, verifier.model.ctc_head, None)
    return graphs


def metadata(graph: Graph) -> Dict[str, str]:
    """What a reader of the graph must know; with a CTC head also the keys of sherpa-onnx's FireRedASR2-CTC.

    sherpa-onnx normalises features by itself, ours are normalised in the graph: its mean is 0, its factor 1.
    """
    maker = f"espnet_llmasr {import_module('espnet_llmasr').__version__}"
    about = {"maker": maker, "sample_rate": graph.frontend.fs, "subsampling_factor": graph.encoder.windows.shift}
    about |= graph.features
    if graph.ctc_head and isinstance(graph.frontend, KaldiFbank):
        bins = graph.frontend.output_size()
        about |= dict(cmvn_mean=",".join(["0"] * bins), cmvn_inv_stddev=",".join(["1"] * bins))
        about["model_type"] = "fire-red-asr-2-ctc"
    return {key: str(value) for key, value in about.items()}


def write_graph(path: Path, graph: Graph) -> None:
    """Writes `path`; raises ValueError if torch cannot export the graph, or ONNX Runtime computes other numbers."""
    import torch.onnx

    graph.eval()
    longest = FRAMES * graph.encoder.windows.shift
    inputs = batch_of([longest, longest // 2], graph.frontend.output_size())
    options = dict(input_names=INPUTS, output_names=graph.outputs, dynamic_shapes=({0: "N", 1: "T"}, {0: "N"}))
    with quiet(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # other kernels have layouts that the export breaks
        try:
            program = torch.onnx.export(graph, inputs, dynamo=True, verbose=False, **options)
        except Exception as error:  # torch's exporter and the code of any encoder may raise anything
            reason, name = " ".join(str(error.__cause__ or error).split())[:300], type(graph.encoder).__name__
            raise ValueError(f"torch cannot export {name} ({reason}): export a model with another encoder") from error
    program.model.metadata_props.update(metadata(graph))
    program.save(path)
    shortest = graph.encoder.min_frames
    batches = [[shortest], [shortest + 1], [longest + 3], [longest // 3, shortest, longest + 1]]
    difference = max(compare(path, graph, lengths) for lengths in batches)
    ends = f"{shortest} to {longest + 3} frames"
    logging.info("%s: at most %.1e of the largest number away from torch (%s)", path.name, difference, ends)


def batch_of(lengths: Sequence[int], values: int) -> Tuple[Tensor, Tensor]:
    """x (B, T, F) about as large as log-mel energies, NaN beyond each length; x_len (B,)."""
    x = 10 + 5 * torch.randn(len(lengths), max(lengths), values, generator=torch.Generator().manual_seed(0))
    x_len = torch.tensor(lengths)
    return x.masked_fill(~valid_frames(x_len, x)[..., None], torch.nan), x_len


@torch.no_grad()
def compare(path: Path, graph: Graph, lengths: Sequence[int]) -> float:
    """The greatest difference between a batch in ONNX Runtime and each utterance alone in torch, as a share.

    Raises ValueError for one above TOLERANCE, or another length.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x, x_len = batch_of(lengths, graph.frontend.output_size())
    found = session.run(list(graph.outputs), dict(zip(INPUTS, (x.numpy(), x_len.numpy()))))
    shares = []
    for row, length in enumerate(lengths):
        expected = graph(x[row : row + 1, :length], x_len[row : row + 1])
        for numbers, count, whole, counts in zip(expected[::2], expected[1::2], found[::2], found[1::2]):
            part = torch.from_numpy(whole[row, : counts[row]])
            same = len(part) == int(count) == numbers.size(1)
            difference = (part - numbers[0]).abs().max() / numbers.abs().max() if same else torch.inf
            shares.append(float(difference))
            if not difference <= TOLERANCE:  # also not if it is no number
                where = f"an utterance of {length} frames in a batch of {len(lengths)}"
                raise ValueError(
                    f"{path.name} computes other numbers than torch for {where} (off by {difference:.1e}): "
                    "report this with the versions of torch, onnx and onnxscript"
                )
    return max(shares)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the notes of torch's exporter (operators of torchvision, deprecated functions) from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
