"""ESPnet recipes with our components (python -m espnet_llmasr -m espnet2.bin.asr_train), in spawned workers too."""

import os
import subprocess
import sys
from importlib.util import find_spec
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


@pytest.fixture()
def python(tmp_path):
    """Runs Python without (ours=()) and with our wrapper in a folder with a script, a module and a text."""
    (tmp_path / "script.py").write_text("import sys, helper\nprint(__name__, helper.here, *sys.argv[1:])\n")
    (tmp_path / "helper.py").write_text("here = 'beside the script'\nif __name__ == '__main__':\n    print('module')\n")
    (tmp_path / "text").write_text("u1 five two\nu2 nine\n")
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[1]))

    def run_python(*arguments, ours=("-m", "espnet_llmasr")):
        command = [sys.executable, *ours, *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=1500)

    return run_python


def results_on_stdout():
    """The commands of ESPnet that can write their results to standard output."""
    folder = Path(find_spec("espnet2").submodule_search_locations[0]) / "bin"
    return {path.stem for path in folder.glob("*.py") if "sys.stdout" in path.read_text()}


COMMANDS = {  # name -> arguments with which it writes to standard output, without weights or network
    "tokenize_text": "-f 2- --input text --output - --token_type word",
    "hugging_face_export_vocabulary": "--help",
    "whisper_export_vocabulary": "--help",
}


def test_commands_with_results_on_standard_output_are_known():
    assert results_on_stdout() == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_wrapper_adds_nothing_to_standard_output(name, python):
    arguments = ("-m", f"espnet2.bin.{name}", *COMMANDS[name].split())
    plain, wrapped = python(*arguments, ours=()), python(*arguments)
    assert (wrapped.stdout, wrapped.returncode) == (plain.stdout, plain.returncode)
    assert len(plain.stdout.splitlines()) >= 2, plain.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("script.py", "-m", "x"),
        ("-c", "import sys, helper; print(__name__, helper.here, *sys.argv)", "-m", "x"),
        ("-m", "helper", "x"),
        ("-c", "import sys; sys.exit(3)"),
    ],
)
def test_scripts_and_code_run_as_in_python(arguments, python):
    plain, wrapped = python(*arguments, ours=()), python(*arguments)
    assert (wrapped.stdout, wrapped.returncode) == (plain.stdout, plain.returncode)


# What Lightning does for its other ranks (lightning/fabric/strategies/launchers/subprocess_script.py).
AGAIN = """
import os, subprocess, sys

def main():
    import __main__
    print(sys.argv[1:], [type(finder).__name__ for finder in sys.meta_path].count("ImportWatch"), flush=True)
    if "RANK" not in os.environ:
        command = [sys.executable, "-m", __main__.__spec__.name, *sys.argv[1:]]
        subprocess.run(command, env={**os.environ, "RANK": "1"}, check=True)
"""


def test_a_launcher_that_starts_the_program_again_has_our_components_there(python, tmp_path):
    (tmp_path / "launcher.py").write_text(AGAIN)
    done = python("-m", "launcher", "--task", "asr")
    assert done.stdout.splitlines() == ["['--task', 'asr'] 1"] * 2, done.stderr[-2000:]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "expected -m MODULE, -c CODE or the path of a script"),
        (("--version",), "expected -m MODULE"),
        (("-m",), "expected -m MODULE"),
        (("-m", "espnet2.bin.no_such_train"), "No module named espnet2.bin.no_such_train"),
        (("missing.py",), "there is no file missing.py"),
    ],
)
def test_wrong_command_lines_of_the_wrapper(arguments, message, python):
    done = python(*arguments)
    assert done.returncode == 1 and not done.stdout
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_own_commands_neither_print_nor_log_about_flash_attention(python):
    """On import: the trainings, the encoders of ESPnet, and the stock ASR task."""
    modules = ("bin.llm_asr_train", "asr.espnet_encoder", "asr.cr_ctc_asr_model", "train.trainer")
    code = "".join(f"import espnet_llmasr.{name}\n" for name in modules)
    done = python("-c", code, ours=())
    assert done.returncode == 0 and not done.stdout and "Flash Attention" not in done.stderr


# Each task is built from our components and the parts without which it cannot be built. Two are imported before
# register() is called.
BUILD = """
import importlib, torch
from espnet2.tasks import asr_transducer, slu
from espnet_llmasr.register import register

register()
sizes = dict(output_size=32, num_blocks=1, attention_heads=2, kernel_size=5, pe_maxlen=100)
ours = ["--encoder", "firered_conformer", "--encoder_conf", str(sizes)]
blocks = ["--encoder_conf", "body_conf=[{block_type: conv1d, output_size: 16, kernel_size: 3}]"]
tokens = ["<blank>", "<unk>", "a", "<na>", "<sop>", "<sos>", "<eos>", "<sos/eos>"]
for name in ("asr", "slu", "s2t", "st", "asr_transducer"):
    module = importlib.import_module("espnet2.tasks." + name)
    task = next(vars(module)[key] for key in vars(module) if key.lower() == name.replace("_", "") + "task")
    options = ["--frontend", "kaldi_fbank", *(blocks if name == "asr_transducer" else ours)]
    options += ["--decoder", "transformer"] if name in ("asr", "slu", "s2t", "st") else []
    args = task.get_parser().parse_args([*options, "--output_dir", "x", "--token_list", "x"])
    args.normalize, args.token_list, args.src_token_list, args.transcript_token_list = None, tokens, tokens, None
    model = task.build_model(args).eval()
    frames, lengths = model.encode(0.1 * torch.randn(2, 8000), torch.tensor([8000, 6000]))[:2]
    print(name, type(model.frontend).__name__, type(model.encoder).__name__, len(frames))
"""


@pytest.mark.slow
def test_components_reach_the_speech_tasks(python):
    done = python("-c", BUILD, ours=())
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-5:] == [
        *(f"{name} KaldiFbank FireRedConformerEncoder 2" for name in ("asr", "slu", "s2t", "st")),
        "asr_transducer KaldiFbank Encoder 2",
    ]


def run(environment, *arguments):
    command = [sys.executable, "-m", "espnet_llmasr", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500)


@pytest.mark.slow
def test_spawned_workers_know_our_components(stock):
    root, options, environment = stock
    done = run(environment, "-m", "spawn_workers", root / "meeting", *options, "--output_dir", root / "spawned")
    assert done.returncode == 0, done.stderr[-4000:]
    assert (root / "spawned" / "2epoch.pth").exists()


@pytest.mark.slow
def test_lightning_on_two_ranks_trains_and_averages(stock):
    """Lightning starts the second rank by the command line, and reads its own checkpoints at the end."""
    pytest.importorskip("lightning")
    root, options, environment = stock
    (root / "lightning").mkdir()
    criterion = "best_model_criterion: [[valid/loss, min, 1]]"
    conf = f"{{accelerator: cpu, devices: 2, max_epochs: 1, log_every_n_steps: 1, {criterion}}}"
    arguments = ["--task", "asr", *options, "--lightning_conf", conf, "--output_dir", root / "lightning"]
    arguments += ["--use_tensorboard", "true", "--scheduler", "warmuplr"]  # ESPnet's Lightning fails without
    done = run(environment, "-m", "espnet2.bin.lightning_train", *arguments)
    assert done.returncode == 0 and "MEMBER: 2/2" in done.stderr, done.stderr[-4000:]
    assert (root / "lightning" / "valid.loss.ave_1best.pth").exists()
