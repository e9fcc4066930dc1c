"""Cuts of long recordings at silences, overlaps where there are none, and joined transcripts."""

import numpy as np
import pytest
import torch

from espnet_llmasr.inference.long_audio import (
    BREAK,
    MARGIN,
    WINDOW_S,
    Cut,
    join,
    next_cut,
    pieces,
    silero,
    tokens,
)

RATE = 8000
SIZE = round(WINDOW_S * RATE)
PAUSE = 25  # windows


def windows(*runs):
    """(probability, number of windows), ... -> probabilities (W,)."""
    return np.concatenate([np.full(number, probability) for probability, number in runs])


def by_level(rate):
    """A detector of samples other than 0."""
    return lambda samples: (np.abs(samples).reshape(-1, SIZE).max(1) > 0).astype(float)


def cut(probabilities, longest_s, block=1000, pause=PAUSE):
    """Pieces of a recording whose sample i is i where there is speech, and 0 in silences."""
    samples = np.arange(len(probabilities) * SIZE, dtype=np.float64) + 1
    samples *= np.repeat(probabilities > 0, SIZE)
    blocks = (samples[start : start + block] for start in range(0, len(samples), block))
    return samples, list(pieces(blocks, RATE, longest_s, by_level, pause * WINDOW_S))


def test_a_short_recording_is_one_piece_and_needs_no_detector():
    (piece,) = pieces([np.ones(SIZE), np.ones(5)], RATE, 20.0, None)
    assert (piece.start_s, piece.end_s, len(piece.samples)) == (0.0, (SIZE + 5) / RATE, SIZE + 5)


def test_a_pause_ends_a_piece():
    probabilities = windows((0, 40), (1, 50), (0, PAUSE), (1, 60), (0, 40))
    assert next_cut(probabilities, 100, PAUSE, False) == Cut(40 - MARGIN, 90 + MARGIN, 90 + MARGIN)
    samples, found = cut(probabilities, longest_s=100 * WINDOW_S)
    assert [piece.start_s / WINDOW_S for piece in found] == pytest.approx([40 - MARGIN, 90 + PAUSE - MARGIN])
    assert [piece.end_s / WINDOW_S for piece in found] == pytest.approx([90 + MARGIN, 175 + MARGIN])
    assert not any(piece.overlap_s for piece in found)


def test_a_silence_within_a_word_does_not_end_a_piece():
    assert next_cut(windows((1, 20), (0, PAUSE - 1), (1, 20)), 100, PAUSE, False) is None
    assert next_cut(windows((1, 20), (0, PAUSE - 1), (1, 20)), 100, PAUSE, True) == Cut(0, 39 + PAUSE, 39 + PAUSE)


@pytest.mark.parametrize("pause", [3, 9, 10, 24])
def test_a_shorter_pause_ends_a_piece_and_both_sides_share_its_silence(pause):
    probabilities = windows((0, 40), (1, 50), (0, pause), (1, 60), (0, 40))
    middle = 90 + min(MARGIN, pause // 2)
    assert next_cut(probabilities, 200, pause + 1, True).end == 150 + pause + MARGIN
    _, found = cut(probabilities, 100 * WINDOW_S, pause=pause)
    ends = [round(time / WINDOW_S) for piece in found for time in (piece.start_s, piece.end_s)]
    assert ends == [40 - MARGIN, middle, max(middle, 90 + pause - MARGIN), 150 + pause + MARGIN]


def test_a_pause_whose_end_is_not_known_yet_is_waited_for():
    probabilities = windows((1, 50), (0, 2 * MARGIN - 1))
    assert next_cut(probabilities, 200, 9, False) is None
    assert next_cut(np.append(probabilities, 0), 200, 9, False) == Cut(0, 50 + MARGIN, 50 + MARGIN)
    assert next_cut(probabilities, 200, 9, True) == Cut(0, 50 + MARGIN - 1, 50 + MARGIN - 1)


def test_pieces_do_not_depend_on_blocks():
    rng = np.random.default_rng(0)
    probabilities = windows(*[(number % 2, rng.integers(1, 40)) for number in range(80)])
    found = [cut(probabilities, 300 * WINDOW_S, block, pause=9)[1] for block in (SIZE, 1000, 30000, 10**7)]
    times = [[(piece.start_s, piece.end_s) for piece in each] for each in found]
    assert times[0] == times[1] == times[2] == times[3] and len(times[0]) > 20


def test_a_piece_that_would_be_too_long_ends_in_its_last_short_silence():
    probabilities = windows((1, 40), (0, BREAK), (1, 30), (0, BREAK), (1, 60))
    middle = 40 + BREAK + 30 + BREAK // 2
    assert next_cut(probabilities, 100, PAUSE, False) == Cut(0, middle, middle)


def test_without_silence_two_pieces_share_the_least_probable_speech():
    probabilities = windows((1, 70), (0.8, 1), (1, 129))
    found = next_cut(probabilities, 100, PAUSE, False)
    assert found.rest < 70 < found.end and found.end - found.rest == 24 and found.end <= 100


@pytest.mark.parametrize("seed", range(6))
def test_all_speech_is_in_a_piece_and_only_overlaps_are_in_two(seed):
    rng = np.random.default_rng(seed)
    runs = [(number % 2, rng.integers(1, 40 + 90 * (number % 2))) for number in range(60)]
    longest = int(rng.integers(60, 100))
    samples, found = cut(windows(*runs), longest * WINDOW_S, block=int(rng.integers(500, 50000)))
    assert len(found) > 20 and max(len(piece.samples) for piece in found) <= longest * SIZE
    heard = np.zeros(len(samples), int)
    for before, piece in zip([None, *found], found):
        start = round(piece.start_s * RATE)
        assert np.array_equal(piece.samples, samples[start : start + len(piece.samples)])
        assert round(piece.end_s * RATE) == start + len(piece.samples)
        heard[start : start + len(piece.samples)] += 1
        shared = 0 if before is None else max(0.0, before.end_s - piece.start_s)
        assert piece.overlap_s == pytest.approx(shared, abs=1e-9)
    assert heard[samples > 0].min() == 1 and heard.max() <= 2
    assert any(piece.overlap_s for piece in found)


def test_a_recording_without_speech_has_no_piece():
    assert cut(windows((0, 500)), 2.0)[1] == []


def test_silero_finds_no_speech_in_noise_and_keeps_the_threads():
    pytest.importorskip("silero_vad")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        detect = silero(RATE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    noise = 0.01 * np.random.default_rng(0).standard_normal(40 * SIZE).astype(np.float32)
    probabilities = detect(noise)
    assert probabilities.shape == (40,) and probabilities.max() < 0.3
    fresh = silero(RATE)
    halves = np.concatenate([fresh(noise[: 20 * SIZE]), fresh(noise[20 * SIZE :])])
    assert halves == pytest.approx(probabilities, abs=0.02)  # its state goes on; the filter sees the edge of a call


@pytest.mark.parametrize(
    "left, right, whole",
    [
        ("a b c d e", "c d e f", "a b c d e f"),
        ("a b c d ex", "ce d e f", "a b c d e f"),  # words that the cuts garbled
        ("the cat sat", "Sat on it", "the cat sat on it"),
        ("我们今天", "今天去学校", "我们今天去学校"),
        ("我 like 苹果", "苹果 juice", "我 like 苹果 juice"),
        ("one two", "three four", None),
        ("the a b c", "d e f the", None),  # one common word far from both edges
        ("", "a", None),
    ],
)
def test_join(left, right, whole):
    kept = join(left, right, 2.0)
    if whole is None:
        assert kept is None
        return
    words = [*(token[0] for token in tokens(left)[: kept[0]]), *(token[0] for token in tokens(right)[kept[1] :])]
    assert words == [token[0] for token in tokens(whole)]


def test_words_before_the_overlap_are_not_compared():
    assert join("yes no a b c d e f g h i j", "yes no k l", 1.0) is None
