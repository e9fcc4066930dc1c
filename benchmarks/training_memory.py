"""The memory that bin.plan_training predicts, against the resident memory of real training steps on the CPU.

python benchmarks/training_memory.py sizes            three sizes of encoder and LLM (some minutes)
python benchmarks/training_memory.py encoder          a step of the full encoder with checkpointing (needs 20 GB)
python benchmarks/training_memory.py full             plans of all four stages at full size, for 1 and 8 GPUs
"""

import ctypes
import itertools
import sys
import tempfile
import time
from argparse import Namespace
from multiprocessing import get_context

from common import machine, peak_mb, resident_mb, table
from transformers import Qwen3Config

from espnet_llmasr.experiments.training_plan import (
    build_training,
    example,
    memory_of,
    per_gpu,
    read_stage,
    report,
    work_of,
)
from espnet_llmasr.train.memory import forward_backward

SIZES = {  # width and blocks of the encoder, width and layers of the LLM
    "small": (256, 4, 256, 4),
    "medium": (512, 6, 512, 8),
    "large": (640, 8, 768, 8),
}
M_MMAP_THRESHOLD = -3  # of mallopt(3)
STAGES = ("pretrain", "align", "ia_sft", "joint_sft")
LLM = dict(num_attention_heads=16, num_key_value_heads=8, head_dim=128, vocab_size=151936, tie_word_embeddings=True)
QWEN3_1B7 = dict(LLM, hidden_size=2048, num_hidden_layers=28, intermediate_size=6144)


def configurations(conf: str) -> list:
    """The files of a stage at full size."""
    return [f"conf/{name}.yaml" for name in ("training", "encoder", conf)]


def stage_of(folder: str, conf: str, options: str, llm: dict, durations: list):
    """A stage at another size, for utterances of these durations."""
    Qwen3Config(**llm).save_pretrained(folder)
    task = "phoneme_ctc" if conf == "pretrain" else "llm_asr"
    given = dict(data_dir=None, durations=durations, hours=None, llm_dir=folder, token_list=None, fs=16000)
    return read_stage(Namespace(plan=configurations(conf), task=task, options=options, num_ranks=[1], **given))


def step(name: str, conf: str):
    """Predicted and resident peak (MB) of two updates of one batch, and seconds of the second one."""
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 65536)  # what is freed goes back at once
    with tempfile.TemporaryDirectory() as folder:
        stage = encoder_stage(folder) if name == "encoder" else stage_of_size(folder, name, conf)
        work = work_of(stage, 1)
        planned = per_gpu(memory_of(stage, work, foreach=False), 1).peak / 2**20
        batch, before = example(stage, work, work.batches[0]), resident_mb()
        model, optimizer = build_training(stage)
        for _ in range(2):
            start = time.perf_counter()
            forward_backward(model, batch, stage.args.use_amp, "cpu")
            optimizer.step()
            optimizer.zero_grad()
    return planned, peak_mb() - before, time.perf_counter() - start


def measure(*arguments: str):
    """What `step` returns, in a process of its own."""
    with get_context("fork").Pool(1) as pool:
        return pool.apply(step, arguments)


def sizes() -> None:
    rows = []
    for name, conf in itertools.product(SIZES, ("pretrain", "joint_sft")):
        planned, resident, _ = measure(name, conf)
        rows.append((name, conf, f"{planned:.0f}", f"{resident:.0f}", f"{100 * (planned / resident - 1):+.1f} %"))
    table(["size", "stage", "planned MB", "resident MB", "difference"], rows)


def stage_of_size(folder: str, name: str, conf: str):
    width, blocks, llm_width, layers = SIZES[name]
    encoder = f"output_size={width} num_blocks={blocks} attention_heads={width // 64}".split()
    options = f"--max_frames 1000 --accum_grad 1 --use_amp false --encoder_conf {' --encoder_conf '.join(encoder)}"
    llm = dict(LLM, hidden_size=llm_width, num_hidden_layers=layers, intermediate_size=3 * llm_width, vocab_size=32000)
    return stage_of(folder, conf, options, llm, [4.9])


def encoder_stage(folder: str):
    options = "--max_frames 500 --accum_grad 1 --use_amp false --gradient_checkpointing encoder"
    return stage_of(folder, "pretrain", options, LLM, [4.9])


def full() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Qwen3Config(**QWEN3_1B7).save_pretrained(folder)
        for conf in STAGES:
            task = "phoneme_ctc" if conf == "pretrain" else "llm_asr"
            given = dict(data_dir=None, durations=[4.5, 30.0], hours=None, llm_dir=folder, token_list=None, fs=16000)
            given |= dict(options="", num_ranks=[1, 8], gpu_memory_gb=80, measure=None)
            print(report(Namespace(plan=configurations(conf), task=task, **given)), flush=True)


def main(what: str) -> None:
    print(machine("torch", "transformers"))
    if what == "encoder":
        planned, resident, seconds = measure("encoder", "pretrain")
        print(f"planned {planned:.0f} MB, resident {resident:.0f} MB, {seconds:.0f} s")
    else:
        {"sizes": sizes, "full": full}[what]()


if __name__ == "__main__":
    main(*sys.argv[1:])
