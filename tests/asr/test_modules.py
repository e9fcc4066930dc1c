"""Length masks, and what counts as frozen."""

import torch

from espnet_llmasr.asr.modules import is_frozen, is_trained, valid_frames


def test_valid_frames():
    assert valid_frames(torch.tensor([0, 2, 3]), torch.ones(3, 3)).int().tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_frozen_and_trained():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    assert not is_frozen(module) and is_trained(module)
    module[0].requires_grad_(False)
    assert not is_frozen(module)
    module[1].requires_grad_(False)
    assert is_frozen(module) and not is_trained(module)
    assert not is_frozen(torch.nn.ReLU()) and not is_trained(torch.nn.ReLU())
