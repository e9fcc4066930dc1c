"""Gradient checkpointing and compiled blocks: the same loss, gradients, weights, statistics and names."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from espnet_llmasr.asr.blocks import check_compiler, checkpoint_gradients, compile_blocks
from espnet_llmasr.asr.encoders import encoder_class
from espnet_llmasr.asr.weights import read_state
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

compile_ = torch.compile
SIZES = dict(output_size=16, num_blocks=2, attention_heads=2, dropout_rate=0.3)
CGMLP = dict(cgmlp_linear_units=32)
CONFS = {
    "firered_conformer": dict(kernel_size=5),
    "conformer": dict(cnn_module_kernel=5, rel_pos_type="latest"),
    "transformer": {},
    "branchformer": dict(CGMLP, cgmlp_conv_kernel=5),
    "e_branchformer": dict(CGMLP, cgmlp_conv_kernel=5),
    "multiconv_conformer": dict(CGMLP, multicgmlp_kernel_sizes="3,5", rel_pos_type="latest"),
}


def build(name="firered_conformer", **changes):
    torch.manual_seed(0)
    return encoder_class(name)(input_size=20, **{**SIZES, **CONFS[name], **changes})


class KeptBytes:
    """Bytes that a graph keeps for its backward pass, without the weights of the model."""

    def __init__(self, model):
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def __enter__(self):
        self.sizes = {}
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.keep, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def keep(self, tensor):
        if tensor.untyped_storage().data_ptr() not in self.weights:
            self.sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def __exit__(self, *error):
        self.hooks.__exit__(*error)
        self.total = sum(self.sizes.values())


def step(model, batch):
    """Loss, gradients and buffers of two training steps (the second sees what the first left), and kept bytes."""
    torch.manual_seed(0)
    for _ in range(2):
        with KeptBytes(model) as kept:
            output = model(**batch)
            loss = output[0].square().mean() if output[0].dim() else output[0]
        loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return loss.detach(), gradients, dict(model.named_buffers()), kept.total


def assert_same(plain, other, tolerance=1e-6):
    for one, two in zip(plain[:3], other[:3]):
        torch.testing.assert_close(two, one, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", CONFS)
def test_a_checkpointed_encoder_learns_the_same(name):
    model = SimpleModel(build(name)).train()
    batch = dict(xs_pad=torch.randn(3, 93, 20), ilens=torch.tensor([93, 61, 8]))
    names = list(model.state_dict())
    other = copy.deepcopy(model)
    checkpoint_gradients(other, ["encoder"])
    plain, less = step(model, batch), step(other, batch)
    assert_same(plain, less)
    assert any(gradient.any() for gradient in plain[1].values()) and less[3] < 0.5 * plain[3]
    assert list(other.state_dict()) == names


class SimpleModel(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, **batch):
        return self.encoder(**batch)


FROZEN = {"align": ["encoder", "llm"], "ia_sft": ["encoder"], "joint_sft": []}


@pytest.mark.parametrize("stage", FROZEN)
def test_a_checkpointed_llm_learns_the_same_also_when_it_is_frozen(
    stage, llm_options, build_model, load_batch, tmp_path
):
    conf = dict(encoder_conf=dict(SIZES, kernel_size=5))
    model, args = build_model(LLMASRTask, llm_options(tmp_path / "exp", **conf))
    model.float()  # as ESPnet does with statistics of features, too
    for name in FROZEN[stage]:
        getattr(model, name).requires_grad_(False)
    batch, other = load_batch(LLMASRTask, args, range(3))[1], copy.deepcopy(model)
    checkpoint_gradients(other, ["llm"] if FROZEN[stage] else ["encoder", "llm"])
    plain, less = step(model.train(), batch), step(other.train(), batch)
    assert_same(plain, less)
    assert plain[1].keys() >= {"adaptor.linear1.weight"} and less[3] < 0.8 * plain[3]


def test_an_encoder_that_is_copied_has_its_own_weights():
    """The drift checks compare with a copy of the encoder at the start."""
    encoder = build()
    checkpoint_gradients(SimpleModel(encoder), ["encoder"])
    copied, feats = copy.deepcopy(encoder).eval(), torch.randn(1, 60, 20)
    with torch.no_grad():
        expected = copied(feats, torch.tensor([60]))[0]
        for parameter in encoder.parameters():
            parameter.zero_()
        torch.testing.assert_close(copied(feats, torch.tensor([60]))[0], expected)
    assert encoder(feats, torch.tensor([60]))[0].abs().sum() == 0 < expected.abs().sum()


@pytest.mark.parametrize(
    "parts, frozen, message",
    [
        (["encoder"], ["encoder"], "'encoder', which needs no gradients here: remove it"),
        (["llm"], ["encoder", "adaptor", "llm"], "'llm', which needs no gradients here: remove it"),
        (["adaptor"], [], r"\['adaptor'\], expected a list of encoder, llm"),
        ("encoder", [], "is encoder, expected a list of encoder, llm"),
    ],
)
def test_checkpointing_that_changes_nothing_is_refused(parts, frozen, message):
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("encoder", "adaptor", "llm")})
    for name in frozen:
        model[name].requires_grad_(False)
    with pytest.raises(ValueError, match=message):
        checkpoint_gradients(model, parts)


def test_blocks_that_are_not_known_are_refused():
    model = nn.ModuleDict({"encoder": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="the blocks of a Linear are not known"):
        checkpoint_gradients(model, ["encoder"])
    with pytest.raises(ValueError, match="has 'llm', this model has encoder: remove it"):
        checkpoint_gradients(model, ["llm"])


@pytest.mark.parametrize("task", [PhonemeCTCTask, LLMASRTask])
def test_the_options_of_a_training_reach_its_blocks(task, phone_options, llm_options, tmp_path):
    """Also: the checkpoint that it leaves is that of a training without them, and a resume may leave them out."""
    options = phone_options if task is PhonemeCTCTask else llm_options
    parts = ["encoder"] if task is PhonemeCTCTask else ["encoder", "llm"]
    task.main(cmd=options(tmp_path / "less", max_epoch=1, gradient_checkpointing=parts))
    task.main(cmd=options(tmp_path / "plain", max_epoch=1))
    less, plain = (torch.load(tmp_path / name / "1epoch.pth", weights_only=True) for name in ("less", "plain"))
    torch.testing.assert_close(less, plain, atol=1e-6, rtol=1e-6)
    task.main(cmd=options(tmp_path / "less", max_epoch=2, resume=True))


# ---- compiled encoders; inductor takes minutes, and benchmarks/compiled.py measures it ------------------------------


@pytest.fixture()
def graphs():
    """Counts the graphs that torch.compile has made since the start of the test: graphs() -> number."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_compiled_encoder_learns_the_same(graphs, checkpointed):
    """To 1e-5, with dropout; the graphs of one block of our Conformer serve all blocks and lengths."""
    model = SimpleModel(build()).train()
    other, batch = copy.deepcopy(model), dict(xs_pad=torch.randn(3, 93, 20), ilens=torch.tensor([93, 61, 8]))
    compile_blocks(other.encoder, backend="eager")
    if checkpointed:
        checkpoint_gradients(other, ["encoder"])
    plain, compiled = step(model, batch), step(other, batch)
    assert_same(plain, compiled, 1e-5)
    assert list(other.state_dict()) == list(model.state_dict())
    made = graphs()
    longer = dict(xs_pad=torch.randn(2, 141, 20), ilens=torch.tensor([141, 100]))
    assert_same(step(model, longer), step(other, longer), 1e-5)
    assert graphs() == made > 0


@pytest.mark.parametrize("name", ["conformer", "e_branchformer"])
def test_a_compiled_encoder_of_espnet_learns_the_same(graphs, name):
    model = SimpleModel(build(name)).train()
    other, batch = copy.deepcopy(model), dict(xs_pad=torch.randn(3, 93, 20), ilens=torch.tensor([93, 61, 8]))
    compile_blocks(other.encoder, backend="eager")
    checkpoint_gradients(other, ["encoder"])
    assert_same(step(model, batch), step(other, batch), 1e-5)
    assert list(other.state_dict()) == list(model.state_dict()) and graphs() > 0


def test_a_compiled_encoder_is_swapped_frozen_and_copied(graphs):
    encoder, new, feats, lengths = build(), build(), torch.randn(2, 60, 20), torch.tensor([60, 31])
    for parameter in new.parameters():
        parameter.data.mul_(1.1)
    compile_blocks(encoder.requires_grad_(False).eval(), backend="eager")
    before = encoder(feats, lengths)[0]
    copied = copy.deepcopy(encoder)
    encoder.load_state_dict(new.state_dict())
    torch.testing.assert_close(encoder(feats, lengths)[0], new.eval()(feats, lengths)[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(copied(feats, lengths)[0], before)
    assert graphs() > 0 and (before - encoder(feats, lengths)[0]).abs().max() > 0.01


def test_what_cannot_be_compiled_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="compile_encoder is true, the blocks of a Linear are not known: leave it out"):
        compile_blocks(nn.Linear(2, 2))
    compiler = lambda graph, inputs: (_ for _ in ()).throw(RuntimeError("no compiler\nis here"))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=compiler))
    with pytest.raises(
        ValueError, match=r"torch.compile does not work here \(.*no compiler is here.*\): install g\+\+"
    ):
        check_compiler("cpu")


def test_the_option_compiles_the_encoder_of_a_training(graphs, llm_options, monkeypatch, tmp_path):
    """The weights are those of a training without it to 1e-5, with a frozen encoder, too; a resume may leave it out."""
    monkeypatch.setattr(torch, "compile", lambda block, **_: compile_(block, backend="eager", dynamic=True))
    conf = dict(freeze_param=["encoder"], max_epoch=1)
    LLMASRTask.main(cmd=llm_options(tmp_path / "compiled", **conf, compile_encoder=True))
    assert graphs() > 0
    LLMASRTask.main(cmd=llm_options(tmp_path / "plain", **conf))
    compiled, plain = (read_state(tmp_path / name / "1epoch.pth") for name in ("compiled", "plain"))
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-5)
    LLMASRTask.main(cmd=llm_options(tmp_path / "compiled", **{**conf, "max_epoch": 2}, resume=True))
