"""The forced path against all alignments, and what follows from it."""

import itertools
import math

import pytest
import torch

from espnet_llmasr.guard.alignment import align, ends, starts, support


def collapse(path):
    """CTC: repeats merged, then blanks (0) removed."""
    return [token for token, _ in itertools.groupby(path) if token]


def brute_force(log_probs, labels):
    """The greatest log-probability of all paths that spell the labels; None if there is none."""
    frames, tokens = log_probs.shape
    paths = (path for path in itertools.product(range(tokens), repeat=frames) if collapse(path) == labels)
    return max((float(sum(log_probs[t, k] for t, k in enumerate(path))) for path in paths), default=None)


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_the_forced_path_is_the_best_of_all(frames):
    torch.manual_seed(frames)
    for labels in ([], [1], [2, 2], [1, 2], [3, 3, 1], [1, 2, 3], [1, 1, 1], [2, 1, 2, 1]):
        log_probs = (3 * torch.randn(frames, 4)).log_softmax(-1)
        expected, found = brute_force(log_probs, labels), align(log_probs, labels)
        assert (found is None) == (expected is None)
        if found is not None:
            assert collapse(found.path.tolist()) == labels and (found.losses >= 0).all()
            forced = float(log_probs.amax(1).sum() - found.losses.sum())
            assert forced == pytest.approx(expected, abs=1e-5)
            assert forced == pytest.approx(float(log_probs.gather(1, found.path.long()[:, None]).sum()), abs=1e-5)


def test_labels_that_need_more_frames_than_there_are():
    log_probs = torch.zeros(3, 4).log_softmax(-1)
    assert align(log_probs, [1, 2, 3]) is not None and align(log_probs, [1, 2, 3, 1]) is None
    assert align(log_probs, [1, 1]) is not None and align(log_probs, [1, 1, 2]) is None  # a blank between equal ones


def test_support_by_hand():
    assert support(torch.tensor([0.0, 0.0]), 0) == 1.0
    assert support(torch.tensor([1.0, 0.5, 0.0]), 3) == pytest.approx(math.exp(-0.5))


def test_where_labels_begin_and_end():
    path = torch.tensor([0, 2, 2, 0, 2, 3, 3, 0])
    assert starts(path) == [1, 4, 5] and ends(path) == [3, 5, 7]
    assert starts(torch.tensor([4])) == [0] and ends(torch.tensor([4])) == [1]
