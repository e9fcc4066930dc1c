"""Device correctness without a GPU: on fake CUDA tensors torch raises for every mix of devices and every value read.

No number is computed. Training (bf16 autocast) and decoding run as they would on a GPU, up to F.ctc_loss, which has no
fake kernel, and the loop of transformers' `generate`, which reads values by design: both have stand-ins.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from espnet_llmasr.asr import attention, cr_ctc, modules
from espnet_llmasr.asr.modules import outputs_of
from espnet_llmasr.inference.search import DecodingOptions, beam_search
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask


def fake_ctc_loss(log_probs, targets, lengths, target_lengths, blank, reduction):
    assert log_probs.device == targets.device and all(type(n) is int for n in (*lengths, *target_lengths))
    return log_probs.sum()


@pytest.fixture()
def on_fake_gpu(load_batch, monkeypatch):
    """(task, options) -> a model in training mode and a batch as the trainer places it, in a mode that stays open."""
    monkeypatch.setattr(torch.nn.functional, "ctc_loss", fake_ctc_loss)
    monkeypatch.setattr(attention, "flash_loads", lambda: False)
    mode = FakeTensorMode()

    def build(task, options):
        args = task.get_parser().parse_args(options)
        batch = {name: value.numpy() for name, value in load_batch(task, args)[1].items()}
        mode.__enter__()
        with torch.device("cuda"):
            model = task.build_model(args)
            batch["speech"] = torch.empty(batch["speech"].shape)
        for name, buffer in model.normalize.named_buffers():
            setattr(model.normalize, name, buffer.cuda())  # read from a file, so torch.device has no effect
        assert all(value.is_cuda for value in model.state_dict().values())
        return model.train(), batch

    yield build
    mode.__exit__(None, None, None)


@pytest.fixture()
def pretraining(on_fake_gpu, phone_options, tmp_path):
    return on_fake_gpu(PhonemeCTCTask, phone_options(tmp_path / "x"))


@pytest.fixture()
def fine_tuning(on_fake_gpu, llm_options, tmp_path):
    return on_fake_gpu(LLMASRTask, llm_options(tmp_path / "x", specaug="masks"))


@contextmanager
def bfloat16():
    """As torch.autocast("cuda", torch.bfloat16), which does nothing without a GPU."""
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_enabled("cuda", True)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()


def forward(model, batch):
    with bfloat16():
        linear = model.llm.lm_head if hasattr(model, "llm") else model.ctc_head.net[0]
        with outputs_of([linear]) as outputs:
            loss, stats, weight = model(**batch)
    assert outputs[0].dtype is torch.bfloat16 and outputs[0].is_cuda
    assert all(value.device.type == "cuda" for value in (loss, weight, *stats.values()))


def test_pretraining(pretraining):
    forward(*pretraining)


def test_fine_tuning(fine_tuning):
    forward(*fine_tuning)
    forward(fine_tuning[0].eval(), fine_tuning[1])


class Decoded(Exception):
    """What would follow reads values."""


@pytest.fixture()
def generate():
    """(LLM, arguments of `generate`): the passes of a search, with the logits processors, for three tokens."""

    def run(llm, inputs_embeds, attention_mask, num_beams, logits_processor, past_key_values, **_):
        last = inputs_embeds[:, past_key_values.get_seq_length() :]
        embedded, mask = (each.repeat_interleave(num_beams, 0) for each in (last, attention_mask))
        ids, cache = (
            torch.zeros(len(mask), 30, dtype=torch.long, device="cuda"),
            past_key_values,
        )  # long enough for loops
        for _ in range(3):
            out = llm(inputs_embeds=embedded, attention_mask=mask, past_key_values=cache, use_cache=True)
            best = logits_processor(ids, out.logits[:, -1]).argmax(-1, keepdim=True)
            embedded, cache = llm.get_input_embeddings()(best), out.past_key_values
            ids, mask = torch.cat([ids, best], 1), torch.cat([mask, torch.ones_like(best, dtype=mask.dtype)], 1)
        raise Decoded

    return run


def test_decoding(fine_tuning, generate, monkeypatch):
    model, batch = fine_tuning
    model.eval()
    monkeypatch.setattr(model.llm, "generate", lambda **arguments: generate(model.llm, **arguments))
    with torch.no_grad():
        frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
        ids = batch["prompt"][0].tolist()
        prompt = SimpleNamespace(with_hints=lambda hints: ids, end_id=1)
        options = DecodingOptions(stop_loops=True, tokens_per_second=2.0)
        with pytest.raises(Decoded):
            beam_search(model, frames, lengths, batch["speech_lengths"] / 16000, prompt, options)


@pytest.mark.parametrize("stage", ["pretraining", "fine_tuning"])
def test_a_tensor_on_the_wrong_device_is_found(stage, request, monkeypatch):
    model, batch = request.getfixturevalue(stage)
    monkeypatch.setattr(modules, "on_device", lambda numbers, device: torch.as_tensor(numbers))
    with pytest.raises(RuntimeError, match="found two different devices|on different devices|same device"):
        forward(model, batch)


def test_a_value_that_is_read_is_found(pretraining, monkeypatch):
    weight = cr_ctc.consistency_weight
    monkeypatch.setattr(cr_ctc, "consistency_weight", lambda step, *rest: weight(torch.tensor(int(step)), *rest))
    with pytest.raises(DataDependentOutputException):
        forward(*pretraining)


def test_lengths_on_the_gpu_are_found(fine_tuning):
    """Our trainer leaves them on the host; a tensor there would be read."""
    model, batch = fine_tuning
    batch["speech_lengths"] = torch.as_tensor(np.asarray(batch["speech_lengths"])).cuda()
    with pytest.raises(RuntimeError, match="numpy"):
        forward(model, batch)
