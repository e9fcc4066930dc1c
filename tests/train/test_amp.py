"""--use_amp: the forward pass computes in bfloat16; loss and parameters stay in single precision."""

from copy import deepcopy

import one_epoch
import pytest
import torch

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask


@pytest.fixture(scope="module", params=["llm", "phone"])
def case(request, llm_options, phone_options, build_model, load_batch, tmp_path_factory):
    """A model, a batch of two, and a linear layer deep inside of which the precision shows."""
    task, options = {"llm": (LLMASRTask, llm_options), "phone": (PhonemeCTCTask, phone_options)}[request.param]
    model, args = build_model(task, options(tmp_path_factory.mktemp("amp") / "x"))
    layers = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return model, load_batch(task, args, (0, 2)), layers


@pytest.mark.parametrize("use_amp", [True, False])
def test_precision_of_forward_loss_and_parameters(case, use_amp, tmp_path):
    model, batch, layers = case
    model, seen, losses = deepcopy(model), {}, []
    for name in layers:
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output.dtype}))
    model.register_forward_hook(lambda _, inputs, output: losses.append(output[0].dtype))
    options = dict(accum_grad=1, output_dir=tmp_path, use_amp=use_amp)
    result = one_epoch.train_one_epoch(model, [batch], options, one_epoch.ALONE)
    assert len(seen) > 5 and set(seen.values()) == {torch.bfloat16 if use_amp else torch.float32}
    assert losses == [torch.float32] and torch.isfinite(torch.tensor(result["loss"]))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert any(float(gradient.abs().max()) > 0.0 for gradient in result["gradients"].values())
