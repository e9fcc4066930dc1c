"""The decision to publish: the paper's rule."""

import pytest

from espnet_llmasr.encoder_swap.rule import SwapRule, action_for


@pytest.mark.parametrize(
    "step, cka, ended, expected",
    [
        (99, None, False, None),
        (99, None, True, "final"),  # also if pretraining was shorter than the start step
        (100, None, False, "reference"),
        (200, 0.975, False, "keep"),
        (200, 0.9749, False, "publish"),
        (200, 0.999, True, "final"),
    ],
)
def test_the_papers_rule(step, cka, ended, expected):
    assert action_for(step, SwapRule(0.975, 100), cka, ended) == expected


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_threshold_outside_its_range(threshold):
    with pytest.raises(ValueError, match="allowed is 0 < threshold <= 1"):
        SwapRule(threshold)
    assert SwapRule(1.0).threshold == 1.0
