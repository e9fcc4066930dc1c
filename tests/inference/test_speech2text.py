"""Speech2Text: arrays, lazy import, and the second decoding of doubtful utterances."""

import subprocess
import sys

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

import espnet_llmasr
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.gaps import Gap
from espnet_llmasr.inference import speech2text as module
from espnet_llmasr.inference.hypothesis import Hypothesis
from espnet_llmasr.inference.speech2text import Speech2Text, transcribe
from espnet_llmasr.train.speech_batches import read_audio


def test_the_package_offers_the_class_without_loading_it():
    assert espnet_llmasr.Speech2Text is Speech2Text
    with pytest.raises(AttributeError, match="no attribute 'Text2Speech'"):
        espnet_llmasr.Text2Speech
    code = "import sys, espnet_llmasr; print({'torch', 'espnet2', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_array_gives_the_same_as_a_data_directory(llm_model, corpus):
    speech2text = Speech2Text(f"{llm_model}/config.yaml", f"{llm_model}/latest.pth", tokens_per_second=2.0)
    uid, wav = next(iter(read_scp(corpus / "valid" / "wav.scp").items()))
    samples = read_audio(uid, wav, 16000)
    ((text, tokens, ids, hypothesis),) = speech2text(samples)
    assert text == hypothesis.text == transcribe(speech2text, corpus / "valid", 10000)[uid].text != ""
    assert speech2text.prompt.tokenizer.convert_tokens_to_ids(tokens) == ids == speech2text.prompt.target(text)[:-1]
    assert [(text, tokens, ids, hypothesis)] == speech2text(samples, fs=16000) == speech2text(wav)
    assert isinstance(speech2text(samples[::2], fs=8000)[0][0], str)
    with pytest.raises(ValueError, match="missing.wav: missing_wav"):
        speech2text("missing.wav")


def test_clips_that_are_too_short_for_the_encoder_are_empty(llm_model):
    speech2text = Speech2Text(f"{llm_model}/config.yaml", f"{llm_model}/latest.pth", tokens_per_second=2.0)
    noise = 0.1 * torch.randn(speech2text.min_samples).numpy()
    assert speech2text(noise[:-1])[0][0] == "" and speech2text(noise[:1])[0][3] == Hypothesis("", 0.0)
    assert speech2text(noise)[0][3].score < 0 and speech2text.min_samples <= 1600  # 0.1 s
    empty, alone = speech2text.decode([noise[:5], noise], ["", ""])
    assert empty.text == "" and alone.text == speech2text(noise)[0][0]


def test_only_the_doubtful_rows_of_a_batch_are_decoded_again(llm_model, ctc_head, corpus, monkeypatch):
    """Each with its own frames, duration, log-probabilities and language."""
    files = [f"{llm_model}/config.yaml", f"{llm_model}/latest.pth"]
    ctc_files = [f"{ctc_head}/config.yaml", f"{ctc_head}/latest.pth"]
    speech2text = Speech2Text(*files, "cpu", 2, 2.0, "redecode", *ctc_files)
    wavs = sorted(read_scp(corpus / "train" / "wav.scp").items())[:4]
    rows = [torch.from_numpy(read_audio(uid, wav, 16000)) for uid, wav in wavs]
    doubts, searched, verified, chosen = iter([False, True, False, True]), [], [], []
    guard, verify = speech2text.guard, speech2text.guard.verify

    def record(calls, function):
        return lambda *args: calls.append(args) or function(*args)

    monkeypatch.setattr(guard, "is_doubtful", lambda hypothesis: next(doubts))
    monkeypatch.setattr(module, "beam_search", record(searched, module.beam_search))
    monkeypatch.setattr(guard, "verify", record(verified, guard.verify))
    monkeypatch.setattr(guard, "choose", record(chosen, guard.choose))
    lengths = torch.tensor([len(row) for row in rows])
    hypotheses = speech2text.batch(pad_sequence(rows, True), lengths, ["en", "zh", "en", "zh-en"])
    (_, frames, frame_lengths, *_), (_, again, again_lengths, seconds, _, options) = searched
    assert options.beam_size == options.candidates == 6 and again_lengths.tolist() == frame_lengths[[1, 3]].tolist()
    assert torch.equal(again, frames[[1, 3], : int(again_lengths.max())])
    assert seconds.tolist() == (lengths[[1, 3]].numpy() / 16000).tolist()
    assert [language for _, _, language in verified[:4]] == ["en", "zh", "en", "zh-en"]
    for row, (log_probs, first, candidates, language) in zip((1, 3), chosen):
        assert log_probs is verified[row][0] and language == verified[row][2] and len(candidates) == 6
        first_of_row = hypotheses[row].first or hypotheses[row]
        assert first == verify(*verified[row]) == first_of_row


def test_gaps_are_decoded_alone(llm_model, ctc_head, corpus, monkeypatch):
    """The frames of the stretch and its duration, and nothing else, are searched; the guard gets the pieces."""
    files = [f"{llm_model}/config.yaml", f"{llm_model}/latest.pth"]
    speech2text = Speech2Text(*files, "cpu", 2, 2.0, "redecode", f"{ctc_head}/config.yaml", f"{ctc_head}/latest.pth")
    uid, wav = next(iter(read_scp(corpus / "train" / "wav.scp").items()))
    samples, searched, filled = torch.from_numpy(read_audio(uid, wav, 16000))[None], [], []
    seconds, search = samples.size(1) / 16000, module.beam_search
    gaps = (Gap(0.2 * seconds, 0.4 * seconds, "unwritten"), Gap(0.5 * seconds, 0.6 * seconds, "unheard"))
    chosen = Hypothesis("", -1.0, 0.1, ("gap",), gaps=gaps)
    monkeypatch.setattr("espnet_llmasr.inference.guard.MARGIN_S", 0.0)
    monkeypatch.setattr(speech2text.guard, "is_doubtful", lambda hypothesis: True)
    monkeypatch.setattr(speech2text.guard, "choose", lambda *args: chosen)
    monkeypatch.setattr(speech2text.guard, "fill", lambda *args: filled.append(args) or chosen)
    monkeypatch.setattr(module, "beam_search", lambda *args: searched.append(args) or search(*args))
    speech2text.batch(samples, torch.tensor([samples.size(1)]), ["en"])
    (_, frames, lengths, *_), _, (_, stretches, stretch_lengths, durations, _, options) = searched
    first, last = int(0.2 * lengths[0]), -int(-0.4 * lengths[0] // 1)
    assert stretch_lengths.tolist() == [last - first] and torch.equal(stretches, frames[:, first:last])
    assert durations == pytest.approx([(last - first) * seconds / lengths[0]]) and options == speech2text.options
    ((_, hypothesis, pieces, language),) = filled
    assert hypothesis is chosen and len(pieces) == 1 and language == "en"
