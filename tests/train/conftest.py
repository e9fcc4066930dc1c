"""Trainings that are killed, and their weights."""

import os
import signal

import pytest
import torch

from espnet_llmasr.asr.weights import read_state


@pytest.fixture(scope="session")
def die_in():
    """(owner, name, call, after) -> the `call`-th call of owner.name ends this process, before or after its work."""

    def arm(owner, name, call, after=False):
        original, calls = getattr(owner, name), []

        def wrapper(*args, **kwargs):
            calls.append(1)
            result = original(*args, **kwargs) if after or len(calls) < call else None
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, wrapper)

    return arm


@pytest.fixture(scope="session")
def assert_same_weights():
    """(first, second, epoch, last) -> the models are equal to the bit, those of the last epoch with their optimizer."""

    def check(first, second, epoch, last):
        states = [read_state(out / f"{epoch}epoch.pth") for out in (first, second)]
        assert [name for name in states[0] if not states[0][name].equal(states[1][name])] == []
        if epoch == last:
            saved = [torch.load(out / "checkpoint.pth", weights_only=False)["optimizers"][0] for out in (first, second)]
            for a, b in zip(*(optimizer["state"].values() for optimizer in saved)):
                assert all(a[name].equal(b[name]) for name in a)

    return check
