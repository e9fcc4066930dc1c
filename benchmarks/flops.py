#!/usr/bin/env python3
"""FLOPs from the modules against torch's own counter, and what the paper's stages cost.

    python benchmarks/flops.py    (about 30 s of one core, 4 GiB; prints the tables that stand in flops.md)

Every row is one real forward and backward pass of a training batch of random audio of 2.0, 3.1 and 4.7 s.
"""

import sys
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, Qwen3Config

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "asr")]

from torch_count import counted, shape_of  # noqa: E402

from espnet_llmasr.asr.adaptor import ConcatAdaptor  # noqa: E402
from espnet_llmasr.asr.batch_shape import BatchShape  # noqa: E402
from espnet_llmasr.asr.conformer import FireRedConformerEncoder, subsampled_length  # noqa: E402
from espnet_llmasr.asr.cr_ctc import CTCHead  # noqa: E402
from espnet_llmasr.asr.fbank import KaldiFbank  # noqa: E402
from espnet_llmasr.asr.flops import flops, forward_flops  # noqa: E402
from espnet_llmasr.asr.llm_asr_model import LLMASRModel  # noqa: E402
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel  # noqa: E402
from espnet_llmasr.text.prompt import SPEECH_ID  # noqa: E402

SECONDS = (2.0, 3.1, 4.7)
PROMPT = [*range(3, 12), SPEECH_ID, *range(12, 17)]
STAGES = {  # name: (model, what is frozen, options of the model)
    "pretraining": ("phone", [], dict(cr_scale=0.2)),
    "pretraining, one view": ("phone", [], dict(cr_scale=0.0)),
    "fit of the CTC head": ("phone", ["encoder"], dict(cr_scale=0.0)),
    "alignment": ("llm", ["encoder", "llm"], {}),
    "IA-SFT": ("llm", ["encoder"], {}),
    "joint SFT": ("llm", [], {}),
}
QWEN3 = dict(hidden_size=2048, intermediate_size=6144, num_attention_heads=16, num_key_value_heads=8, head_dim=128)
SIZES = {  # name: (encoder, phones, LLM)
    "miniature": (
        dict(output_size=256, num_blocks=2, attention_heads=4, kernel_size=15),
        60,
        dict(hidden_size=192, intermediate_size=576, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1)
        | dict(head_dim=64, vocab_size=1200),
    ),
    "middle": (
        dict(output_size=512, num_blocks=6, attention_heads=8, kernel_size=33),
        300,
        dict(hidden_size=768, intermediate_size=2304, num_hidden_layers=6, num_attention_heads=12, vocab_size=8000)
        | dict(num_key_value_heads=4, head_dim=64),
    ),
    "full width, two layers": (
        dict(output_size=1280, num_blocks=2, attention_heads=20, kernel_size=33),
        300,
        dict(**QWEN3, num_hidden_layers=2, vocab_size=20000),
    ),
}
PAPER = dict(output_size=1280), 300, dict(**QWEN3, num_hidden_layers=28, vocab_size=151936)
PAPER_STAGES = {
    "pretraining": (20000, 2.0e6),
    "alignment": (10000, 1.3e6),
    "IA-SFT": (7000, 2e6),
    "joint SFT": (7000, 2e6),
}
ACCUMULATED = 4
UTTERANCE, TARGET = 1000, 36  # frames (10 s) and tokens of the example
A100 = 0.4 * 312e12  # FLOPs a second


def build(stage: str, size) -> torch.nn.Module:
    """The model of a stage."""
    kind, frozen, options = STAGES[stage]
    encoder_conf, phones, llm_conf = size
    encoder = FireRedConformerEncoder(**encoder_conf)
    parts = dict(frontend=KaldiFbank(), specaug=None, normalize=None, encoder=encoder)
    if kind == "phone":
        model = PhonemeCTCModel(**parts, ctc_head=CTCHead(encoder.output_size(), phones), **options)
    else:
        config = Qwen3Config(**llm_conf, tie_word_embeddings=True, pad_token_id=0)
        llm = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
        adaptor = ConcatAdaptor(encoder.output_size(), config.hidden_size)
        model = LLMASRModel(**parts, adaptor=adaptor, llm=llm)
    for name in frozen:
        getattr(model, name).requires_grad_(False)
    return model.train()


def random_batch(kind: str) -> dict:
    """Noise with labels."""
    speech = [0.1 * torch.randn(int(16000 * seconds)) for seconds in SECONDS]
    columns = {
        "speech": speech,
        "phones" if kind == "phone" else "text": [torch.randint(2, 50, (n,)) for n in (9, 20, 5)],
    }
    if kind == "llm":
        columns["prompt"] = [torch.tensor(PROMPT)] * len(speech)
    batch = {name: pad_sequence(rows, batch_first=True) for name, rows in columns.items()}
    return batch | {f"{name}_lengths": torch.tensor(list(map(len, rows))) for name, rows in columns.items()}


def compare() -> None:
    """Formula against torch."""
    columns = "forward, ours / torch's - 1 | backward | both"
    print(f"| size | stage | forward | backward | {columns} |\n|---|---|---:|---:|---:|---:|---:|")
    for size_name, size in SIZES.items():
        for stage, (kind, _, _) in STAGES.items():
            torch.manual_seed(0)
            model, batch = build(stage, size), random_batch(kind)
            found, expected = flops(model, shape_of(model, batch)), counted(model, batch)
            off = [100 * (a / b - 1) for a, b in zip((*found, found.total), (*expected, expected.total))]
            row = f"| {size_name} | {stage} | {found.forward:.4e} | {found.backward:.4e} |"
            print(row, " | ".join(f"{value:.1g} %" for value in off), "|", flush=True)


def paper() -> None:
    """Per GPU, with utterances of 10 s and 36 target tokens."""
    print("\n| stage | batch | update | updates | all FLOPs | A100 hours |\n|---|---:|---:|---:|---:|---:|")
    for stage, (max_frames, updates) in PAPER_STAGES.items():
        with torch.device("meta"):
            model = build(stage, PAPER)
        tokens = -(-subsampled_length(UTTERANCE) // 4)
        shape = BatchShape(max_frames // UTTERANCE, UTTERANCE, len(PROMPT) - 1 + tokens + TARGET)
        batch = flops(model, shape).total
        every = batch * ACCUMULATED * updates
        row = f"| {stage} | {batch:.3e} | {ACCUMULATED * batch:.3e} | {updates:.1e} | {every:.3e} |"
        print(f"{row} {every / A100 / 3600:,.0f} |")
    check = forward_flops(model.encoder, BatchShape(1000, UTTERANCE))
    print(f"\nEncoder forward over 1,000 utterances of 10 s (one side of a CKA check): {check:.3e} FLOPs")


if __name__ == "__main__":
    torch.set_num_threads(1)
    compare()
    paper()
