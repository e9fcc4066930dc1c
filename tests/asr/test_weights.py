"""Files of weights: equal ones, references to weights that are not trained, --init_param."""

import resource

import pytest
import torch
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from torch import nn

from espnet_llmasr.asr.weights import REFERENCE, initialize, read_state, reference_in, write_state, write_weights
from espnet_llmasr.files import digest


def model_of(seed):
    """A trained encoder between a frozen embedding and an output that is tied to it."""
    torch.manual_seed(seed)
    model = nn.ModuleDict({"llm": nn.Embedding(7, 4), "encoder": nn.BatchNorm1d(4), "out": nn.Linear(4, 7, bias=False)})
    model["out"].weight = model["llm"].weight
    model["llm"].requires_grad_(False)
    return model


def assert_equal(first, second):
    assert set(first) == set(second) and all(first[name].equal(second[name]) for name in first)


def test_frozen_weights_are_written_once_and_referred_to(tmp_path):
    model = model_of(0)
    assert write_weights(tmp_path / "1epoch.pth", model) == digest(tmp_path / "1epoch.pth")
    (frozen,) = (tmp_path / "frozen").iterdir()
    written = frozen.stat().st_mtime_ns
    model["encoder"].weight.data += 1
    write_weights(tmp_path / "2epoch.pth", model)
    assert frozen.stat().st_mtime_ns == written and reference_in(tmp_path / "2epoch.pth") == f"frozen/{frozen.name}"
    alone = torch.load(tmp_path / "2epoch.pth", weights_only=True)
    assert set(alone) == {name for name in model.state_dict() if name.startswith("encoder.")} | {REFERENCE}
    assert alone[REFERENCE]["sha256"] == digest(frozen)
    for lazy in (False, True):
        assert_equal(read_state(tmp_path / "2epoch.pth", lazy), model.state_dict())
    model["llm"].weight.data += 1  # as by a swap
    write_weights(tmp_path / "3epoch.pth", model)
    assert len(list((tmp_path / "frozen").iterdir())) == 2
    assert_equal(read_state(tmp_path / "3epoch.pth"), model.state_dict())
    (tmp_path / "latest.pth").symlink_to("3epoch.pth")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link.pth").symlink_to(tmp_path / "latest.pth")
    assert_equal(read_state(tmp_path / "elsewhere/link.pth"), model.state_dict())


def test_a_model_that_is_trained_as_a_whole_refers_to_nothing(tmp_path):
    write_weights(tmp_path / "1epoch.pth", nn.Linear(2, 2))
    assert reference_in(tmp_path / "1epoch.pth") is None and not (tmp_path / "frozen").exists()


def test_a_file_of_frozen_weights_that_is_gone_or_changed(tmp_path):
    write_weights(tmp_path / "1epoch.pth", model_of(0))
    (frozen,) = (tmp_path / "frozen").iterdir()
    content = frozen.read_bytes()
    write_state(frozen, {name: value + 1 for name, value in read_state(frozen).items()})
    with pytest.raises(
        ValueError, match=r"1epoch.pth needs the weights in .*frozen/\w+.pth, which has another content"
    ):
        read_state(tmp_path / "1epoch.pth")
    frozen.write_bytes(content)
    read_state(tmp_path / "1epoch.pth")
    frozen.unlink()
    with pytest.raises(ValueError, match=r"1epoch.pth needs the weights in .*frozen/\w+.pth, which is missing: "):
        read_state(tmp_path / "1epoch.pth", lazy=True)
    for wrong in ("x", {"file": "x"}, {"file": "x", "sha256": 3}):
        torch.save({REFERENCE: wrong}, tmp_path / "wrong.pth")
        with pytest.raises(ValueError, match="wrong.pth is damaged"):
            read_state(tmp_path / "wrong.pth")


def test_a_part_of_a_larger_storage_is_written_alone(tmp_path):
    flat = torch.arange(1000.0)
    parts = {"a": flat[:6].view(2, 3), "tied": flat[:6].view(2, 3), "b": flat[6:10]}
    write_state(tmp_path / "parts.pth", parts)
    assert (tmp_path / "parts.pth").stat().st_size < 3000
    state = read_state(tmp_path / "parts.pth")
    assert_equal(state, parts)
    assert state["a"].data_ptr() == state["tied"].data_ptr()
    copies = {"a": flat[:6].view(2, 3).clone(), "b": flat[6:10].clone()}
    copies = {"a": copies["a"], "tied": copies["a"], "b": copies["b"]}
    assert write_state(tmp_path / "copies.pth", copies) == digest(tmp_path / "parts.pth")


def test_a_full_disk_is_named_and_leaves_the_file_before(tmp_path):
    path, before = tmp_path / "w.pth", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_state(path, {"a": torch.ones(3)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=f"in {tmp_path} .* free.: make room and start again"):
            write_state(path, {"a": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(read_state(path)["a"]) == 3 and [file.name for file in tmp_path.iterdir()] == ["w.pth"]


@pytest.mark.parametrize("spec", ["", ":encoder:encoder", "::", ":encoder:encoder:encoder.bias", ":::llm,out"])
def test_init_param_is_espnets(spec, tmp_path):
    write_state(tmp_path / "w.pth", model_of(1).state_dict())
    ours, theirs = model_of(2), model_of(2)
    initialize(ours, f"{tmp_path}/w.pth{spec}")
    load_pretrained_model(f"{tmp_path}/w.pth{spec}", theirs, ignore_init_mismatch=False)
    assert_equal(ours.state_dict(), theirs.state_dict())


def test_init_param_with_references_and_mismatches(tmp_path):
    write_weights(tmp_path / "w.pth", model_of(1))
    model = model_of(2)
    initialize(model, f"{tmp_path}/w.pth:llm:llm")
    assert model["llm"].weight.equal(model_of(1)["llm"].weight)
    wide = nn.ModuleDict({"llm": nn.Embedding(8, 4), "encoder": nn.BatchNorm1d(4)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        initialize(wide, f"{tmp_path}/w.pth:llm:llm")
    before = wide["llm"].weight.clone()
    initialize(wide, f"{tmp_path}/w.pth", ignore_mismatch=True)
    assert wide["llm"].weight.equal(before)
