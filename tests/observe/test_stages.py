"""The stored encoders of an experiment in training order, with the updates of their stages."""

import json

import pytest
import torch
import yaml

from espnet_llmasr.observe.stages import checkpoints_of, parse_model_spec


def save(folder, *epochs, **config):
    folder.mkdir(parents=True)
    options = {"num_iters_per_epoch": 20, "accum_grad": 2, "init_param": [], "distributed": False, **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    for epoch in epochs:
        torch.save({"x": torch.ones(1)}, folder / f"{epoch}epoch.pth")
    (folder / "latest.pth").symlink_to(f"{epochs[-1]}epoch.pth")


@pytest.fixture()
def exp(tmp_path):
    root, store = tmp_path / "exp", tmp_path / "exp" / "encoders"
    save(root / "pretrain", 3, 8)
    store.mkdir()
    for name in ("reference", "encoder.000000050", "encoder.000000080"):
        torch.save({"x": torch.ones(1)}, store / f"{name}.pth")
    checks = [dict(step=20, reference_step=0, cka=None, action="reference")]
    checks += [dict(step=30, reference_step=20, cka=0.99, action="keep")]
    (store / "cka.jsonl").write_text("".join(json.dumps(check) + "\n" for check in checks))
    save(root / "align", 1)
    for stage, start, epochs in (("ia_sft", "align", [6]), ("joint_sft", "ia_sft", [1, 2])):
        save(root / stage, *epochs, init_param=[f"exp/{start}/latest.pth", "exp/llm/llm.pth::llm"])
    swap = dict(epoch=4, encoder_step=80, previous_step=50, final=True)
    (root / "ia_sft" / "swaps.jsonl").write_text(json.dumps(swap) + "\n")
    return root


def test_training_order_and_steps(exp):
    found = [(c.name, c.spec.removeprefix(f"{exp}/")) for c in checkpoints_of(exp)]
    assert found == [
        ("pretrain.20", "encoders/reference.pth"),
        ("pretrain.30", "pretrain/3epoch.pth"),
        ("pretrain.50", "encoders/encoder.000000050.pth"),
        ("pretrain.80", "encoders/encoder.000000080.pth"),
        ("ia_sft.0", "align/latest.pth"),
        ("ia_sft.30", "encoders/encoder.000000080.pth"),
        ("ia_sft.60", "ia_sft/6epoch.pth"),
        ("joint_sft.0", "ia_sft/latest.pth"),
        ("joint_sft.10", "joint_sft/1epoch.pth"),
        ("joint_sft.20", "joint_sft/2epoch.pth"),
    ]


def test_the_store_of_the_configuration_may_be_another_experiments(exp, caplog):
    """As of a repeated experiment with --encoder_dir: docs/training_at_scale.md."""
    expected = checkpoints_of(exp)
    (exp / "encoders").rename(exp.parent / "published")
    config = exp / "ia_sft" / "config.yaml"
    config.write_text(f"{config.read_text()}encoder_dir: published\n")
    moved = [c.spec.replace(f"{exp.parent}/published", f"{exp}/encoders") for c in checkpoints_of(exp)]
    assert moved == [c.spec for c in expected]
    (exp.parent / "published" / "encoder.000000080.pth").unlink()
    assert "ia_sft.30" not in [c.name for c in checkpoints_of(exp)]
    assert "encoder.000000080.pth, swapped in by" in caplog.text and "is gone: skipped" in caplog.text


def test_an_experiment_that_was_moved_keeps_its_own_encoders(exp):
    config = exp / "ia_sft" / "config.yaml"
    config.write_text(f"{config.read_text()}encoder_dir: exp/encoders\n")
    names = [c.name for c in checkpoints_of(exp)]
    moved = exp.rename(exp.parent / "exp_first")
    (exp / "encoders").mkdir(parents=True)  # of a new experiment of that name
    assert [c.name for c in checkpoints_of(moved)] == names


def test_epochs_without_a_fixed_length_have_the_updates_that_were_counted(exp):
    config = exp / "joint_sft" / "config.yaml"
    config.write_text(config.read_text().replace("num_iters_per_epoch: 20", "num_iters_per_epoch: null\nnum_ranks: 2"))
    with pytest.raises(ValueError, match="joint_sft/flops.jsonl does not exist"):
        checkpoints_of(exp)
    lines = [dict(epoch=epoch, flops=1, batches=batches) for epoch, batches in ((1, 24), (2, 26))]
    (exp / "joint_sft" / "flops.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    steps = [c.step for c in checkpoints_of(exp) if c.stage == "joint_sft"]
    assert steps == [0, 6, 6 + 7]  # two ranks, two batches of each in an update


def test_a_broken_checkpoint_is_left_out(exp, caplog, tmp_path):
    (exp / "joint_sft" / "2epoch.pth").write_bytes(b"torn")
    assert checkpoints_of(exp)[-1].name == "joint_sft.10"
    assert "joint_sft/2epoch.pth is not a whole checkpoint: skipped" in caplog.text
    with pytest.raises(ValueError, match="has no checkpoints in pretrain, ia_sft, joint_sft"):
        checkpoints_of(tmp_path)


def test_named_models(exp):
    assert (parse_model_spec("w=/models/x").stage, parse_model_spec("w=/models/x").spec) == ("x", "/models/x")
    assert parse_model_spec(f"a={exp}/joint_sft:1epoch.pth").stage == "joint_sft"
    assert parse_model_spec(f"a={exp}/joint_sft/1epoch.pth").stage == "joint_sft"
    for wrong in ("x", "=x", "x="):
        with pytest.raises(ValueError, match="expected NAME=PATH"):
            parse_model_spec(wrong)
