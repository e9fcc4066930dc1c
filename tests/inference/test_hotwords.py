"""Hints are what the CTC head hears; a hint in the transcript that it does not hear is taken back."""

import math

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.files import read_scp
from espnet_llmasr.inference.hotwords import MAX_HINTS, HotwordDecoder, readings
from espnet_llmasr.inference.hypothesis import Hypothesis
from espnet_llmasr.inference.speech2text import Speech2Text
from espnet_llmasr.text.hotwords import Hotwords
from espnet_llmasr.train.speech_batches import read_audio

TIAN_QI, GARDEN, CANDLE = "t ian1 q i4", "G AA R D AH N", "K AE N D AH L"


@pytest.fixture(scope="module")
def decoder(verifier):
    return HotwordDecoder(Hotwords(["天气", "garden", "candle"], verifier.labelize), verifier)


def doubt(log_probs, frames, token, loss):
    """Makes `token` less probable than the best token of these frames by `loss`."""
    changed = log_probs.clone()
    changed[frames, token] = changed[frames].max(1).values - loss
    return changed


def test_hints_are_the_entries_that_the_head_hears(decoder, emit):
    assert decoder.hints(emit(f"{TIAN_QI} {CANDLE}")) == ["candle", "天气"]  # the longer one first
    assert decoder.hints(emit("S AH M ER")) == decoder.hints(emit("")) == []


def test_a_probable_other_reading_is_found_and_an_improbable_one_is_not(decoder, emit, verifier):
    wrong = emit("G AA R T AH N", sharpness=20.0)
    (d,) = verifier.labelize("garden").ids[3:4]
    frames = [11, 12]  # of T
    assert decoder.hints(wrong) == []
    assert decoder.hints(doubt(wrong, frames, d, 1.0)) == ["garden"]  # both frames: 2 nats
    assert decoder.hints(doubt(wrong, frames, d, 2.0)) == []  # 4 nats


def test_a_label_that_blank_hides_and_a_label_too_many(decoder, emit, verifier):
    (d,) = verifier.labelize("garden").ids[3:4]
    hidden = emit("G AA R AH N", sharpness=20.0)
    assert decoder.hints(doubt(hidden, [10], d, 2.0)) == ["garden"]
    more = emit("G AA R S D AH N", sharpness=20.0)
    assert decoder.hints(more) == [] and decoder.hints(doubt(more, [11, 12], 0, 1.0)) == ["garden"]


def test_the_greedy_reading_comes_first_and_certain_output_has_no_other(emit, verifier):
    certain = emit(GARDEN, sharpness=20.0)
    assert readings(certain) == [verifier.labelize("garden").ids]
    first, second = readings(doubt(certain, [10], 5, 1.0))
    assert first == verifier.labelize("garden").ids and len(second) == len(first) + 1


def test_the_number_of_hints_is_limited(verifier, emit):
    same = [f"{word} garden" for word in ("red", "Red", "RED", "reD", "rEd", "rED", "ReD", "read", "Read", "reead")]
    same += ["REd", "rEaD"]
    decoder = HotwordDecoder(Hotwords(same, verifier.labelize), verifier)
    labels = verifier.labelize("red garden").ids
    phones = " ".join(verifier.args.token_list[number] for number in labels)
    assert 1 < len(decoder.hints(emit(phones))) <= MAX_HINTS


def test_a_hint_is_refused_where_its_phones_are_not_heard(decoder, emit):
    log_probs = emit(f"{TIAN_QI} {GARDEN}")
    assert decoder.refused(log_probs, "天气 garden", ["天气", "garden"]) == []
    assert decoder.refused(log_probs, "天气 candle", ["天气", "candle"]) == ["candle"]
    assert decoder.refused(log_probs, "天气 candle", ["garden"]) == []  # no hint: the LLM's own word
    assert decoder.refused(log_probs, "天气 garden garden", ["garden"]) == ["garden"]  # said once, written twice
    assert decoder.refused(log_probs, "", ["garden"]) == []


def test_a_transcript_that_cannot_be_aligned_refuses_all_hints(decoder, emit):
    assert decoder.refused(emit(""), "garden candle 天气", ["candle"]) == ["candle"]


def test_a_leak_is_decoded_again_without_its_hint_and_then_without_hints(decoder, emit, monkeypatch):
    log_probs, calls = [emit(GARDEN), emit(f"{GARDEN} {TIAN_QI}"), emit("")], []
    answers = iter([["garden", "candle", ""], ["garden garden"], ["garden 天气"]])

    def search(rows, hints):
        calls.append((rows, hints))
        return [Hypothesis(text, -0.1) for text in next(answers)]

    hints = decoder.hints  # as if the head had misheard the second row
    monkeypatch.setattr(decoder, "hints", lambda row: hints(row) + (["candle"] if len(row) > 25 else []))
    found = decoder.decode(search, log_probs, ["", "", ""])
    assert [hypothesis.text for hypothesis in found] == ["garden", "garden 天气", ""]
    assert calls == [
        ([0, 1, 2], [["garden"], ["garden", "天气", "candle"], []]),
        ([1], [["garden", "天气"]]),
        ([1], [[]]),
    ]


def test_an_entry_that_the_llm_writes_without_a_hint_is_flagged_if_it_is_not_heard(decoder, emit):
    texts = {0: "candle", 1: "garden", 2: "summer"}
    found = decoder.decode(
        lambda rows, hints: [Hypothesis(texts[row], -0.1, flags=("gap",)) for row in rows], [emit(GARDEN)] * 3, [""] * 3
    )
    assert [hypothesis.flags for hypothesis in found] == [("gap", "hotword"), ("gap",), ("gap",)]


def test_the_search_reads_the_hints(llm_model, ctc_head, corpus, monkeypatch):
    """Without a heard hotword nothing changes; with hints the LLM gets them after the speech."""
    files = [f"{llm_model}/config.yaml", f"{llm_model}/latest.pth"]
    with pytest.raises(ValueError, match="hotwords need the CTC head"):
        Speech2Text(*files).hotwords(["garden"])
    speech2text = Speech2Text(*files, "cpu", 2, 2.0, "flag", f"{ctc_head}/config.yaml", f"{ctc_head}/latest.pth")
    wavs = sorted(read_scp(corpus / "train" / "wav.scp").items())[:3]
    rows = [torch.from_numpy(read_audio(uid, wav, 16000)) for uid, wav in wavs]
    batch = pad_sequence(rows, True), torch.tensor([len(row) for row in rows])
    decoder, given = speech2text.hotwords(["garden"]), []
    plain = speech2text.batch(*batch)
    monkeypatch.setattr(decoder, "hints", lambda row: [])
    assert speech2text.batch(*batch, hotwords=decoder) == plain
    monkeypatch.setattr(decoder, "hints", lambda row: ["garden"])
    with_hints = speech2text.prompt.with_hints
    monkeypatch.setattr(speech2text.prompt, "with_hints", lambda hints: given.append(list(hints)) or with_hints(hints))
    hinted = speech2text.batch(*batch, hotwords=decoder)
    assert given[:3] == [["garden"]] * 3
    assert any(not math.isclose(one.score, other.score) for one, other in zip(plain, hinted))
