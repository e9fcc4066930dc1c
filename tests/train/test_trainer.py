"""The exact step: accumulated micro-batches and ranks give the gradient of the one big batch (DESIGN decision 6)."""

from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import one_epoch
import pytest
import torch
from espnet2.schedulers.exponential_decay_warmup import ExponentialDecayWarmup
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.flops import flops, shape_of
from espnet_llmasr.asr.lora import add_lora
from espnet_llmasr.encoder_swap import trainer as swap
from espnet_llmasr.espnet_versions import load_checkpoint
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.flops_log import read_flops
from espnet_llmasr.train.trainer import groups_of, placed


def train(model, batches, options, *more):
    """Gradients, loss and learning rate of one epoch of a copy of the model."""
    return one_epoch.train_one_epoch(deepcopy(model), batches, options, one_epoch.ALONE, *more)


SPLITS = ((0, 1, 2, 3, 4), (5,), (6,), (7,))  # uneven in utterances and in tokens


@pytest.fixture(scope="module")
def no_dropout(encoder_conf, llm_options, phone_options, build_model, load_batch, tmp_path_factory):
    """{name: (model, the whole batch, the split batches)} for both models, without anything random.

    In double precision (features and logits stay single): two orders of summing single-precision gradients differ by
    more than 1e-6 of the largest one on some CPUs.
    """
    out = tmp_path_factory.mktemp("exact")
    conf = dict(encoder_conf=encoder_conf(dropout_rate=0.0))
    plain = dict(cr_warmup_batches=0, time_warp_factor=0)
    phone = dict(ctc_head_conf=dict(dropout_rate=0.0), model_conf=plain, specaug=None)
    cases = {}
    for name, task, options in (
        ("llm", LLMASRTask, llm_options(out / "llm", **conf)),
        ("phone", PhonemeCTCTask, phone_options(out / "phone", **conf, **phone)),
    ):
        model, args = build_model(task, options)
        cases[name] = model.double(), load_batch(task, args), [load_batch(task, args, ids) for ids in SPLITS]
    return cases


@pytest.fixture(scope="module")
def big_batch(no_dropout, tmp_path_factory):
    """{name: gradients and loss of one update on all eight utterances}."""
    options = dict(accum_grad=1, output_dir=tmp_path_factory.mktemp("big"))
    return {name: train(model, [batch], options) for name, (model, batch, _) in no_dropout.items()}


def assert_same(result, expected):
    """Losses to 1e-6, gradients to 1e-6 of the largest one."""
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    gradients = expected["gradients"]
    assert set(result["gradients"]) == set(gradients)
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    assert largest > 0.1
    off = {name: float((result["gradients"][name] - gradient).abs().max()) for name, gradient in gradients.items()}
    assert max(off.values()) < 1e-6 * max(largest, 1.0), max(off, key=off.get)


@pytest.mark.parametrize("use_amp", [True, False])
@pytest.mark.parametrize("name", ["llm", "phone"])
def test_precision_of_forward_loss_and_parameters(no_dropout, name, use_amp, tmp_path):
    """--use_amp: the forward pass computes in bfloat16; loss and parameters stay in single precision."""
    (model, batch, _), seen, losses = deepcopy(no_dropout[name]), {}, []
    model.float()
    for part, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, inputs, output, part=part: seen.update({part: output.dtype}))
    model.register_forward_hook(lambda _, inputs, output: losses.append(output[0].dtype))
    options = dict(accum_grad=1, output_dir=tmp_path, use_amp=use_amp)
    result = one_epoch.train_one_epoch(model, [batch], options, one_epoch.ALONE)
    assert len(seen) > 5 and set(seen.values()) == {torch.bfloat16 if use_amp else torch.float32}
    assert losses == [torch.float32] and torch.isfinite(torch.tensor(result["loss"]))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert any(float(gradient.abs().max()) > 0.0 for gradient in result["gradients"].values())


@pytest.mark.parametrize("name", ["llm", "phone"])
def test_accumulated_micro_batches_equal_the_big_batch(no_dropout, big_batch, name, tmp_path):
    model, _, batches = no_dropout[name]
    options = dict(accum_grad=4, output_dir=tmp_path)
    assert_same(train(model, batches, options), big_batch[name])


def test_a_shorter_last_group_is_an_update_of_its_own(no_dropout, tmp_path):
    model, _, batches = no_dropout["llm"]
    options, copy = dict(accum_grad=2, output_dir=tmp_path), deepcopy(model)
    three = train(model, batches[1:], options)
    for part in (batches[1:3], batches[3:]):
        one_epoch.train_one_epoch(copy, part, options, one_epoch.ALONE)
    for (name, value), start in zip(copy.named_parameters(), model.parameters()):
        torch.testing.assert_close(three["gradients"][name], start.detach() - value.detach())


def test_a_gradient_that_is_not_finite_is_skipped_and_an_epoch_of_them_is_an_error(no_dropout, tmp_path):
    model, _, batches = no_dropout["phone"]
    broken = not_finite(batches[1])
    options = dict(accum_grad=1, output_dir=tmp_path)
    expected = train(model, batches[2:3], options)
    mixed = train(model, [broken, batches[2]], options)
    for name, gradient in expected["gradients"].items():
        assert gradient.equal(mixed["gradients"][name])
    with pytest.raises(ValueError, match="epoch 1: no update had a finite gradient"):
        train(model, [broken], options)


# warm-up to 0.001 in `warmup` updates, then down to 0.0001 exponentially; update k of the warm-up is followed by
# (k + 1) / warmup, because ESPnet counts from 0
@pytest.mark.parametrize(
    "total, warmup, lr",
    [
        (20, 8, 1e-3 * (3 + 1) / 8),
        (7, 1, 1e-3 * (1e-4 / 1e-3) ** (2 / 6)),  # 2 of the 6 updates after the warm-up
    ],
)
@pytest.mark.parametrize("broken", [False, True], ids=["all valid", "one skipped"])
def test_the_schedule_counts_updates_not_batches(no_dropout, tmp_path, total, warmup, lr, broken):
    """Six batches are three updates; one that is skipped (here a fourth) leaves the schedule where it is."""
    model, _, batches = no_dropout["phone"]
    batches = [*batches[1:], *batches[1:]]
    if broken:
        batches[2:2] = [not_finite(batches[0]), batches[1]]
    schedule = dict(max_lr=1e-3, min_lr=1e-4, total_steps=total, warmup_steps=warmup, warm_from_zero=True)
    options = dict(accum_grad=2, output_dir=tmp_path)
    scheduler_for = lambda optimizer: ExponentialDecayWarmup(optimizer, **schedule)
    result = train(model, batches, options, scheduler_for)
    assert result["lr"] == pytest.approx(lr)


def test_groups_of():
    assert list(groups_of(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(groups_of([], 2)) == []


# ---- two ranks, one start of two processes for all of it (two_ranks.py) ----------------------------------------------


@pytest.fixture(scope="module")
def zero2():
    """The configuration of DeepSpeed."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed (extra deepspeed)")
    return str(Path(__file__).parents[2] / "conf" / "ds_zero2.json")


@pytest.fixture(scope="module")
def encoders(no_dropout):
    """{step: random weights of the encoder}."""
    state = no_dropout["llm"][0].encoder.state_dict()
    return {step: {name: torch.rand_like(value) for name, value in state.items()} for step in (10, 30)}


@pytest.fixture(scope="module")
def swap_batches(llm_options, load_batch, tmp_path_factory):
    """Four micro-batches for each of two ranks, and those of both ranks in two updates of one process."""
    args = LLMASRTask.get_parser().parse_args(llm_options(tmp_path_factory.mktemp("swap") / "llm"))
    load = lambda *ids: load_batch(LLMASRTask, args, ids)
    return [[load(0, 1), load(2), load(3), load(4)], [load(5), load(6), load(7), load(0)]], [
        load(0, 1, 2, 3, 5, 6, 7),
        load(4, 0),
    ]


@pytest.fixture(scope="module")
def swap_models(no_dropout):
    """{name: a model that is trained with a swap}; LoRA has left its start, at which its first matrices do not learn."""
    with_lora = deepcopy(no_dropout["llm"][0])
    add_lora(with_lora.llm, rank=4, alpha=12)
    for name, parameter in with_lora.llm.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return {"swap": no_dropout["llm"][0], "swap with LoRA": with_lora}


@pytest.fixture(scope="module")
def ranks(no_dropout, swap_models, swap_batches, encoders, two_ranks, tmp_path_factory):
    """What both ranks have saved, and the directory."""
    out, jobs = tmp_path_factory.mktemp("ranks"), {}
    for name, (model, _, (first, second, third, fourth)) in no_dropout.items():
        jobs[name] = model, [[first], [collated(second, third, fourth)]], dict(accum_grad=1, output_dir=out)
        jobs[f"{name} accumulated"] = model, [[first, second], [third, fourth]], dict(accum_grad=2, output_dir=out)
    swap_options = dict(accum_grad=3, grad_clip=1.0, output_dir=out / "swap")
    torch.save((swap_models, swap_batches[0], swap_options, encoders[30]), out / "swap.pt")
    torch.save(encoders, out / "encoders.pt")
    torch.save(jobs, out / "models.pt")
    configs = [Path(__file__).parents[2] / "conf" / "ds_zero2.json"] if find_spec("deepspeed") else []
    two_ranks(Path(__file__).with_name("two_ranks.py"), out, *configs)
    return [torch.load(out / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)], out


@pytest.fixture(scope="module")
def one_process(swap_models, swap_batches, encoders, tmp_path_factory):
    """{name: weights after a training with a swap} in one process, on the batches of both ranks."""
    options = dict(accum_grad=1, grad_clip=1.0, output_dir=tmp_path_factory.mktemp("one"))
    train = lambda model: one_epoch.train_with_swap(model, swap_batches[1], options, one_epoch.ALONE, encoders[30])
    return {name: train(model) for name, model in swap_models.items()}


def check_engine(ranks, config, big_batch, one_process):
    """Both ranks, with --deepspeed_config `config`, make the updates of one process."""
    for results in (rank[config] for rank in ranks):
        for name in ("llm", "phone", "llm accumulated", "phone accumulated"):
            assert_same(results[name], big_batch[name.split()[0]])
        for name, (whole, *resumed) in {name: results[name] for name in one_process}.items():
            assert largest_difference(whole, one_process[name]) < 1e-6
            for engine, weights in resumed:
                assert largest_difference(weights, one_process[name]) < 1e-6
                assert engine != config or all(value.equal(whole[key]) for key, value in weights.items())
        assert results["weight"] == pytest.approx(0.9, abs=1e-4)


def largest_difference(first, second):
    assert set(first) == set(second)
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


def test_one_process_moves_frozen_parts_by_the_swap_only(swap_models, one_process, encoders):
    for kind, model in swap_models.items():
        start, end = dict(model.named_parameters()), one_process[kind]
        assert all(end[f"encoder.{name}"].equal(value) for name, value in encoders[30].items())
        moved = {name for name, value in start.items() if not value.equal(end[name])}
        assert {name.split(".")[0] for name in moved} == {"encoder", "adaptor", "llm"}
        if kind == "swap with LoRA":
            assert {name for name in start if name.startswith("llm.") and ".lora_" in name} == {
                name for name in moved if name.startswith("llm.")
            }


@pytest.mark.slow
def test_ddp_equals_one_process(ranks, big_batch, one_process):
    """Gradients of the global batch to 1e-6; weights after accumulation by 3 with a remainder, a swap, frozen parts, LoRA."""
    check_engine(ranks[0], None, big_batch, one_process)


@pytest.mark.slow
def test_zero2_equals_one_process(zero2, ranks, big_batch, one_process):
    """The same under DeepSpeed's ZeRO-2; a training goes on from its state and from that of DDP."""
    check_engine(ranks[0], zero2, big_batch, one_process)


@pytest.mark.slow
def test_two_ranks_swap_together_and_count_flops(no_dropout, ranks, encoders):
    for results in ranks[0]:
        assert int(results["swaps"]["swap_step"]) == 30
        assert all(results["swaps"][f"encoder.{name}"].equal(value) for name, value in encoders[30].items())
    (line,) = read_flops(ranks[1])  # of the job that came last
    model, _, batches = no_dropout["phone"]
    shapes = [shape_of(model, model.frontend.frame_lengths(b["speech_lengths"]), **b) for _, b in batches]
    assert line == dict(epoch=1, flops=sum(flops(model, shape) for shape in shapes), batches=4)
    log = swap.swap_log(ranks[1] / "ia_sft" / "swaps.jsonl").read()
    assert [(s.epoch, s.encoder_step, s.previous_step) for s in log] == [(1, 10, 0), (3, 30, 10)]


def test_lengths_and_ids_stay_on_the_host():
    """As arrays, which DistributedDataParallel leaves where they are; audio goes to the accelerator as a tensor."""
    batch = dict(utt_id=["a"], speech=torch.ones(1, 3), speech_lengths=torch.tensor([3]), text=torch.tensor([[5, 6]]))
    found = placed(batch, "cpu")
    assert found["utt_id"] == ["a"] and found["speech"].equal(batch["speech"])
    assert all(isinstance(found[name], np.ndarray) for name in ("speech_lengths", "text"))
    assert found["speech_lengths"].tolist() == [3] and found["text"].tolist() == [[5, 6]]


@pytest.mark.slow
def test_a_training_under_zero2_is_read_and_resumed_by_one_process(zero2, llm_options, two_ranks, tmp_path):
    options = llm_options(tmp_path / "exp", max_epoch=1, freeze_param=["encoder"], lr_factor={"adaptor": 10.0})
    two_ranks(Path(__file__).with_name("task_on_ranks.py"), *options, "--deepspeed_config", zero2)
    assert (tmp_path / "exp" / "checkpoint.1.rank1of2.pth").is_file()
    start = LLMASRTask.load(tmp_path / "exp" / "config.yaml", tmp_path / "exp" / "1epoch.pth")[0]
    LLMASRTask.main(cmd=[*options, "--max_epoch=2", "--resume=true"])
    state = load_checkpoint(tmp_path / "exp" / "checkpoint.pth")["optimizers"][0]
    assert {float(values["step"]) for values in state["state"].values()} == {4.0}  # two updates in each epoch
    assert {group["lr_factor"] for group in state["param_groups"]} == {1.0, 10.0}
    end = LLMASRTask.load(tmp_path / "exp" / "config.yaml", tmp_path / "exp" / "2epoch.pth")[0]
    assert max(float((a - b).abs().max()) for a, b in zip(start.llm.parameters(), end.llm.parameters())) > 1e-5
    assert not list((tmp_path / "exp").glob("checkpoint.*.rank*"))


def test_a_weight_of_one_moves_in_bfloat16():
    assert one_epoch.train_a_weight({}, one_epoch.ALONE) == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("name, lengths", [("llm", "text_lengths"), ("phone", "phones_lengths")])
def test_targets_are_counted_before_the_forward_pass(no_dropout, name, lengths):
    model, (_, batch), _ = no_dropout[name]
    assert model.num_targets(**batch) == int(batch[lengths].sum()) == int(model(**batch)[2])


def not_finite(batch):
    """A copy whose gradient is not finite."""
    uids, data = batch
    return uids, {**data, "speech": torch.full_like(data["speech"], float("nan"))}


def collated(*batches):
    """Single utterances as one batch."""
    out = {}
    for name in batches[0][1]:
        rows = [batch[1][name][0] for batch in batches]
        out[name] = torch.stack(rows) if rows[0].dim() == 0 else pad_sequence(rows, True)
    return [batch[0][0] for batch in batches], out
