"""The forced path against all alignments; verification of transcripts, words, batches and encoders."""

import itertools
import math
from copy import deepcopy

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.cr_ctc import greedy
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.verifier import TAIL_S, align, ends, starts, support
from espnet_llmasr.text.ctc_labels import Labels
from espnet_llmasr.train.speech_batches import read_audio

TIAN_QI = "t ian1 q i4"


# ---- alignment ----------------------------------------------------------------------------------------------------


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
        expected, alignment = brute_force(log_probs, labels), align(log_probs, labels)
        assert (alignment is None) == (expected is None)
        if alignment is not None:
            assert collapse(alignment.path.tolist()) == labels and (alignment.losses >= 0).all()
            forced = float(log_probs.amax(1).sum() - alignment.losses.sum())
            assert forced == pytest.approx(expected, abs=1e-5)
            assert forced == pytest.approx(float(log_probs.gather(1, alignment.path.long()[:, None]).sum()), abs=1e-5)


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


# ---- verification --------------------------------------------------------------------------------------------------


def test_the_greedy_path_supports_its_own_labels(verifier, emit):
    assert verifier.verify(emit(TIAN_QI), "天气") == (1.0, 4, 0, 4)
    assert verifier.verify(emit(TIAN_QI, sharpness=1.5), "天气").confidence == 1.0  # even if the head is unsure
    assert verifier.verify(emit(""), "") == (1.0, 0, 0, 0)


def test_random_frames_support_the_greedy_labels_only(verifier):
    """With the labels themselves given: no other labels reach 1."""
    torch.manual_seed(0)
    verifier = deepcopy(verifier)
    for _ in range(20):
        log_probs = (2 * torch.randn(30, len(verifier.args.token_list))).log_softmax(-1)
        (ids,) = greedy(log_probs[None], torch.tensor([30]))
        for given, best in ((ids, True), (ids[1:], False), ([*ids, 5 if ids[-1] != 5 else 6], False)):
            verifier.labelize = lambda text, lang, given=given: Labels(given, 0, [])
            assert (verifier.verify(log_probs, "").confidence == 1.0) is best


def test_wrong_missing_and_added_words_cost(verifier, emit):
    log_probs = emit(TIAN_QI)
    right, less, more, wrong = (
        verifier.verify(log_probs, text).confidence for text in ("天气", "天", "天气好", "good")
    )
    assert right == 1.0 and max(less, more) < 0.3 and wrong < min(less, more)
    assert verifier.verify(log_probs, "").confidence < 0.1  # an empty transcript of speech
    assert verifier.verify(emit(""), "天气").confidence < 0.01  # and a transcript of silence


@pytest.mark.parametrize("text, labels", [("天", 4), ("天气好", 6)])
def test_the_formula_by_hand(verifier, emit, text, labels):
    """exp((log p(path) - log p(greedy path)) / labels), with log p(path) from torch's own alignment-free CTC loss.

    These frames are so sharp that the best path has nearly the whole probability of the labels.
    """
    log_probs = emit(TIAN_QI, sharpness=14.0)
    ids = verifier.labelize(text).ids
    total = -torch.nn.functional.ctc_loss(
        log_probs[:, None], torch.tensor([ids]), [len(log_probs)], [len(ids)], reduction="sum"
    )
    expected = torch.exp((total - log_probs.amax(1).sum()) / labels)
    assert verifier.verify(log_probs, text).confidence == pytest.approx(float(expected), rel=0.4)


def test_too_many_labels_for_the_frames_are_impossible(verifier, emit):
    assert verifier.verify(emit("t"), "天气天气天气").confidence == 0.0


def test_unknown_labels_count_as_not_supported(verifier, emit):
    assert verifier.verify(emit(TIAN_QI), "天气 привет") == (pytest.approx(0.4), 10, 6, 4)
    assert verifier.verify(emit(""), "привет").confidence == 0.0


def test_words_have_their_times_and_the_wrong_one_is_found(verifier, emit):
    log_probs = emit(f"{TIAN_QI} G UH D")
    words = verifier.words(log_probs, "天气 good")
    assert [word.text for word in words] == ["天", "气", "good"]
    times = [(word.start_s, word.end_s) for word in words]
    assert times == [(0.08, 0.3), (0.32, 0.54), (0.56, 0.9)]  # 40 ms a frame; two frames a phone, one between
    assert all(word.confidence == 1.0 for word in words)
    right, wrong, also_right = verifier.words(log_probs, "天地 good")
    assert right.confidence == also_right.confidence == 1.0 and wrong.confidence < 0.1
    assert verifier.words(emit("t"), "天气天气天气") == []


def test_a_word_before_a_pause_does_not_last_until_the_next_one(verifier, emit):
    """The blanks between words are shared, but a word takes at most TAIL_S of them."""
    first, pause, second = emit("t ian1"), emit("")[:1].repeat(50, 1), emit("q i4")
    words = verifier.words(torch.cat([first, pause, second, pause]), "天气")
    ends_s = 7 * 0.04, (8 + 50 + 7) * 0.04  # of the frames of the last labels
    assert [word.end_s for word in words] == pytest.approx([end_s + TAIL_S for end_s in ends_s])


def test_a_batch_gives_the_same_as_one_by_one(verifier, corpus):
    rows = [
        torch.from_numpy(read_audio(uid, wav, 16000)) for uid, wav in read_scp(corpus / "train" / "wav.scp").items()
    ]
    together = verifier.log_probs(pad_sequence(rows, True), torch.tensor([len(row) for row in rows]))
    for row, log_probs in zip(rows, together):
        (single,) = verifier.log_probs(row[None], torch.tensor([len(row)]))
        assert log_probs.shape == single.shape
        torch.testing.assert_close(log_probs, single, atol=1e-4, rtol=0)
        first, second = (verifier.verify(frames, "天气 good").confidence for frames in (log_probs, single))
        assert first == pytest.approx(second, abs=1e-4)


def test_the_encoder_is_shared_only_if_it_is_equal(verifier):
    model, args = verifier.model, verifier.args
    assert verifier.shares_encoder(deepcopy(model), args)
    for change in ("encoder", "normalize", "conf"):
        other, conf = deepcopy(model), deepcopy(args)
        if change == "encoder":
            next(other.encoder.parameters()).data[0] += 1e-3
        elif change == "normalize":
            other.normalize.mean += 1e-3
        else:
            conf.encoder_conf["attention_heads"] *= 2  # the same weights, other frames
        assert not verifier.shares_encoder(other, conf), change


def test_frames_of_a_shared_encoder_give_the_same(verifier, corpus):
    uid, wav = next(iter(read_scp(corpus / "train" / "wav.scp").items()))
    speech = torch.from_numpy(read_audio(uid, wav, 16000))[None]
    lengths = torch.tensor([speech.size(1)])
    with torch.no_grad():
        feats, frame_lengths = verifier.model.frontend(speech, lengths)
        frames, frame_lengths, _ = verifier.model.encoder(*verifier.model.normalize(feats, frame_lengths))
    (first,), (second,) = verifier.log_probs(speech, lengths), verifier.log_probs_of_frames(frames, frame_lengths)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_another_training_has_another_fingerprint(verifier):
    first = verifier.fingerprint()
    assert first == deepcopy(verifier).fingerprint()
    for name in ("encoder", "ctc_head"):
        other = deepcopy(verifier)
        for parameter in getattr(other.model, name).parameters():
            parameter.data += 1e-6 + 1e-6 * parameter.data.abs()
        assert other.fingerprint() != first
