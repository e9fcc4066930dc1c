"""A made-up experiment for the report: small files written by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from espnet_llmasr.bin import score

EVIL = '<script>alert("1")</script>'
RTL = "\u202eשלום\u202c عربي"
LONG = "x" * 5000
LAYERS = [0.96, 0.97]
TEXTS = {  # set -> utterance -> (reference, hypothesis)
    "one": {
        "u1": ("the cat sat", "the cat sat"),
        "u2": ("a red dog", f"a red {EVIL} {RTL}"),
        "u3": ("go on", LONG),
        "u4": ("one two three four five", "one two three four five"),
    },
    "two": {"v1": ("你好", "你坏"), "v2": ("天 气", "")},
}
RESULTS = """# started
2026-11-21 10:00:00,000 INFO: pytorch.version=9.8.7+test, cuda.available=False
2026-11-21 10:01:00,000 INFO: 1epoch results: [train] loss=4.000, ctc=1, lr=1.000e-03, time=1 hour, 1 minute and 1.5 \
seconds, total_count=5, [valid] loss=3.500, per=0.900, blank=1.000, peak=0.800, time=2.5 seconds, total_count=7
2026-11-21 10:02:00,000 INFO: 2epoch results: [train] loss=nan, lr=5.000e-04, time=1 second, total_count=10, \
[valid] loss=2.2500, per=0.500, blank=0.700, peak=0.900, time=1 second, total_count=14
2026-11-21 10:03:00,000 INFO: 3epoch results: [train] loss=2.000, lr=2.500e-04, time=1 second, total_count=15, \
[valid] loss=2.7500, per=0.400, blank=0.600, peak=0.950, time=1 second, total_count=21
"""
RESUMED = """2026-11-21 10:09:00,000 INFO: going on from the last complete epoch
2026-11-21 10:09:30,000 INFO: 2epoch results: [train] loss=9.999, time=7 seconds, total_count=20, [valid] loss=9.999
"""
CHECKS = [
    {"step": 2, "reference_step": 0, "cka": None, "action": "reference", "time": "2026-11-21T10:01:10"},
    {"step": 4, "reference_step": 2, "cka": 0.97, "action": "publish", "cka_layers": LAYERS, "nse": 0.5, "blank": 0.6}
    | {"time": "2026-11-21T10:02:10", "peak": 0.7},
    {"step": 6, "reference_step": 4, "cka": 0.981, "action": "keep", "cka_layers": [0.99, 0.981]},
    {"step": 8, "reference_step": 4, "cka": 0.96, "action": "publish", "cka_layers": [0.95, 0.96]},
]
SWAPS = [
    {"epoch": 2, "encoder_step": 8, "previous_step": 4, "final": False, "time": "2026-11-21T10:02:50"},
    {"epoch": 3, "encoder_step": 8, "previous_step": 8, "final": True, "time": ""},
]
DRIFTS = [
    {"epoch": 0, "cka": 1.0, "cka_layers": [1.0], "nse": 0.5, "pai": 3.25, "csai": 1.5},
    {"epoch": 1, "cka": 0.875, "cka_layers": [0.875], "nse": 0.4375, "pai": 3.0, "csai": 1.75} | {"warning": True},
]
OBSERVATION = {
    **{"name": f"encoder {EVIL}", "stage": "pretrain", "step": 4000, "model": "exp/pretrain", "set": "valid"},
    **{"utterances": 120, "nse": 0.8125, "nse_std": 0.0625, "pai": 2.5, "csai": 1.25, "pai_baseline": 0.5},
    **{"csai_baseline": 0.25, "estimator": {}, "cka_text": [0.25, 0.375], "cka_text_adaptor": 0.625},
}
NONSPEECH = "| kind | clips | chars/min |\n| --- | ---: | ---: |\n| hum \\| buzz | 150 | 1665 ! |\n\nNobody speaks.\n"
REPLACED = "300 utterances\n\n| what is flagged | threshold 0.0589 |\n| --- | --- |\n| false alarms | 4.7 (2.8-7.7) |\n"
REDECODED = "- one: redecode is better.\n"
SWAPS_MD = (
    "| pretraining step | used in |\n| --- | --- |\n| 8 | IA-SFT from epoch 2 |\n\nEncoder swaps during IA-SFT: 1\n"
)
BENCHMARK = "## Table 1: CER\n\n|  | Ours |\n| --- | ---: |\n| **Mandarin** |  |\n| AISHELL-1 test | 4.56 |\n"


def make(root: Path) -> Path:
    """<root>/recipe/llmasr1/exp: finished, resumed and running trainings, two decoded sets, all metrics."""
    exp = root / "recipe" / "llmasr1" / "exp"
    training(exp, "pretrain", RESULTS, accum_grad=2, token_list=["<blank>", "<unk>", "a", "b"])
    (exp / "pretrain/flops.jsonl").write_text("".join(flops_line(epoch, 2**40) for epoch in (1, 2, 3)))
    training(exp, "align", RESUMED, encoder_dir="exp/encoders", max_epoch=2)
    training(exp, "ia_sft", RESULTS, finished=False, max_epoch=200)
    training(exp, "joint_sft", "", finished=False)
    lines(exp / "encoders/cka.jsonl", CHECKS)
    (exp / "encoders/watch.yaml").write_text("threshold: 0.975\n")
    lines(exp / "ia_sft/swaps.jsonl", SWAPS)
    lines(exp / "joint_sft/drift.jsonl", DRIFTS)
    lines(exp / "observe/observations.jsonl", [OBSERVATION])
    (exp / "observe/figure_1.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg" id="s">{EVIL}</svg>')
    decode(exp)
    robust = exp / "joint_sft/robustness"
    robust.mkdir()
    (robust / "nonspeech.md").write_text(NONSPEECH)
    (robust / "replaced.md").write_text(REPLACED)
    (robust / "redecode.md").write_text(REDECODED)
    (exp / "joint_sft/decode/swaps.md").write_text(SWAPS_MD)
    (exp / "joint_sft/decode/benchmark.md").write_text(BENCHMARK)
    return exp


def training(exp: Path, name: str, log: str, finished=True, **config) -> None:
    folder = exp / name
    folder.mkdir(parents=True)
    data = [["dump/train/wav.scp", "speech", "audio_16000"], ["dump/train/text", "text", "text"]]
    sizes = {"encoder": "firered_conformer", "encoder_conf": {"num_blocks": 2, "output_size": 64}}
    defaults = {
        "max_epoch": 3,
        "accum_grad": 1,
        "version": "202511",
        "train_data_path_and_name_and_type": data,
        **sizes,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**defaults, **config}))
    (folder / "train.log").write_text(log)
    if finished:
        (folder / "finished").write_text('{"max_epoch": 3}\n')


def flops_line(epoch: int, flops: int) -> str:
    return json.dumps({"epoch": epoch, "flops": flops, "batches": 5}) + "\n"


def lines(path: Path, rows) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def decode(exp: Path) -> None:
    """References with audio, hypotheses with the guard's tables, scored by the command itself."""
    ref, hyp = exp.parent / "dump", exp / "joint_sft/decode"
    (exp.parent / "audio").mkdir()
    for name, texts in TEXTS.items():
        for folder, side in ((ref / name, 0), (hyp / name, 1)):
            folder.mkdir(parents=True)
            table(folder / "text", {uid: sides[side] for uid, sides in texts.items()})
        for uid in texts:
            soundfile.write(exp.parent / f"audio/{uid}.wav", 0.1 * np.sin(np.arange(8000) / 5), 16000)
        table(ref / name / "wav.scp", {uid: f"audio/{uid}.wav" for uid in texts})
    (exp.parent / "audio/u2.wav").unlink()
    table(hyp / "one/confidence", {"u1": 0.9, "u2": 0.125, "u3": 0.01, "u4": 1.0})
    table(hyp / "one/flagged", {"u2": "unsupported", "u1": "loop"})
    score.main(["--ref_dir", str(ref), "--hyp_dir", str(hyp), "--routes", "none", "one", "two"])


def table(path: Path, rows) -> None:
    path.write_text("".join(f"{uid} {value}\n" for uid, value in rows.items()), encoding="utf-8")


@pytest.fixture(scope="session")
def exp(tmp_path_factory):
    """The experiment, not to be changed."""
    return make(tmp_path_factory.mktemp("report"))
