"""SpecAugment in the LLM-ASR model: masks what the encoder gets in training, and nothing in eval mode."""

import pytest
import torch

from espnet_llmasr.tasks.llm_asr import LLMASRTask


@pytest.fixture(scope="module")
def models(llm_options, build_model, load_batch, tmp_path_factory):
    """A model without and one with SpecAugment, of equal weights, and a batch."""
    out = tmp_path_factory.mktemp("specaug")
    plain, args = build_model(LLMASRTask, llm_options(out / "plain"))
    masked, _ = build_model(LLMASRTask, llm_options(out / "masked", specaug="masks"))
    masked.load_state_dict(plain.state_dict())
    assert plain.specaug is None and masked.specaug is not None
    return plain, masked, load_batch(LLMASRTask, args)[1]


def encode(model, batch):
    """What the encoder gets, (B, T, F), and what it makes of it, (B, T', D)."""
    inputs = []
    hook = model.encoder.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    with torch.no_grad():
        frames, _ = model.encode(batch["speech"], batch["speech_lengths"])
    hook.remove()
    return inputs[0], frames


@pytest.mark.parametrize("frozen", [False, True])
def test_masks_are_drawn_in_training_whether_the_encoder_is_frozen_or_not(models, frozen):
    plain, masked, batch = models
    masked.encoder.requires_grad_(not frozen)
    clean, _ = encode(plain.train(), batch)
    torch.manual_seed(0)
    first, second = (encode(masked.train(), batch)[0] for _ in range(2))
    assert not first.equal(second)
    changed = first != clean
    rows = [row for row in range(8) if changed[row].any()]
    assert len(rows) > 4
    for row in rows:
        assert not changed[row].all() and len(first[row][changed[row]].unique()) == 1  # a mask has one value


@pytest.mark.parametrize("left_in_training", [False, True])
def test_nothing_is_masked_in_eval_mode(models, left_in_training):
    """It is the model's mode that counts, not the mask's own."""
    plain, masked, batch = models
    clean, frames = encode(plain.eval(), batch)
    masked.eval().specaug.train(left_in_training)
    for _ in range(2):
        feats, result = encode(masked, batch)
        assert feats.equal(clean) and result.equal(frames)
