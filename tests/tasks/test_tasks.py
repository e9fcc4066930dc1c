"""The two tasks through their commands: trainings in this process, and mistakes that end in one clear line."""

import shutil
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from espnet2.train.distributed_utils import DistributedOption

from espnet_llmasr.asr.weights import read_state
from espnet_llmasr.bin import llm_asr_train, phoneme_ctc_train
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import swap_log
from espnet_llmasr.tasks import llm_asr
from espnet_llmasr.tasks.checks import share_batches
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.tasks.speech_task import read_token_list
from espnet_llmasr.train.batches import BucketBatches, read_num_frames


def test_shared_batches_are_divided_among_the_ranks():
    conf = dict(accum_grad=8, num_iters_per_epoch=2720, model_conf=dict(cr_warmup_batches=4000, cr_scale=0.2))
    alone, shared, odd = (SimpleNamespace(**deepcopy(conf), shared_batches=value) for value in (False, True, True))
    share_batches(alone, 4)
    assert (alone.accum_grad, alone.num_iters_per_epoch, alone.model_conf) == (8, 2720, conf["model_conf"])
    share_batches(shared, 4)
    assert (shared.accum_grad, shared.num_iters_per_epoch) == (2, 680)
    assert shared.model_conf == dict(cr_warmup_batches=1000, cr_scale=0.2)
    with pytest.raises(ValueError, match="accum_grad is 8 batches of all GPUs .* which 3 GPUs cannot share evenly"):
        share_batches(odd, 3)


def assert_one_line(done, *parts):
    """Exit code 1; after ESPnet's echo of the command line and its log, one line that holds `parts`."""
    assert done.code == 1, done.err
    last = done.err.strip().splitlines()[-1]
    assert "usage:" not in done.err and "Traceback" not in done.err
    assert all(part in last for part in parts), last


@pytest.fixture(scope="module")
def pretrained(phone_options, tmp_path_factory):
    """A tiny pretraining of two epochs."""
    out = tmp_path_factory.mktemp("pretrained") / "out"
    PhonemeCTCTask.main(cmd=phone_options(out))
    return out


def test_pretraining_and_loading(pretrained):
    model, args = PhonemeCTCTask.load(pretrained / "config.yaml", pretrained / "latest.pth")
    state = torch.load(pretrained / "2epoch.pth", weights_only=True)
    assert all(state[name].equal(value) for name, value in model.state_dict().items())
    assert not model.training and args.token_list[0] == "<blank>" and int(model.num_batches) == 4


def test_a_run_repeats_bit_for_bit(pretrained, phone_options, tmp_path):
    PhonemeCTCTask.main(cmd=phone_options(tmp_path / "again"))
    states = [torch.load(out / "2epoch.pth", weights_only=True) for out in (pretrained, tmp_path / "again")]
    assert all(states[0][name].equal(value) for name, value in states[1].items())


def test_accumulation_through_the_command(phone_options, tmp_path):
    PhonemeCTCTask.main(cmd=phone_options(tmp_path / "out", accum_grad=2, num_iters_per_epoch=3))
    assert (tmp_path / "out" / "finished").exists()


def test_head_refit(pretrained, phone_options, tmp_path):
    init = [f"{pretrained}/latest.pth"]
    PhonemeCTCTask.main(cmd=phone_options(tmp_path / "out", init_param=init, freeze_param=["encoder"]))
    states = [torch.load(out / "latest.pth", weights_only=True) for out in (pretrained, tmp_path / "out")]
    changed = {name.split(".")[0] for name, value in states[0].items() if not value.equal(states[1][name])}
    assert changed == {"ctc_head", "num_batches"}


def test_encoder_of_the_pretraining_by_init_param(pretrained, llm_options, tiny_llm, tmp_path):
    init = [f"{tiny_llm}/llm.pth::llm", f"{pretrained}/latest.pth:encoder:encoder"]
    out = tmp_path / "joint"
    LLMASRTask.main(cmd=llm_options(out, init_param=init, freeze_param=["encoder"], max_epoch=1))
    states = [torch.load(path, weights_only=True) for path in (pretrained / "latest.pth", out / "latest.pth")]
    names = [name for name in states[0] if name.startswith("encoder.")]
    assert len(names) > 20 and all(states[0][name].equal(states[1][name]) for name in names)


# ---- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [phoneme_ctc_train, llm_asr_train])
def test_wrong_options(command, phone_options, module, tmp_path):
    assert_one_line(command(module, "--bogus", "1"), "unrecognized arguments: --bogus")
    assert_one_line(command(module), "--output_dir")
    assert_one_line(command(module, "--output_dir", tmp_path, "--max_frames", "x"), "max_frames", "invalid int")
    assert_one_line(command(module, "--config", tmp_path / "none.yaml"), "none.yaml")
    (tmp_path / "bad.yaml").write_text("no_such_key: 1\n")
    assert_one_line(command(module, "--config", tmp_path / "bad.yaml"), "no_such_key")


def without(options, name):
    place = options.index(name)
    return options[:place] + options[place + 2 :]


def test_missing_tables(command, phone_options, tmp_path):
    options = phone_options(tmp_path / "out")
    assert_one_line(
        command(phoneme_ctc_train, *without(options, "--train_shape_file")), "--train_shape_file", "stage 2"
    )
    renamed = [option.replace(",phones,", ",text,") for option in options]
    assert_one_line(command(phoneme_ctc_train, *renamed), "phones")
    for token_list, message in ((None, "--token_list"), (str(tmp_path / "no.txt"), "no.txt")):
        done = command(phoneme_ctc_train, *phone_options(tmp_path / "out", token_list=token_list))
        assert_one_line(done, message)


@pytest.fixture()
def other_list(corpus, tmp_path):
    """A function that writes a changed token list."""

    def write(change):
        tokens = (corpus / "phones.txt").read_text().split("\n")[:-1]
        (tmp_path / "other.txt").write_text("".join(f"{token}\n" for token in change(tokens)))
        return str(tmp_path / "other.txt")

    return write


@pytest.mark.parametrize(
    "change", [lambda t: t[:3] + t[4:] + t[3:4], lambda t: t + ["ZH"], lambda t: t[:-1]], ids=["order", "more", "fewer"]
)
def test_a_phone_list_that_is_not_the_checkpoints(command, pretrained, phone_options, other_list, change, tmp_path):
    before = {path.name: path.read_bytes() for path in pretrained.iterdir() if path.is_file()}
    listed = other_list(change)
    init = [f"{pretrained}/latest.pth"]
    done = command(phoneme_ctc_train, *phone_options(tmp_path / "out", token_list=listed, init_param=init))
    assert_one_line(done, "is not the token list", "latest.pth")
    done = command(phoneme_ctc_train, *phone_options(pretrained, token_list=listed, resume=True, max_epoch=4))
    assert_one_line(done, "is not the token list", "checkpoint.pth")
    assert {path.name: path.read_bytes() for path in pretrained.iterdir() if path.is_file()} == before


def test_an_encoder_may_go_to_another_phone_list(pretrained, phone_options, other_list, tmp_path):
    init = [f"{pretrained}/latest.pth:encoder:encoder"]
    listed = other_list(lambda tokens: tokens + ["ZH"])
    PhonemeCTCTask.main(cmd=phone_options(tmp_path / "out", token_list=listed, init_param=init, max_epoch=1))


def test_phones_outside_the_list(command, phone_options, other_list, tmp_path):
    """Also out of a data-loading process."""
    listed = other_list(lambda tokens: tokens[:3])
    for workers in (0, 1):
        done = command(phoneme_ctc_train, *phone_options(tmp_path / "out", token_list=listed, num_workers=workers))
        assert_one_line(done, "phoneme_ctc_train: ", "is not among the 3 tokens of the model")


def test_token_lists(tmp_path):
    (tmp_path / "list").write_text("a\nb\n")
    with pytest.raises(ValueError, match="begins with"):
        read_token_list(str(tmp_path / "list"))
    assert read_token_list(["<blank>", "<unk>", "a"]) == ["<blank>", "<unk>", "a"]


def test_init_param_that_would_load_nothing(command, pretrained, llm_options, tmp_path):
    """ESPnet 202511's checkpoint.pth holds more than weights, 202611's none of that name at its top."""
    for spec, message in (
        (f"{pretrained}/checkpoint.pth:encoder:encoder", "<n>epoch.pth"),
        (f"{pretrained}/latest.pth:adaptor:adaptor", "has no weights 'adaptor.*'"),
        (f"{tmp_path}/none.pth::llm", "does not exist"),
    ):
        done = command(llm_asr_train, *llm_options(tmp_path / "out", init_param=[spec]))
        assert_one_line(done, "--init_param", message)


def test_a_checkpoint_of_another_size(command, pretrained, phone_options, llm_options, encoder_conf, tmp_path):
    wide = dict(encoder_conf=encoder_conf(output_size=32))
    spec = [f"{pretrained}/latest.pth:encoder:encoder"]
    done = command(llm_asr_train, *llm_options(tmp_path / "out", init_param=spec, **wide))
    assert_one_line(done, "a checkpoint of other sizes than the model", "size mismatch")
    out = tmp_path / "resumed"
    shutil.copytree(pretrained, out)
    done = command(phoneme_ctc_train, *phone_options(out, resume=True, max_epoch=3, **wide))
    assert_one_line(done, "was trained with encoder_conf=", "remove ")


def test_a_finished_training_is_not_made_shorter(command, pretrained, phone_options, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(pretrained, out, symlinks=True)
    done = command(phoneme_ctc_train, *phone_options(out, resume=True, max_epoch=1))
    assert_one_line(done, f"{out} was trained with --max_epoch 2, asked is 1: give at least as much")
    assert (out / "finished").read_text() == (pretrained / "finished").read_text()


@pytest.mark.parametrize(
    "table, content, message",
    [
        ("phones", "train_0 a1\n", "phones lacks 'train_"),
        ("wav.scp", "train_0 a.wav\n", "wav.scp lacks 'train_"),
        ("wav.scp", "", "wav.scp has no samples"),
        ("phones", "train_0 a1\ntrain_0 a1\n", "train_0 is duplicated"),
        ("phones", b"train_0 \xff\n", "phones is not UTF-8 text"),
        ("utt2num_frames", "train_0 -5\n", "utt2num_frames: 'train_0' has '-5', expected a number of frames"),
        ("utt2num_frames", "train_0\n", "utt2num_frames: 'train_0' has '', expected a number of frames"),
        ("finished", "{}", "finished has no max_epoch"),
    ],
)
def test_damaged_tables_of_a_training(command, corpus, phone_options, table, content, message, tmp_path):
    content = content if isinstance(content, bytes) else content.encode()
    if table == "finished":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / table).write_bytes(content)
        words = phone_options(tmp_path / "out", resume=True)
    else:
        shutil.copytree(corpus / "train", tmp_path / "train")
        (tmp_path / "train" / table).write_bytes(content)
        swap = f"{corpus}/train/", f"{tmp_path}/train/"
        words = [word.replace(*swap) for word in phone_options(tmp_path / "out")]
    assert_one_line(command(phoneme_ctc_train, *words), message)


def test_a_finished_training_is_not_relabelled(command, pretrained, phone_options, tmp_path):
    """With another option: refused, and configuration and weights stay as they were."""
    out = tmp_path / "out"
    shutil.copytree(pretrained, out, symlinks=True)
    files = {path: path.read_bytes() for path in (out / "config.yaml", out / "latest.pth")}
    done = command(phoneme_ctc_train, *phone_options(out, resume=True, seed=7))
    assert_one_line(done, "was trained with seed=", "asked is 7", "remove ")
    assert files == {path: path.read_bytes() for path in files}


def test_a_finished_training_knows_the_encoders_it_had(command, llm_options, build_model, encoder_conf, tmp_path):
    """Those of another pretraining in the same place, or none at all, are not taken for them."""
    store, out = EncoderStore(tmp_path / "store"), tmp_path / "out"
    options = dict(freeze_param=["encoder"], encoder_dir=str(store.directory), resume=True)
    store.publish(10, build_model(LLMASRTask, llm_options(tmp_path / "x"))[0].encoder.state_dict())
    store.publish_final(10)
    LLMASRTask.main(cmd=llm_options(out, **options))
    assert command(llm_asr_train, *llm_options(out, **options)).code == 0
    for path in (store.path(10), store.directory / "final"):
        content = path.read_bytes()
        path.write_bytes(content + b"0")
        done = command(llm_asr_train, *llm_options(out, **options))
        assert_one_line(done, "was trained with another content of", path.name, "remove ")
        path.write_bytes(content)
    assert command(llm_asr_train, *llm_options(out, **options)).code == 0
    store.path(10).unlink()
    assert_one_line(command(llm_asr_train, *llm_options(out, **options)), "which is no longer there", "remove ")


def test_budgets_accumulation_and_ranks_may_change(command, llm_options, caplog, tmp_path):
    """The log says so, and an epoch keeps its number of updates, which the schedules and the watcher count."""
    out = tmp_path / "out"
    conf = dict(max_epoch=1, accum_grad=2, num_iters_per_epoch=4, resume=True)
    LLMASRTask.main(cmd=llm_options(out, **conf))
    config = (out / "config.yaml").read_text()
    assert "num_ranks: 1\n" in config
    done = command(llm_asr_train, *llm_options(out, **{**conf, "max_frames": 300}))
    assert_one_line(done, "was trained with max_frames=500, asked is 300")  # it is finished
    conf["max_epoch"] = 2
    done = command(llm_asr_train, *llm_options(out, **{**conf, "accum_grad": 1}))
    assert_one_line(done, "was trained with 2 updates in an epoch, asked are 4", "give --num_iters_per_epoch 2")
    assert (out / "config.yaml").read_text() == config
    (out / "config.yaml").write_text(config.replace("num_ranks: 1\n", "num_ranks: 8\n"))
    other = dict(accum_grad=1, num_iters_per_epoch=2, max_frames=300, max_llm_tokens=100)
    LLMASRTask.main(cmd=llm_options(out, **{**conf, **other}))
    (line,) = [text for text in caplog.messages if "the next epoch begins with new batches" in text]
    changes = "max_frames=300 instead of 500, max_llm_tokens=100 instead of None, accum_grad=1 instead of 2, "
    assert line.startswith(f"{changes}num_iters_per_epoch=2 instead of 4, num_ranks=1 instead of 8: ")
    assert line.endswith("An epoch has as many updates as before")
    assert (out / "2epoch.pth").exists()


def test_shared_batches_may_be_shared_among_other_ranks(command, phone_options, tmp_path):
    """Saved by four ranks, gone on with by one: the options are those that were given, and the warm-up of CR goes on."""
    out = tmp_path / "out"
    conf = dict(max_epoch=1, accum_grad=4, num_iters_per_epoch=8, shared_batches=True, resume=True)
    conf["model_conf"] = dict(cr_warmup_batches=80)
    PhonemeCTCTask.main(cmd=phone_options(out, **conf))
    config = (out / "config.yaml").read_text()
    for now, before in (("num_ranks: 1\n", "num_ranks: 4\n"), ("accum_grad: 4\n", "accum_grad: 1\n"),
                        ("num_iters_per_epoch: 8\n", "num_iters_per_epoch: 2\n"),
                        ("cr_warmup_batches: 80\n", "cr_warmup_batches: 20\n")):  # fmt: skip
        assert now in config
        config = config.replace(now, before)
    (out / "config.yaml").write_text(config)
    state = torch.load(out / "checkpoint.pth", weights_only=False)
    torch.save({**state, "num_ranks": 4}, out / "checkpoint.pth")
    PhonemeCTCTask.main(cmd=phone_options(out, **conf))  # it is finished
    done = command(phoneme_ctc_train, *phone_options(out, **{**conf, "model_conf": dict(cr_warmup_batches=40)}))
    assert_one_line(done, "'cr_warmup_batches': 80", "'cr_warmup_batches': 40")
    PhonemeCTCTask.main(cmd=phone_options(out, **{**conf, "max_epoch": 2}))
    assert int(read_state(out / "2epoch.pth")["num_batches"]) == 8 * 4 + 8


def test_llm_tokens_are_those_that_the_model_reads(llm_options, build_model, load_batch, tmp_path):
    """P - 1 + L' + U of every utterance; a batch of the training keeps within the budget."""
    model, args = build_model(LLMASRTask, llm_options(tmp_path / "x", max_llm_tokens=100, num_iters_per_epoch=None))
    uids, batch = load_batch(LLMASRTask, args)
    _, speech_tokens = model.embed_speech(batch["speech"], batch["speech_lengths"])
    read = (batch["prompt_lengths"] - 1 + speech_tokens + batch["text_lengths"]).tolist()
    factory = LLMASRTask.build_iter_factory(args, DistributedOption(), "train")
    frames = read_num_frames(args.train_shape_file[0])
    lengths = LLMASRTask.label_lengths(args, factory.dataset.loader_dict["text"])
    assert LLMASRTask.llm_tokens(args, frames, lengths) == dict(zip(uids, read))
    batches = [uids for uids, _ in factory.build_iter(1)]
    assert sum(read) / 100 < len(batches) < 8 and sorted(sum(batches, [])) == sorted(uids)
    assert all(sum(read[uids.index(uid)] for uid in batch) <= 100 for batch in batches)


def test_loading_a_model_that_does_not_fit(pretrained, tmp_path):
    config = pretrained / "config.yaml"
    state = torch.load(pretrained / "latest.pth", weights_only=True)
    broken = tmp_path / "broken.pth"
    for change in ({"extra": torch.zeros(1)}, None):
        torch.save({**state, **change} if change else dict(list(state.items())[1:]), broken)
        with pytest.raises(ValueError, match="broken.pth does not fit"):
            PhonemeCTCTask.load(config, broken)
    for size in (0, 5000):
        broken.write_bytes((pretrained / "2epoch.pth").read_bytes()[:size])
        with pytest.raises(ValueError, match="broken.pth is broken or missing"):
            PhonemeCTCTask.load(config, broken)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "file, parts", [("nan", ["train_", "nan_samples: run the data stage (2)"]), ("none", ["none.wav"])]
)
def test_audio_that_cannot_be_used(command, corpus, phone_options, workers, file, parts, tmp_path):
    """One line that names the file, also out of a data-loading process."""
    soundfile.write(tmp_path / "nan.wav", np.full(20000, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    rows = (corpus / "train" / "wav.scp").read_text().splitlines()
    (tmp_path / "wav.scp").write_text("".join(f"{row.split()[0]} {tmp_path}/{file}.wav\n" for row in rows))
    options = phone_options(tmp_path / "out", num_workers=workers)
    options = [option.replace(f"{corpus}/train/wav.scp", f"{tmp_path}/wav.scp") for option in options]
    assert_one_line(command(phoneme_ctc_train, *options), "phoneme_ctc_train: ", *parts)


def test_a_budget_and_swaps_that_cannot_be(command, phone_options, llm_options, tmp_path):
    out, folder = tmp_path / "out", str(tmp_path)
    done = command(phoneme_ctc_train, *phone_options(out, max_frames=100))
    assert_one_line(done, "has 208 frames, the budget is max_frames=100")
    done = command(llm_asr_train, *llm_options(out, encoder_dir=folder, swap_schedule="none.jsonl"))
    assert_one_line(done, "--swap_schedule none.jsonl does not exist")
    assert_one_line(command(llm_asr_train, *llm_options(out, encoder_dir=folder)), "swaps need a frozen encoder")


# ---- two ranks -----------------------------------------------------------------------------------------------------


class JoinedBatches(BucketBatches):
    """What two ranks train on in one step, as one batch."""

    def __init__(self, *args, **ranks):
        super().__init__(*args, rank=0, world_size=2)

    def generate(self, seed):
        batches = self.of_all_ranks(seed)
        return [first + second for first, second in zip(batches[::2], batches[1::2])]


@pytest.mark.slow
def test_two_ranks_by_the_command(two_ranks, llm_options, build_model, encoder_conf, monkeypatch, tmp_path):
    """The launcher of clusters: a swap on both ranks, one log, the weights of one process with the same batches."""
    store, sizes = EncoderStore(tmp_path / "store"), dict(encoder_conf=encoder_conf(dropout_rate=0.0))
    encoder = build_model(LLMASRTask, llm_options(tmp_path / "x", **sizes))[0].encoder.state_dict()
    store.publish(10, encoder)
    store.publish_final(10)
    swaps = dict(freeze_param=["encoder"], encoder_dir=str(store.directory), swap="every_epoch", final_epochs=2)
    conf = dict(**sizes, **swaps, max_epoch=5, optim="sgd", optim_conf=dict(lr=0.1), max_llm_tokens=120)
    launch = ["--ngpu", "0", "--dist_backend", "gloo", "--multiprocessing_distributed", "false"]
    shared = {**conf, "shared_batches": True, "accum_grad": 2, "num_iters_per_epoch": 4}  # of both ranks: 1 and 2 each
    output = two_ranks("-m", "espnet_llmasr.bin.llm_asr_train", *llm_options(tmp_path / "two", **shared), *launch)
    monkeypatch.setattr(llm_asr, "BucketBatches", JoinedBatches)
    LLMASRTask.main(cmd=llm_options(tmp_path / "one", **conf))
    for name in ("one", "two"):
        swap = swap_log(tmp_path / name / "swaps.jsonl").read()
        assert [(s.epoch, s.encoder_step, s.final) for s in swap] == [(1, 10, True)]
        assert (tmp_path / name / "finished").exists() and not (tmp_path / name / "3epoch.pth").exists()
    one, two = (read_state(tmp_path / name / "2epoch.pth") for name in ("one", "two"))
    assert all(two[f"encoder.{name}"].equal(value) for name, value in encoder.items())
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-5)  # a wrong share: 1e-2
    assert output.count("encoder swapped: step 0 -> 10") == 1  # one rank speaks for all
