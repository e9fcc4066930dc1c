"""What the witness says of transcripts, words, batches and encoders."""

from copy import deepcopy

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.cr_ctc import greedy
from espnet_llmasr.files import read_scp
from espnet_llmasr.text.ctc_labels import Labels
from espnet_llmasr.train.speech_batches import read_audio

TIAN_QI = "t ian1 q i4"


def test_the_greedy_path_supports_its_own_labels(witness, saying):
    assert witness.judge(saying(TIAN_QI), "天气") == (1.0, 4, 0, 4)
    assert witness.judge(saying(TIAN_QI, sureness=1.5), "天气").confidence == 1.0  # however unsure it is
    assert witness.judge(saying(""), "") == (1.0, 0, 0, 0)


def test_random_frames_support_the_greedy_labels_only(witness):
    """With the labels themselves given: no other labels reach 1."""
    torch.manual_seed(0)
    witness = deepcopy(witness)
    for _ in range(20):
        log_probs = (2 * torch.randn(30, len(witness.args.token_list))).log_softmax(-1)
        (ids,) = greedy(log_probs[None], torch.tensor([30]))
        for given, best in ((ids, True), (ids[1:], False), ([*ids, 5 if ids[-1] != 5 else 6], False)):
            witness.label = lambda text, lang, given=given: Labels(given, 0, [])
            assert (witness.judge(log_probs, "").confidence == 1.0) is best


def test_wrong_missing_and_added_words_cost(witness, saying):
    heard = saying(TIAN_QI)
    right, less, more, wrong = (witness.judge(heard, text).confidence for text in ("天气", "天", "天气好", "good"))
    assert right == 1.0 and max(less, more) < 0.3 and wrong < min(less, more)
    assert witness.judge(heard, "").confidence < 0.1  # nothing said of what is heard
    assert witness.judge(saying(""), "天气").confidence < 0.01  # and much said of nothing


@pytest.mark.parametrize("text, labels", [("天", 4), ("天气好", 6)])
def test_the_formula_by_hand(witness, saying, text, labels):
    """exp((log p(path) - log p(free path)) / labels), with log p(path) from torch's own alignment-free CTC loss.

    These frames are so sure that the best path has all but the whole probability of the labels.
    """
    heard = saying(TIAN_QI, sureness=14.0)
    ids = witness.label(text).ids
    total = -torch.nn.functional.ctc_loss(
        heard[:, None], torch.tensor([ids]), [len(heard)], [len(ids)], reduction="sum"
    )
    expected = torch.exp((total - heard.amax(1).sum()) / labels)
    assert witness.judge(heard, text).confidence == pytest.approx(float(expected), rel=0.4)


def test_too_many_labels_for_the_frames_are_impossible(witness, saying):
    assert witness.judge(saying("t"), "天气天气天气").confidence == 0.0


def test_unknown_labels_count_as_not_supported(witness, saying):
    assert witness.judge(saying(TIAN_QI), "天气 привет") == (pytest.approx(0.4), 10, 6, 4)
    assert witness.judge(saying(""), "привет").confidence == 0.0


def test_words_have_their_times_and_the_wrong_one_is_found(witness, saying):
    heard = saying(f"{TIAN_QI} G UH D")
    words = witness.words(heard, "天气 good")
    assert [word.text for word in words] == ["天", "气", "good"]
    times = [(word.start_s, word.end_s) for word in words]
    assert times == [(0.08, 0.28), (0.32, 0.52), (0.56, 0.88)]  # 40 ms a frame; two frames a phone, one between
    assert all(word.confidence == 1.0 for word in words)
    right, wrong, also_right = witness.words(heard, "天地 good")
    assert right.confidence == also_right.confidence == 1.0 and wrong.confidence < 0.1
    assert witness.words(saying("t"), "天气天气天气") == []


def test_a_batch_is_heard_as_one_by_one(witness, corpus):
    rows = [
        torch.from_numpy(read_audio(uid, wav, 16000)) for uid, wav in read_scp(corpus / "train" / "wav.scp").items()
    ]
    together = witness.listen(pad_sequence(rows, True), torch.tensor([len(row) for row in rows]))
    for row, heard in zip(rows, together):
        (single,) = witness.listen(row[None], torch.tensor([len(row)]))
        assert heard.shape == single.shape
        torch.testing.assert_close(heard, single, atol=1e-4, rtol=0)
        first, second = (witness.judge(frames, "天气 good").confidence for frames in (heard, single))
        assert first == pytest.approx(second, abs=1e-6)


def test_the_encoder_is_shared_only_if_it_is_the_very_same(witness):
    model, args = witness.model, witness.args
    assert witness.shares_encoder(deepcopy(model), args)
    for change in ("encoder", "normalize", "conf"):
        other, conf = deepcopy(model), deepcopy(args)
        if change == "encoder":
            next(other.encoder.parameters()).data[0] += 1e-3
        elif change == "normalize":
            other.normalize.mean += 1e-3
        else:
            conf.encoder_conf["attention_heads"] *= 2  # the same weights, other frames
        assert not witness.shares_encoder(other, conf), change


def test_frames_of_a_shared_encoder_are_heard_alike(witness, corpus):
    uid, wav = next(iter(read_scp(corpus / "train" / "wav.scp").items()))
    speech = torch.from_numpy(read_audio(uid, wav, 16000))[None]
    lengths = torch.tensor([speech.size(1)])
    with torch.no_grad():
        feats, frame_lengths = witness.model.frontend(speech, lengths)
        frames, frame_lengths, _ = witness.model.encoder(*witness.model.normalize(feats, frame_lengths))
    (first,), (second,) = witness.listen(speech, lengths), witness.listen_to_frames(frames, frame_lengths)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_another_training_has_another_fingerprint(witness):
    first = witness.fingerprint()
    assert first == deepcopy(witness).fingerprint()
    for name in ("encoder", "ctc_head"):
        other = deepcopy(witness)
        for parameter in getattr(other.model, name).parameters():
            parameter.data += 1e-6 + 1e-6 * parameter.data.abs()
        assert other.fingerprint() != first
