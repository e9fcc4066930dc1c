"""Which GPUs, nodes and threads the commands of the real run.sh get, with a stand-in for Python; utils/devices.sh."""

import os
import shutil
import subprocess

import pytest
from recipe import REPO, value_of

DEVICES = REPO / "egs2/TEMPLATE/llmasr1/utils/devices.sh"
BESIDE = ["--stage", 5, "--stop_stage", 8, "--nthreads", 1]
GPUS = ["--ngpu", 8, "--gpus_pretrain", "0-3", "--gpus_finetune", "4,6-7"]


def ask(*calls, **environment):
    """The answers of functions of devices.sh, "-" for a failure."""
    script = f". {DEVICES}; HOSTNAME=me.lab; " + "; ".join(f"{call} || echo -" for call in calls)
    environment = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


def test_lists_of_gpus():
    good = {"0-3": "0,1,2,3", "0,2,5": "0,2,5", "7": "7", "4,6-7": "4,6,7", "a@node-1.lab:1-2": "1,2", "08-9": "8,9"}
    assert ask(*(f"gpus_of '{gpus}'" for gpus in good)) == list(good.values())
    bad = ["", "x", "3-1", "0-2,2", "0-", "1,", ",1", "a:b:1", "a:", ":1", "-o:1", "0 1", "$(id):1", "1000"]
    assert ask(*(f"gpus_of '{gpus}'" for gpus in bad)) == ["-"] * len(bad)


def test_gpus_that_two_trainings_share():
    pairs = ["0-3 4-7", "0-10 10", "a:0-3 b:0-3", "a:0-3 a:2,3", "0-3 a:0-3", "localhost:3 me:1-3", "me.lab:1 1"]
    assert ask(*(f"shared_gpu {pair}" for pair in pairs)) == ["-", "10", "-", "2", "-", "3", "1"]


def test_gpus_are_counted_among_those_that_the_user_leaves():
    assert ask("visible 0,2") == ["0,2"]
    assert ask("visible 0,2", "visible 2,3", CUDA_VISIBLE_DEVICES="4,GPU-8a,6") == ["4,6", "-"]


def gpus_of(recipe, command):
    """The values of CUDA_VISIBLE_DEVICES with which a command was called ("all": not set)."""
    lines = recipe.record.with_name("record.gpus").read_text().splitlines()
    return [line.split()[0] for line in lines if command in line and ".run_parallel" not in line]


def test_the_trainings_side_by_side_the_watcher_and_all_other_stages(recipe):
    decoding = ["--gpu_inference", "true", "--inference_nj", 10, "--test_sets", "test_zh", "--nonspeech_clips", 0]
    recipe.succeed(*GPUS, "--watch_device", "cuda:5", *decoding)
    (pretrain,), (align,) = recipe.calls("exp/pretrain --resume"), recipe.calls("exp/align --resume")
    assert gpus_of(recipe, "exp/pretrain --resume") == ["0,1,2,3"] and value_of(pretrain, "--nproc_per_node") == "4"
    assert gpus_of(recipe, "exp/align --resume") == gpus_of(recipe, "exp/ia_sft --resume") == ["4,6,7"]
    assert value_of(align, "--nproc_per_node") == "3" and " --standalone " in align
    assert gpus_of(recipe, ".watch ") == ["5"] and value_of(recipe.calls(".watch ")[0], "--device") == "cuda"
    for name in ("joint_sft", "ctc_head"):
        assert gpus_of(recipe, f"exp/{name} --resume") == ["0,1,2,3,4,5,6,7"]
        assert value_of(recipe.calls(f"exp/{name} --resume")[0], "--nproc_per_node") == "8"
    for command in ("calibrate_guard", "make_targets", "measure_encoders", "measure_guard", "phoneme_ctc_inference"):
        assert set(gpus_of(recipe, command)) == {"0"}
        assert {value_of(line, "--device") for line in recipe.calls(command)} == {"cuda"}
    assert sorted(gpus_of(recipe, "/joint_sft/decode/test_zh/10.shards")) == sorted(
        "0123456701"
    )  # job n on GPU (n - 1) modulo 8
    assert set(gpus_of(recipe, "format_data")) == {"all"}


def test_gpus_of_the_user_and_a_training_alone(made):
    made.succeed("--stage", 5, "--stop_stage", 5, *GPUS, "--seed", 1, CUDA_VISIBLE_DEVICES=",".join("87654321"))
    assert gpus_of(made, "exp/pretrain --resume")[-1] == "8,7,6,5"
    made.succeed("--stage", 9, "--stop_stage", 9, "--ngpu", 1, "--seed", 1, CUDA_VISIBLE_DEVICES="3,4")
    assert gpus_of(made, "exp/joint_sft --resume")[-1] == "3" and "torch.distributed" not in made.calls()[-1]


def test_a_training_on_another_host(made, tmp_path):
    """Its GPUs are those of the host, whatever is visible here."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/bash\necho "$4" >>{tmp_path}/hosts\nexec bash -c "$5"\n')
    ssh.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "7,8"}
    words = ["--ngpu", 2, "--gpus_finetune", "node2:1-2", "--align_args", "--system 'a b'"]
    made.succeed("--stage", 7, "--stop_stage", 7, *words, **environment)
    assert gpus_of(made, "exp/align --resume")[-1] == "1,2" and (tmp_path / "hosts").read_text() == "node2\n"
    (call,) = made.calls()
    assert value_of(call, "--nproc_per_node") == "2" and call.endswith("--system a b")


def test_the_number_of_gpus_trains_nothing_again(made):
    made.succeed("--stage", 9, "--stop_stage", 9, "--ngpu", 2)
    assert made.names() == ["make_targets", "joint_sft"]  # on another device than before
    made.succeed("--stage", 9, "--stop_stage", 9, "--ngpu", 4)
    assert made.calls() == []


def test_what_is_refused_before_anything_starts(recipe):
    slurm, ssh, two = {"cmd_backend": "slurm"}, {"cmd_backend": "ssh"}, {"CUDA_VISIBLE_DEVICES": "0,1"}
    for words, environment, message in (
        (["--ngpu", 1], {}, "stages 5 and 7-8 run side by side, both on the GPUs of --ngpu 1: give, for example"),
        (["--ngpu", 8, "--gpus_pretrain", "0-3"], {}, "stages 5 and 7-8 run side by side, both on"),
        ([*GPUS, "--gpus_finetune", "2-5"], {}, "GPU 2 is in --gpus_pretrain 0-3 and in --gpus_finetune 2-5: give"),
        (["--gpus_pretrain", "0-3"], {}, "--gpus_pretrain needs --ngpu, too: the GPUs of all other stages"),
        ([*GPUS, "--gpus_pretrain", "3-0"], {}, "--gpus_pretrain is '3-0', expected GPUs such as 0-3 or 0,2,5"),
        (["--ngpu", 2, *GPUS[2:]], two, "--gpus_pretrain is '0-3', but CUDA_VISIBLE_DEVICES='0,1' has GPUs 0 to 1"),
        (["--ngpu", 3], two, "--ngpu 3 or --watch_device cpu is more than CUDA_VISIBLE_DEVICES='0,1' has"),
        (["--watch_device", "cuda:2"], two, "--ngpu 0 or --watch_device cuda:2 is more than CUDA_VISIBLE_DEVICES"),
        (["--watch_device", "gpu"], {}, "--watch_device is 'gpu', allowed are cpu, cuda and cuda:N"),
        (GPUS, slurm, "--gpus_pretrain needs cmd_backend local (cmd.sh): slurm.pl places --ngpu GPUs itself"),
        (["--ngpu", 8], ssh, "stages 5 and 7-8 run side by side, and ssh.pl starts both on the same machines"),
        (["--num_nodes", 2], slurm, "--num_nodes 2 needs --ngpu, the GPUs on each of them"),
        (["--num_nodes", 2, "--ngpu", 8], {}, "--num_nodes 2 needs cmd_backend slurm, sge or ssh (cmd.sh)"),
        (["--num_nodes", 0], {}, "--num_nodes is '0', expected at least 1"),
        (["--rdzv_endpoint", "here"], {}, "--rdzv_endpoint is 'here', expected HOST:PORT"),
    ):
        output = recipe.fail(*BESIDE, *words, **environment)
        assert output.startswith(f"llmasr.sh: {message}") and output.count("\n") == 1
        assert recipe.calls() == []


@pytest.fixture
def launcher(tmp_path):
    """(name) -> an environment in which a launcher of this name notes its words and works like run.pl."""

    def make(name):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "$0 $*" >>{tmp_path}/launched\nexec utils/run.pl "$@"\n')
        path.chmod(0o755)
        return {"PATH": f"{path.parent}:{os.environ['PATH']}", "HOSTNAME": "login"}

    return make


def test_several_nodes_through_the_launchers_of_a_cluster(made, launcher):
    """A job for each node; they meet at a store that run_parallel holds on this machine for as long as they run."""
    for number, (backend, name) in enumerate([("sge", "queue.pl"), ("ssh", "ssh.pl"), ("slurm", "slurm.pl")]):
        stages = [5, "--stop_stage", 5, "--seed", number]
        if backend == "slurm":  # both trainings beside each other
            shutil.rmtree(made.dir / "exp/pretrain")
            shutil.rmtree(made.dir / "exp/encoders")
            stages = [5, "--stop_stage", 8]
        made.succeed("--stage", *stages, "--ngpu", 8, "--num_nodes", 2, cmd_backend=backend, **launcher(name))
        launched = (made.record.with_name("launched")).read_text()
        assert f"/{name} --gpu 8 JOB=1:2 exp/pretrain/train.JOB.log " in launched
        first, second = made.calls("exp/pretrain --resume")
        meet = "--nnodes 2 --rdzv_backend c10d --rdzv_endpoint login:29400 --rdzv_id pretrain --rdzv_conf"
        more = "join_timeout=86400 --nproc_per_node 8 -m espnet_llmasr.bin.phoneme_ctc_train"
        assert first == second and f"-m torch.distributed.run {meet} {more} " in first
        assert "--ngpu 1 --multiprocessing_distributed false" in first
        assert set(gpus_of(made, "torch.distributed.run")) == {"all"}
        (holder,) = [line for line in made.record.read_text().splitlines() if ".run_parallel" in line]
        assert value_of(holder, "--rendezvous_port") == "29400"
        assert (made.dir / "exp/pretrain/train.log").resolve().name == "train.1.log"
    assert [value_of(line, "--rdzv_id") for line in made.calls("llm_asr_train")] == ["align"] * 2 + ["ia_sft"] * 2


def test_a_cluster_places_the_watcher_and_decoding(made, launcher):
    for done in ("encoders/watch.log.done", "encoders/final"):
        (made.dir / "exp" / done).unlink()
    shutil.rmtree(made.dir / "exp/joint_sft/decode")
    words = ["--watch_device", "cuda:3", "--gpu_inference", "true", "--skip_stages", "7 8 9 10"]
    made.succeed("--stage", 6, "--stop_stage", 11, "--ngpu", 2, *words, cmd_backend="slurm", **launcher("slurm.pl"))
    launched = (made.record.with_name("launched")).read_text()
    assert "/slurm.pl --gpu 1 exp/encoders/watch.log " in launched
    assert "/slurm.pl --gpu 1 JOB=1:2 exp/joint_sft/decode/" in launched and set(gpus_of(made, ".watch ")) == {"all"}


def test_threads_above_the_cores_are_one_line_of_warning(made):
    cores, many = os.cpu_count(), 10 * os.cpu_count()
    warned = lambda *words: [line for line in made.succeed(*words).splitlines() if "WARNING" in line]
    assert warned("--stage", 3, "--stop_stage", 3, "--nthreads", 1) == []
    (line,) = warned(
        "--stage", 10, "--stop_stage", 11, "--test_sets", "test_zh", "--nthreads", many, "--inference_nj", 5 * cores
    )
    assert f"WARNING: --nthreads {many} x 1, --inference_nj {5 * cores}, but only " in line
    (made.dir / "exp/pretrain/finished").unlink()
    (line,) = warned(*BESIDE, "--parallel_nthreads", many)
    assert f"WARNING: --parallel_nthreads {many} x 2, but only " in line
