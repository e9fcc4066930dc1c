"""ESPnet recipes with our components (python -m espnet_llmasr -m espnet2.bin.asr_train), in spawned workers too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

STOCK = dict(
    frontend="kaldi_fbank",
    frontend_conf={},
    encoder="firered_conformer",
    encoder_conf=dict(output_size=32, num_blocks=1, attention_heads=2, kernel_size=5, pe_maxlen=100),
    decoder=None,
    model="cr_ctc",
    model_conf=dict(ctc_weight=1.0, cr_scale=0.2, cr_warmup_batches=1, report_cer=False, report_wer=False),
    normalize=None,
    specaug=None,
    token_type="word",
    batch_type="numel",
    batch_bins=200000,
    max_epoch=2,
    optim="adam",
    optim_conf=dict(lr=0.002),
    use_matplotlib=False,
    use_tensorboard=False,
    num_workers=0,
    keep_nbest_models=1,
)
# ESPnet spawns its workers like this with --ngpu 2 (espnet2/tasks/abs_task.py); here they compute on the CPU.
SPAWN = """
import argparse, sys, torch
from espnet2.tasks.asr import ASRTask

def main():
    args = ASRTask.get_parser().parse_args(sys.argv[2:])
    args.required, args.version = ["output_dir", "token_list"], ""
    args.distributed, args.multiprocessing_distributed, args.dist_world_size = True, True, 2
    args.dist_backend, args.dist_init_method = "gloo", "file://" + sys.argv[1]
    context, workers = torch.multiprocessing.get_context("spawn"), []
    for rank in range(2):
        local = argparse.Namespace(**vars(args))
        local.local_rank = local.dist_rank = rank
        workers.append(context.Process(target=ASRTask.main_worker, args=(local,)))
        workers[-1].start()
    for worker in workers:
        worker.join()
    sys.exit(max(abs(worker.exitcode) for worker in workers))
"""


@pytest.fixture(scope="module")
def stock(corpus, tmp_path_factory):
    """Directory and command line of a stock ESPnet training on the tiny corpus, and the environment for it."""
    root = tmp_path_factory.mktemp("stock")
    (root / "conf.yaml").write_text(yaml.safe_dump(STOCK))
    (root / "spawn_workers.py").write_text(SPAWN)
    options = ["--config", f"{root}/conf.yaml", "--ngpu", "0", "--token_list", f"{corpus}/phones.txt"]
    for name in ("train", "valid"):
        for table in ("wav.scp,speech,sound", "phones,text,text"):
            options += [f"--{name}_data_path_and_name_and_type", f"{corpus / name}/{table}"]
        shapes = (line.split() for line in (corpus / name / "utt2num_frames").read_text().splitlines())
        (root / f"{name}_shape").write_text("".join(f"{uid} {160 * int(frames) + 240}\n" for uid, frames in shapes))
        options += [f"--{name}_shape_file", f"{root}/{name}_shape"]
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    package = str(Path(__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([str(root), package, environment.get("PYTHONPATH", "")])
    return root, options, environment


def run(environment, *arguments):
    command = [sys.executable, "-m", "espnet_llmasr", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_spawned_workers_know_our_components(stock):
    root, options, environment = stock
    done = run(environment, "-m", "spawn_workers", root / "meeting", *options, "--output_dir", root / "spawned")
    assert done.returncode == 0, done.stderr[-4000:]
    assert (root / "spawned" / "2epoch.pth").exists()


@pytest.mark.slow
def test_stock_training(stock):
    root, options, environment = stock
    done = run(environment, "-m", "espnet2.bin.asr_train", *options, "--output_dir", root / "single")
    assert done.returncode == 0, done.stderr[-4000:]
    config = yaml.safe_load((root / "single" / "config.yaml").read_text())
    assert (config["frontend"], config["encoder"], config["model"]) == ("kaldi_fbank", "firered_conformer", "cr_ctc")
    assert (root / "single" / "2epoch.pth").exists() and "loss_cr=" in done.stderr
