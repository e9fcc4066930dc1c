"""The counted memory of a step against what follows from the sizes of its matrices."""

import pytest
import torch
from torch import nn

from espnet_llmasr.train.memory import step_memory

ROWS, WIDTH = 8, 1024
MATRIX, FRAMES = 4 * WIDTH**2, 4 * ROWS * WIDTH  # bytes of a weight, of the output of a layer
FEW = 20 * FRAMES  # what a layer needs besides, and numbers that are not worth a count


class Layers(nn.Module):
    """Two layers; the first one may be frozen."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))

    def forward(self, speech, speech_lengths):
        loss = self.second(self.first(speech).tanh()).square().sum()
        return loss, {}, torch.ones(())


def measure(frozen=False, **how):
    def build():
        model = Layers()
        model.first.requires_grad_(not frozen)
        return model, torch.optim.Adam(model.parameters())

    how = {"use_amp": False, "micro_batches": 1, **how}
    return step_memory(build, {"speech": torch.zeros(ROWS, WIDTH), "speech_lengths": [1]}, **how)


def near(count: float):
    """So many matrices, and a few frames more."""
    return pytest.approx(count * MATRIX + FEW / 2, abs=FEW / 2)


def test_a_step():
    step = measure()
    assert step.weights == step.trained == 2 * MATRIX and step.optimizer == near(4)
    assert step.with_gradients == near(2)  # each gradient is made when it is needed
    assert step.activations == near(1) and step.update == near(2)  # the roots of the second moments


def test_a_frozen_layer_has_no_gradients_and_no_optimizer():
    step = measure(frozen=True)
    assert (step.weights, step.trained) == (2 * MATRIX, MATRIX) and step.optimizer == near(2)
    assert step.with_gradients == near(1) and step.update == near(1)


def test_gradients_of_the_first_batch_are_there_when_the_second_one_adds_its_own():
    assert measure(micro_batches=2).with_gradients == near(3)
    assert measure(micro_batches=9) == measure(micro_batches=2)


def test_autocast_keeps_copies_of_the_weights():
    assert measure(use_amp=True).activations > measure().activations + 0.4 * MATRIX  # of half the size


def test_an_optimizer_that_takes_one_parameter_after_the_other():
    assert measure(foreach=False).update == near(3)  # of one parameter, and of the one before


def test_nothing_of_this_size_is_really_there():
    """A layer of a terabyte; a thousand of its batches would take another one."""

    def build():
        model = nn.Linear(500_000, 500_000, bias=False)
        model.forward = lambda speech: (nn.functional.linear(speech, model.weight).sum(), {}, torch.ones(()))
        return model, torch.optim.Adam(model.parameters())

    step = step_memory(build, {"speech": torch.zeros(2, 500_000)}, False, 1)
    assert step.weights == 4 * 500_000**2 and step.optimizer >= 2 * step.weights
