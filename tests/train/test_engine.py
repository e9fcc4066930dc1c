"""Learning-rate factors, optimizer states for other numbers of ranks, and the configuration of DeepSpeed."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from espnet_llmasr.train.engine import build_engine, read_config, scaled_rates, set_factors
from espnet_llmasr.train.optimizer_state import check_parameters, parameters_of, shard_of, whole_state


@pytest.fixture()
def model():
    torch.manual_seed(0)
    parts = {name: nn.Linear(3, size) for name, size in (("encoder", 2), ("adaptor", 4), ("llm", 5))}
    parts["encoder"].requires_grad_(False)
    return nn.ModuleDict(parts)


def adam(model, factors):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    set_factors(optimizer, model, factors)
    return optimizer


def step(model, optimizer):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    with scaled_rates(optimizer):
        optimizer.step()


def test_factors_multiply_the_rate_of_the_schedule(model):
    """Adam's first updates move a weight by its rate. The longest prefix counts, and outside a step the factor is off."""
    optimizer = adam(model, {"adaptor": 10.0, "llm": 0.5, "llm.bias": 2.0})
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda number: 0.0)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for rate in (1e-3, 2e-3):
        schedule.step()
        for group in optimizer.param_groups:
            group["lr"] = rate
        step(model, optimizer)
        assert {group["lr"] for group in optimizer.param_groups} == {rate}
    moved = {name: (start[name] - parameter).mean().item() for name, parameter in model.named_parameters()}
    expected = dict.fromkeys(("encoder.weight", "encoder.bias"), 0.0)
    expected |= {"adaptor.weight": 0.03, "adaptor.bias": 0.03, "llm.weight": 0.0015, "llm.bias": 0.006}
    assert moved == pytest.approx(expected, rel=1e-4)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4  # none of the frozen encoder


@pytest.mark.parametrize(
    "factors, message",
    [
        ({"adapter": 10.0}, "'adapter', which is no module of the model: it has encoder, adaptor, llm"),
        ({"encoder": 10.0}, "'encoder', which is frozen"),
        ({"adaptor": 1.0}, "of 'adaptor' is 1.0, allowed is a number above 0, and not 1"),
        ({"adaptor": 0}, "of 'adaptor' is 0, allowed"),
        ({"adaptor": "10 times"}, "of 'adaptor' is 10 times, allowed"),
    ],
)
def test_factors_that_are_refused(model, factors, message):
    with pytest.raises(ValueError, match=message):
        adam(model, factors)


def test_a_model_without_trained_parameters_is_refused(model):
    with pytest.raises(ValueError, match="leaves nothing to train"):
        adam(model.requires_grad_(False), {})


@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_state_is_dealt_out_to_ranks_and_joined_again(model, number):
    """Two groups of 16 and 20 numbers: the second one of two ranks begins within a weight, five ranks need padding."""
    optimizer = adam(model, {"adaptor": 10.0})
    for _ in range(3):
        step(model, optimizer)
    whole = optimizer.state_dict()
    parameters = parameters_of(optimizer, model)
    lengths = [-(-sum(shape.numel() for shape in group.values()) // number) for group in parameters]
    flat = SimpleNamespace(param_groups=[{"params": [torch.zeros(length)]} for length in lengths])
    parts = [shard_of(whole, parameters, rank, flat) for rank in range(number)]
    for rank, part in enumerate(parts):
        for index, length in enumerate(lengths):
            own = torch.cat([optimizer.state[p]["exp_avg"].flatten() for p in optimizer.param_groups[index]["params"]])
            own = nn.functional.pad(own, (0, number * length - len(own)))[rank * length : (rank + 1) * length]
            assert part["state"][index]["exp_avg"].equal(own) and part["state"][index]["step"] == 3
    joined = whole_state(parts, parameters)
    assert joined["param_groups"] == whole["param_groups"] and list(joined["state"]) == list(whole["state"])
    for index, state in whole["state"].items():
        assert all(joined["state"][index][name].equal(value) for name, value in state.items())
    optimizer.load_state_dict(joined)
    step(model, optimizer)
    assert {float(state["step"]) for state in optimizer.state.values()} == {4.0}  # each counts for itself


def other_parameters(model):
    """{case: (optimizer's state, names noted with it or None)} of a model whose encoder is frozen."""
    every = torch.optim.Adam(model.parameters(), lr=0.1)
    step(model, every)
    other = nn.ModuleDict({name: nn.Linear(3, size) for name, size in (("adaptor", 5), ("llm", 4))})
    exchanged = adam(other, {})
    step(other, exchanged)
    plain, one_group = adam(model, {}), adam(model, {"llm": 2.0})
    renamed = [{name.replace("llm", "decoder"): shape for name, shape in parameters_of(plain, model)[0].items()}]
    return {
        "all parameters, without names": (every.state_dict(), None),
        "all parameters": (every.state_dict(), parameters_of(every, model)),
        "other shapes, without names": (exchanged.state_dict(), None),
        "other shapes": (exchanged.state_dict(), parameters_of(exchanged, other)),
        "other names": (plain.state_dict(), renamed),
        "other groups": (one_group.state_dict(), parameters_of(one_group, model)),
    }


@pytest.mark.parametrize(
    "case, message",
    [
        ("all parameters, without names", "6 of unknown names, expected 4 in 1 groups, such as adaptor.weight (4, 3)"),
        ("all parameters", "6 in 1 groups, such as encoder.weight (2, 3), expected 4 in 1 groups, such as adaptor."),
        ("other shapes, without names", "4 of unknown names, expected 4 in 1 groups"),
        ("other shapes", "adaptor.weight (5, 3), expected 4 in 1 groups, such as adaptor.weight (4, 3)"),
        ("other names", "such as decoder.weight (5, 3), expected 4 in 1 groups, such as llm.weight (5, 3)"),
        ("other groups", "4 in 2 groups, such as adaptor.weight (4, 3), expected 4 in 1 groups"),
    ],
)
def test_the_state_of_other_parameters_is_refused(model, case, message):
    state, saved = other_parameters(model)[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        check_parameters("checkpoint.pth", [state], saved, parameters_of(adam(model, {}), model))


def test_the_state_of_the_same_parameters_is_taken(model):
    """Also before the first update, and without names, as earlier versions saved it."""
    optimizer = adam(model, {"llm": 2.0})
    for _ in range(2):
        for saved in (None, parameters_of(optimizer, model)):
            check_parameters("checkpoint.pth", [optimizer.state_dict()], saved, parameters_of(optimizer, model))
        step(model, optimizer)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"zero_optimization": {"stage": 3}}, "zero_optimization.stage 3, allowed is 2"),
        ({"zero_optimization": None}, "stage None, allowed is 2"),
        ({"gradient_clipping": 1.0}, "has 'gradient_clipping', which the options of the training decide"),
        ({"bf16": {"enabled": True}}, "has 'bf16'"),
    ],
)
def test_configurations_of_deepspeed(tmp_path, change, message):
    ours = read_config(Path(__file__).parents[2] / "conf" / "ds_zero2.json")
    (tmp_path / "ds.json").write_text(json.dumps({**ours, **change}))
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "ds.json")


def test_deepspeed_that_is_missing_is_named(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "deepspeed", None)
    options = SimpleNamespace(deepspeed_config="conf/ds_zero2.json", ngpu=0, use_amp=False)
    with pytest.raises(ValueError, match=r"needs DeepSpeed .*pip install 'espnet_llmasr\[deepspeed\]'"):
        build_engine(model, adam(model, {}), options, SimpleNamespace(distributed=True))
