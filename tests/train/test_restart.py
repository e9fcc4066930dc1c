"""A training that is started again: config.yaml, the lock, inputs by their content, and files from elsewhere."""

import errno
import fcntl
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.tasks import abs_task

from espnet_llmasr import processes
from espnet_llmasr.bin import llm_asr_train, phoneme_ctc_inference, phoneme_ctc_train, watch
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.processes import only_one
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train import checkpoints, inputs
from espnet_llmasr.train.trainer import ExactTrainer

EPOCHS = 2


def assert_refused(done, *parts):
    assert done.code == 1 and "Traceback" not in done.err, done.err
    last = done.err.strip().splitlines()[-1]
    assert all(part in last for part in parts), last


@pytest.fixture(scope="module")
def own_corpus(corpus, tmp_path_factory):
    """The corpus in a folder of its own, whose path is a replacement for that of the shared one in options."""
    root = tmp_path_factory.mktemp("experiment") / "exp"
    shutil.copytree(corpus, root / "data")
    for table in root.glob("data/*/wav.scp"):
        table.write_text(table.read_text().replace(str(corpus), f"{root}/data"))
    return root


@pytest.fixture(scope="module")
def options(corpus, phone_options):
    """(root, **configuration) -> a pretraining in root/pretrain on root/data."""

    def build(root, **conf):
        made = phone_options(root / "pretrain", **conf)
        config = Path(made[made.index("--config") + 1])
        config.write_text(config.read_text().replace(str(corpus), f"{root}/data"))
        return [*(str(word).replace(str(corpus), f"{root}/data") for word in made), "--resume", "true"]

    return build


@pytest.fixture(scope="module")
def half(own_corpus, options, forked_module):
    """The experiment with a pretraining that was killed in its second epoch."""
    root = own_corpus

    def killed():
        update, calls = ExactTrainer.update, []

        def counted(*args):
            calls.append(1)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return update(*args)

        ExactTrainer.update = counted
        PhonemeCTCTask.main(cmd=options(root))

    assert forked_module(killed) == signal.SIGKILL
    assert (root / "pretrain" / "checkpoint.pth").exists() and not (root / "pretrain" / "2epoch.pth").exists()
    return root


@pytest.fixture(scope="module")
def forked_module():
    def run(function):
        pid = os.fork()
        if pid == 0:
            function()
            os._exit(0)
        return os.waitpid(pid, 0)[1]

    return run


@pytest.fixture(scope="module")
def whole(own_corpus, half, options, tmp_path_factory):
    """The uninterrupted pretraining."""
    root = tmp_path_factory.mktemp("whole") / "exp"
    shutil.copytree(own_corpus, root, ignore=shutil.ignore_patterns("pretrain"))
    PhonemeCTCTask.main(cmd=options(root))
    return root / "pretrain"


# ---- copied, moved, touched ----------------------------------------------------------------------------------------


def test_a_copied_moved_touched_experiment_ends_with_the_same_weights(
    half, whole, options, assert_same_weights, tmp_path, monkeypatch
):
    """Other paths and times of the same content. Every file is read once more, and not at the start after that."""
    root, read = tmp_path / "elsewhere", []
    shutil.copytree(half, root, symlinks=True)
    for table in root.glob("data/*/wav.scp"):  # the corpus of another machine
        table.write_text(table.read_text().replace(str(half), str(root)))
    for path in root.rglob("*"):
        os.utime(path)
    monkeypatch.setattr(inputs, "digest", lambda file: read.append(file) or digest(file))
    PhonemeCTCTask.main(cmd=options(root))
    assert_same_weights(whole, root / "pretrain", EPOCHS, EPOCHS)
    assert len(read) == len(set(read)) > 4
    read.clear()
    PhonemeCTCTask.main(cmd=options(root, max_epoch=3))
    assert not read and (root / "pretrain/3epoch.pth").exists()


digest = inputs.digest


def test_the_record_travels(half, tmp_path):
    """Paths are relative to the training, so a copy that keeps the times of change is not read again."""
    rows = {row.name: row for row in inputs.input_log(half / "pretrain").read()}
    assert rows["--train_shape_file 1"].path == "../data/train/utt2num_frames"
    shutil.copytree(half, tmp_path / "copy", symlinks=True)
    file = tmp_path / "copy/data/train/utt2num_frames"
    row = rows["--train_shape_file 1"]
    assert inputs.describe(tmp_path / "copy/pretrain", row.name, file, row) is row


@pytest.mark.parametrize(
    "name", ["train/wav.scp", "train/phones", "train/utt2num_frames", "valid/phones", "feats_stats.npz"]
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_changed_input_is_refused(command, half, whole, options, name, ended, tmp_path):
    """In an unfinished training, whose weights would be others, and in a finished one. Restored, it goes on."""
    root = tmp_path / "exp"
    shutil.copytree(whole.parent if ended else half, root, symlinks=True)
    file = root / "data" / name
    content = file.read_bytes()
    file.write_bytes(content.rstrip(b"\n").rpartition(b"\n")[0])
    assert_refused(command(phoneme_ctc_train, *options(root)), f"was trained with another content of {file}", "restore")
    file.unlink()
    assert_refused(command(phoneme_ctc_train, *options(root)), f"was trained with {file}", "no longer there", "restore")
    file.write_bytes(content)
    assert command(phoneme_ctc_train, *options(root, max_epoch=2)).code == 0


@pytest.mark.parametrize("name", ["llm.pth", "tokenizer.json", "chat_template.jinja", "config.json"])
def test_a_changed_llm_is_refused(command, forked, llm_options, tiny_llm, name, tmp_path):
    """The LLM may lie elsewhere; with other content it is refused, also when a file of it is gone."""
    llm = tmp_path / "llm"
    shutil.copytree(tiny_llm, llm)

    def options(folder):
        files = dict(llm_config=f"{folder}/config.json", llm_tokenizer=f"{folder}/tokenizer.json")
        conf = dict(**files, init_param=[f"{folder}/llm.pth::llm"], max_epoch=1)
        return [*llm_options(tmp_path / "out", **conf), "--resume", "true"]

    assert forked(lambda: LLMASRTask.main(cmd=options(tiny_llm))) == 0
    (tmp_path / "out/finished").unlink()  # as after a kill before it
    content = (llm / name).read_bytes()
    (llm / name).write_bytes(content + b" ")
    assert_refused(command(llm_asr_train, *options(llm)), f"was trained with another content of {llm / name}")
    (llm / name).unlink()
    assert_refused(
        command(llm_asr_train, *options(llm)), name if name in ("config.json", "tokenizer.json") else "no longer there"
    )
    (llm / name).write_bytes(content)
    assert command(llm_asr_train, *options(llm)).code == 0


def test_an_encoder_that_was_swapped_in_is_an_input(command, forked, llm_options, build_model, tmp_path):
    """It is noted at the swap; before the end of the training it may be removed, but not be another one."""
    store = EncoderStore(tmp_path / "store")
    store.publish(10, build_model(LLMASRTask, llm_options(tmp_path / "x"))[0].encoder.state_dict())
    conf = dict(freeze_param=["encoder"], encoder_dir=str(store.directory), resume=True)
    assert forked(lambda: LLMASRTask.main(cmd=llm_options(tmp_path / "out", **conf, max_epoch=1))) == 0
    (tmp_path / "out/finished").unlink()  # as after a kill before it
    assert "encoder_dir/encoder.000000010.pth" in [row.name for row in inputs.input_log(tmp_path / "out").read()]
    state = store.load(10)
    store.path(10).unlink()
    store.publish(10, {name: value + 1 for name, value in state.items()})
    done = command(llm_asr_train, *llm_options(tmp_path / "out", **conf, max_epoch=2))
    assert_refused(done, "was trained with another content of", "encoder.000000010.pth")
    store.path(10).unlink()
    done = command(llm_asr_train, *llm_options(tmp_path / "out", **conf, max_epoch=2))
    assert done.code == 0, done.err


def test_the_folder_that_all_audio_shares_does_not_count(tmp_path):
    tables = {}
    for name, rows in {
        "here": "a /here/x/1.wav\nb /here/y.tar:512\n",
        "there": "a /mnt/there/x/1.wav\nb /mnt/there/y.tar:512\n",
        "swapped": "b /here/x/1.wav\na /here/y.tar:512\n",
        "other": "a /here/x/2.wav\nb /here/y.tar:512\n",
    }.items():
        (tmp_path / name).write_text(rows)
        tables[name] = inputs.audio_digest(tmp_path / name)
    assert tables["here"] == tables["there"] and len(set(tables.values())) == 3


# ---- config.yaml ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_kill_while_espnet_writes_config_yaml(half, whole, options, forked, share, assert_same_weights, tmp_path):
    root = tmp_path / "exp"
    shutil.copytree(half, root, symlinks=True)
    before = (root / "pretrain/config.yaml").read_bytes()

    def dies(content, stream, **form):
        text = yaml.safe_dump(content)
        stream.write(text[: int(share * len(text))])
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def killed():
        abs_task.yaml_no_alias_safe_dump = dies
        PhonemeCTCTask.main(cmd=options(root))

    assert forked(killed) == signal.SIGKILL
    assert (root / "pretrain/config.yaml").read_bytes() == before
    assert forked(lambda: PhonemeCTCTask.main(cmd=options(root))) == 0
    assert_same_weights(whole, root / "pretrain", EPOCHS, EPOCHS)
    assert not (root / "pretrain/.starting").exists()


def test_config_yaml_is_espnets_and_names_the_folder(whole):
    text = (whole / "config.yaml").read_text()
    options = checkpoints.read_config(whole / "config.yaml")
    assert options["output_dir"] == str(whole) and list(options)[-1] == "distributed"
    assert text == abs_task.yaml_no_alias_safe_dump(options, indent=4, sort_keys=False)


@pytest.mark.parametrize("content", ["", "null", "[]", "3", "a: [", "just: a mapping", b"\xff\xfe", "a" * 10])
def test_a_damaged_config_yaml_is_one_line(command, half, options, content, tmp_path):
    root = tmp_path / "exp"
    shutil.copytree(half, root, symlinks=True)
    config = root / "pretrain/config.yaml"
    config.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = (f"{config} is damaged", "restore it, or remove it")
    assert_refused(command(phoneme_ctc_train, *options(root)), *line)
    files = ["--ctc_train_config", config, "--ctc_model_file", root / "pretrain/1epoch.pth"]
    done = command(phoneme_ctc_inference, *files, "--data_dir", root / "data/valid", "--output_dir", tmp_path / "out")
    assert_refused(done, *line)
    watched = ["--pretrain_dir", root / "pretrain", "--data_dir", root / "data/valid", "--encoder_dir", tmp_path / "e"]
    assert_refused(command(watch, *watched), *line)


# ---- the lock ------------------------------------------------------------------------------------------------------


@pytest.fixture
def holder():
    """(folder) -> the id of another process that holds its lock until the end of the test."""
    started = []

    def start(folder):
        code = (
            "import sys, time, pathlib, espnet_llmasr.processes as p\nwith p.only_one(pathlib.Path(sys.argv[1]), 'x'):"
        )
        code += "\n print(1, flush=True); time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "1\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_second_start_is_refused_with_the_holder(command, holder, half, options, corpus, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "LOCK_WAIT_S", 0.1)
    root = tmp_path / "exp"
    shutil.copytree(half, root, symlinks=True)
    before = {path: path.read_bytes() for path in (root / "pretrain").iterdir() if path.name != "lock"}
    process = holder(root / "pretrain")
    who = f"process {process.pid} on {socket.gethostname()} since "
    done = command(phoneme_ctc_train, *options(root))
    assert_refused(done, f"a training runs in {root}/pretrain already", who, "wait for its end, or stop it")
    assert before == {path: path.read_bytes() for path in before}
    process = holder(tmp_path / "e")
    watched = ["--pretrain_dir", root / "pretrain", "--data_dir", root / "data/valid", "--encoder_dir", tmp_path / "e"]
    assert_refused(command(watch, *watched), f"a watcher runs in {tmp_path}/e already", f"process {process.pid} on ")


def test_a_killed_holder_is_waited_for_a_moment(holder, tmp_path):
    """A new start may follow a kill at once; the kernel gives the lock free when the old process is gone."""
    process = holder(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    with only_one(tmp_path, "training"):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()
    assert (tmp_path / "lock").read_text() == ""


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path.with_name("precious"), path)])
def test_what_is_no_file_is_not_taken_for_the_lock(make, tmp_path):
    """What a link names would be emptied."""
    (tmp_path / "precious").write_text("kept")
    make(tmp_path / "lock")
    with (
        pytest.raises(ValueError, match="lock is a link, a folder, a pipe or a device"),
        only_one(tmp_path, "training"),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_process_that_loads_data_does_not_keep_the_lock(tmp_path):
    """It may live on for some seconds after its parent has been killed."""
    reading, writing = os.pipe()
    with only_one(tmp_path, "training"):
        child = os.fork()
        if child == 0:
            os.write(writing, b"1")
            time.sleep(60)
            os._exit(0)
        os.read(reading, 1)
    with open(tmp_path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_file_system_without_locks_is_one_warning(monkeypatch, caplog, tmp_path):
    def no_locks(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with only_one(tmp_path, "training"):
        pass
    message = f"no lock can be had in {tmp_path} (No locks available): see to it that no second training is started"
    assert [message in text for text in caplog.messages] == [True]


# ---- files and options from elsewhere ------------------------------------------------------------------------------


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_foreign_checkpoint_runs_no_code(command, half, options, tmp_path):
    root = tmp_path / "exp"
    shutil.copytree(half, root, symlinks=True)
    states = torch.load(half / "pretrain/checkpoint.pth", weights_only=False)
    torch.save({**states, "reporter": Evil(tmp_path / "ran")}, root / "pretrain/checkpoint.pth")
    assert_refused(command(phoneme_ctc_train, *options(root)), "checkpoint.pth is broken or is no training's")
    (root / "pretrain/checkpoint.pth").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    assert_refused(command(phoneme_ctc_train, *options(root)), "checkpoint.pth is broken", "remove it to train from")
    (root / "pretrain/checkpoint.pth").unlink()
    assert command(phoneme_ctc_train, *options(root)).code == 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("option", ["ctc_head_conf", "optim_conf", "encoder_conf", "augment_conf", "model_conf"])
@pytest.mark.parametrize(
    "text",
    [
        "dropout_rate=!!python/object/apply:os.system ['touch {mark}']",
        "{{dropout_rate: !!python/object/apply:os.system ['touch {mark}']}}",
        "{{1: __import__('os').system('touch {mark}')}}",
        "__import__('os').system('touch {mark}')",
        "{{'a': __import__('os').system('touch {mark}')}}",
        "{{'lr': 2026-11-28, 'x': \"!!python/object/apply:os.system ['touch {mark}']\"}}",
    ],
)
def test_an_option_runs_no_code(command, phone_options, option, text, tmp_path):
    mark = tmp_path / "ran"
    done = command(phoneme_ctc_train, *phone_options(tmp_path / "out"), f"--{option}", text.format(mark=mark))
    assert_refused(done)
    assert not mark.exists()


def test_plain_options_are_read_as_before():
    for texts, value in (
        (["lr=1e-3", "betas=[0.9, 0.98]"], {"lr": "1e-3", "betas": [0.9, 0.98]}),
        (["{'lr': 0.001, 'a': None}"], {"lr": 0.001, "a": None}),
        (["{lr: 0.001, a: {b: x}}"], {"lr": 0.001, "a": {"b": "x"}}),
        (["a.b=3", "a.c=null"], {"a": {"b": 3, "c": None}}),
        (["lr="], {"lr": ""}),
    ):
        words = [word for text in texts for word in ("--optim_conf", text)]
        assert PhonemeCTCTask.get_parser().parse_args(words).optim_conf == value
