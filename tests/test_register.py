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


@pytest.mark.slow
def test_spawned_workers_know_our_components(corpus, tmp_path):
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(STOCK))
    (tmp_path / "spawn_workers.py").write_text(SPAWN)
    options = ["--config", f"{tmp_path}/conf.yaml", "--ngpu", "0", "--token_list", f"{corpus}/phones.txt"]
    for name in ("train", "valid"):
        for table in ("wav.scp,speech,sound", "phones,text,text"):
            options += [f"--{name}_data_path_and_name_and_type", f"{corpus / name}/{table}"]
        shapes = (line.split() for line in (corpus / name / "utt2num_frames").read_text().splitlines())
        (tmp_path / f"{name}_shape").write_text("".join(f"{uid} {160 * int(frames) + 240}\n" for uid, frames in shapes))
        options += [f"--{name}_shape_file", f"{tmp_path}/{name}_shape"]
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    package = str(Path(__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), package, environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "espnet_llmasr", "-m", "spawn_workers", str(tmp_path / "meeting"), *options]
    command += ["--output_dir", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    config = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert (config["frontend"], config["encoder"], config["model"]) == ("kaldi_fbank", "firered_conformer", "cr_ctc")
    assert (tmp_path / "out/2epoch.pth").exists() and "loss_cr=" in done.stderr
