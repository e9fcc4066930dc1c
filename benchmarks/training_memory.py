"""The memory that bin.plan_training predicts, against the resident memory of real training steps on the CPU.

python benchmarks/training_memory.py sizes            three sizes of encoder and LLM (some minutes)
python benchmarks/training_memory.py encoder          a step of the full encoder with checkpointing (needs 20 GB)
python benchmarks/training_memory.py full             plans of all four stages at full size, for 1 and 8 GPUs
"""

import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import torch
from common import machine, peak_mb, table
from transformers import Qwen3Config

from espnet_llmasr.experiments.training_plan import build_training, example, memory_of, per_gpu, read_stage, work_of
from espnet_llmasr.train.memory import forward_backward

SIZES = {  # width and blocks of the encoder, width and layers of the LLM
    "small": (256, 4, 256, 4),
    "medium": (512, 6, 512, 8),
    "large": (768, 10, 1024, 12),
}
STAGES = ("pretrain", "align", "ia_sft", "joint_sft")
LLM = dict(num_attention_heads=16, num_key_value_heads=8, head_dim=128, vocab_size=151936, tie_word_embeddings=True)
QWEN3_1B7 = dict(LLM, hidden_size=2048, num_hidden_layers=28, intermediate_size=6144)


def stage_of(folder: Path, conf: str, options: str, llm: dict, durations) -> object:
    """A stage with a configuration of conf/ for utterances of these durations."""
    Qwen3Config(**llm).save_pretrained(folder)
    plan = [f"conf/{name}.yaml" for name in ("training", "encoder", conf)]
    task = "phoneme_ctc" if conf == "pretrain" else "llm_asr"
    given = dict(data_dir=None, durations=durations, hours=None, llm_dir=folder, token_list=None, fs=16000)
    return read_stage(Namespace(plan=plan, task=task, options=options, num_ranks=[1], **given))


def resident_mb() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def step(stage) -> None:
    """Prints predicted and resident peak (MB) of two updates, and seconds of the second."""
    work = work_of(stage, 1)
    planned = per_gpu(memory_of(stage, work, foreach=False), 1, False).peak / 2**20
    torch.randn(500, 500) @ torch.randn(500, 500)  # what the libraries need themselves
    before = resident_mb()
    model, optimizer = build_training(stage)
    for _ in range(2):
        start = time.perf_counter()
        for _ in range(min(stage.args.accum_grad, 2)):
            for uids in work.largest():
                forward_backward(model, example(stage, work, uids), stage.args.use_amp, "cpu")
        optimizer.step()
        optimizer.zero_grad()
    print(f"{planned:.0f} {peak_mb() - before:.0f} {time.perf_counter() - start:.0f}")


def measure(*arguments: str):
    """Predicted and resident peak (MB) and seconds, in a process whose freed memory goes back at once."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return map(int, done.stdout.split()[-3:])


def sizes() -> None:
    rows = []
    for name, parts in SIZES.items():
        for conf in ("pretrain", "align", "joint_sft"):
            planned, resident, _ = measure("step", name, conf)
            rows.append((name, conf, planned, resident, f"{100 * (planned / resident - 1):+.1f} %"))
    table(["size", "stage", "planned MB", "resident MB", "difference"], rows)


def step_of_size(folder: Path, name: str, conf: str) -> None:
    width, blocks, llm_width, layers = SIZES[name]
    encoder = f"output_size={width} num_blocks={blocks} attention_heads={width // 64}"
    options = f"--max_frames 3000 --use_amp false --encoder_conf {' --encoder_conf '.join(encoder.split())}"
    llm = dict(LLM, hidden_size=llm_width, num_hidden_layers=layers, intermediate_size=3 * llm_width, vocab_size=32000)
    step(stage_of(folder, conf, options, llm, [7.0]))


def full(folder: Path) -> None:
    Qwen3Config(**QWEN3_1B7).save_pretrained(folder)
    for conf in STAGES:
        task = "phoneme_ctc" if conf == "pretrain" else "llm_asr"
        options = ["--task", task, "--llm_dir", str(folder), "--num_ranks", "1", "8"]
        plan = [f"conf/{name}.yaml" for name in ("training", "encoder", conf)]
        subprocess.run([sys.executable, "-m", "espnet_llmasr.bin.plan_training", *plan, *options], check=True)
        print(flush=True)


def main(what: str, *arguments: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "step":
            step_of_size(folder, *arguments)
        elif what == "encoder_step":
            step(stage_of(folder, "pretrain", "--max_frames 1000 --gradient_checkpointing encoder", LLM, [5.0]))
        elif what == "encoder":
            planned, resident, seconds = measure("encoder_step")
            print(f"planned {planned} MB, resident {resident} MB, {seconds} s")
        else:
            print(machine("torch", "transformers"))
            sizes() if what == "sizes" else full(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
