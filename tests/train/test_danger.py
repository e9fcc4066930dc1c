"""The danger sign: the rule by hand-made histories, its noise by fresh samples, false alarms, planted drift."""

import pytest
import torch

from espnet_llmasr.metrics.accessible_information import Choices, accessible_information, pool
from espnet_llmasr.train.danger import (
    Drift,
    check_enough,
    describe,
    is_danger,
    measure_change,
    read_drifts,
    shows_sign,
    warning,
    write_drifts,
)

CHOICES = Choices(num_components=4)
PHONES, MEANING, WIDTH = 12, 20, 16


def history(*changes, noise=0.1):
    """The lines of a training whose PAI and CSAI have changed by these (bits) since the start."""
    start = Drift(0, 1.0, [1.0], 0.8, pai=9.0, csai=2.0)
    lines = [Drift(n, 0.9, [0.9], 0.8, 9.0 + p, 2.0 + c, noise, noise) for n, (p, c) in enumerate(changes, 1)]
    return [start, *lines]


BAD, SMALL, ALONE, OTHER, GOOD = (-0.5, 0.5), (-0.5, 0.15), (-0.5, 0.0), (0.0, 0.5), (0.5, -0.5)


@pytest.mark.parametrize(
    "changes, checks, expected",
    [
        ([BAD], 1, True),
        ([BAD], 2, False),
        ([BAD, BAD], 3, False),  # the start itself is no sign
        ([BAD, BAD, BAD], 3, True),
        ([GOOD, BAD, BAD, BAD], 3, True),
        ([BAD, GOOD, BAD, BAD], 3, False),  # not in a row
        ([BAD, BAD, BAD, GOOD], 3, False),  # it is over
        ([BAD, SMALL, BAD], 3, False),  # CSAI within two standard errors
        ([ALONE] * 5, 3, False),
        ([OTHER] * 5, 3, False),
        ([GOOD] * 5, 3, False),  # what the paper hopes for
        ([], 1, False),
    ],
)
def test_rule(changes, checks, expected):
    assert is_danger(history(*changes), checks) is expected


def test_the_rule_measures_in_standard_errors():
    assert not is_danger(history(*[BAD] * 3, noise=0.3), 3)
    assert is_danger(history(*[BAD] * 3, noise=0.24), 3)


def test_no_sign_without_targets():
    assert not is_danger([Drift(n, 0.5, [0.5], 0.8) for n in range(9)], 3)


def test_lines_of_a_log(tmp_path):
    lines = history(BAD)
    write_drifts(tmp_path, lines)
    assert read_drifts(tmp_path) == lines
    assert "PAI 8.50 (-0.50 +- 0.10), CSAI 2.50 (+0.50 +- 0.10)" in describe(lines)
    assert "PAI has fallen from 9.00 to 8.50" in warning(lines, 1) and "--drift_stop true" in warning(lines, 1)
    assert "\n" not in describe(lines) + warning(lines, 1) and read_drifts(tmp_path / "none") == []


# ---- synthetic encoders --------------------------------------------------------------------------------------------


class World:
    """Utterances whose phones and meanings are linear images of hidden causes; meaning depends on phones in part."""

    def __init__(self, utterances: int, seed: int):
        torch.manual_seed(7)  # one world, and samples of it
        self.to_phones, self.to_meaning, self.to_frames = (torch.randn(6, n).double() for n in (PHONES, MEANING, WIDTH))
        torch.manual_seed(seed)
        cause, own = torch.randn(2, utterances, 6).double()
        self.phonetic = cause @ self.to_phones + 0.3 * torch.randn(utterances, PHONES)
        self.semantic = (0.5 * cause + own) @ self.to_meaning + 0.3 * torch.randn(utterances, MEANING)
        self.cause, self.own = cause, own

    def encode(self, towards_meaning: float = 0.0, noise: float = 1.0) -> torch.Tensor:
        """Pooled frames (B, 2D) of an encoder; its frames are mixed towards the meaning."""
        centre = (1 - towards_meaning) * self.cause + towards_meaning * self.own
        frames = (centre @ self.to_frames + noise * torch.randn(len(centre), WIDTH))[:, None]
        return torch.stack([pool(rows) for rows in frames + torch.randn(len(centre), 10, WIDTH)])

    def change(self, start, now, choices=CHOICES):
        return measure_change(start, now, self.phonetic, self.semantic, choices)

    def line(self, epoch, start, now):
        found = self.change(start, now)
        return Drift(epoch, 1.0, [1.0], 0.8, *found.now, found.pai_noise, found.csai_noise)

    def start(self, u):
        return Drift(0, 1.0, [1.0], 0.8, *accessible_information(u, self.phonetic, self.semantic, CHOICES))


def test_an_unchanged_encoder_has_neither_change_nor_noise():
    world = World(60, 0)
    u = world.encode()
    found = world.change(u, u)
    assert found.now == accessible_information(u, world.phonetic, world.semantic, CHOICES)
    assert found.pai_noise == found.csai_noise == 0
    assert not shows_sign(world.start(u), world.line(1, u, u))


def test_the_noise_is_the_spread_over_fresh_samples():
    """Samples of 100 utterances, two encoders; the truth are the changes in samples that have nothing in common."""
    changes, errors, choices = [], [], Choices(num_components=6)  # as many as there are causes
    for seed in range(40):
        world = World(100, seed)
        start, now = world.encode(), world.encode()
        before = accessible_information(start, world.phonetic, world.semantic, choices)
        found = world.change(start, now, choices)
        changes.append([found.now.pai - before.pai, found.now.csai - before.csai])
        errors.append([found.pai_noise, found.csai_noise])
    ratio = torch.tensor(errors).mean(0) / torch.tensor(changes).std(0)
    assert ((0.7 < ratio) & (ratio < 2.0)).all(), ratio


def test_false_alarms_and_planted_drift():
    """Trainings of 5 epochs without drift: no alarm. Drift that grows by 10 % an epoch: seen in every training."""
    quiet, loud = [], []
    for seed in range(6):
        world = World(80, 100 + seed)
        start = world.encode()
        still, moving = ([world.start(start)] for _ in range(2))
        for epoch in range(1, 6):
            still.append(world.line(epoch, start, world.encode()))
            moving.append(world.line(epoch, start, world.encode(towards_meaning=0.1 * epoch)))
        quiet.append(any(is_danger(still[:n], 3) for n in range(2, 7)))
        loud.append(is_danger(moving, 3))
    assert sum(quiet) == 0 and all(loud)


def test_too_few_utterances():
    check_enough(40, 8)
    with pytest.raises(ValueError, match="40 utterances are too few for --drift_components 16.* 12 components or less"):
        check_enough(40, 16)
    check_enough(40, 12)
    with pytest.raises(ValueError, match="larger set$"):
        check_enough(4, 1)
