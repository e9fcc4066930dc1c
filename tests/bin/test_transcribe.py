"""bin.transcribe: the same transcripts as in Python and one by one, bad files, and exit codes."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import soundfile

from espnet_llmasr.bin import transcribe
from espnet_llmasr.inference import transcribe as module
from espnet_llmasr.inference.speech2text import Speech2Text


@pytest.fixture(scope="module")
def model(llm_model, ctc_head):
    files = [f"{llm_model}/config.yaml", f"{llm_model}/latest.pth"]
    head = [f"{ctc_head}/config.yaml", f"{ctc_head}/latest.pth"]
    names = ("--llm_asr_train_config", "--llm_asr_model_file", "--ctc_train_config", "--ctc_model_file")
    return [*sum(zip(names, [*files, *head]), ()), "--guard", "redecode"]


@pytest.fixture(scope="module")
def speech2text(model):
    return Speech2Text(model[1], model[3], guard="redecode", ctc_train_config=model[5], ctc_model_file=model[7])


def test_the_command_python_and_single_calls_agree(model, speech2text, corpus, capsys):
    """Texts, words, flags and second decodings, in batches of 3 and one by one."""
    assert transcribe.main([str(corpus / "train"), "--format", "json", "--batch_size", "3", *model]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    together = list(speech2text.transcribe(corpus / "train", batch_size=16))
    assert [row["id"] for row in rows] == [one.id for one in together] == [f"train_{number}" for number in range(8)]
    for number, (row, one) in enumerate(zip(rows, together)):
        ((text, _, _, hypothesis),) = speech2text(corpus / "train" / f"{number}.wav")
        assert row["text"] == one.text == text and row["flags"] == list(one.hypothesis.flags) == list(hypothesis.flags)
        assert [word["text"] for word in row["words"]] == [word.text for word in hypothesis.words]
        assert row["confidence"] == pytest.approx(hypothesis.confidence, abs=1e-4)
        assert one.hypothesis.score == pytest.approx(hypothesis.score, abs=1e-4)


@pytest.mark.parametrize("pause_s, pieces", [("0.3", 4), ("0.6", 2), (None, 3)])
def test_the_pause_that_ends_a_piece_is_an_option(pause_s, pieces, model, capsys, tmp_path, monkeypatch):
    """Four tones with pauses of 0.35, 0.5 and 1 s; a detector by level stands for Silero, which hears no speech."""
    monkeypatch.setattr(module, "silero", lambda rate: lambda samples: np.abs(samples).reshape(-1, 512).max(1) * 2)
    tone = 0.5 * np.sin(np.arange(16000 * 8 // 10) * 0.2)
    parts = [part for pause in (0, 0.35, 0.5, 1) for part in (np.zeros(int(16000 * pause)), tone)]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), 16000)
    options = [] if pause_s is None else ["--pause_s", pause_s]
    options += ["--longest_s", "5", "--format", "json", *model[:4]]
    assert transcribe.main([str(tmp_path / "long.wav"), *options]) == 0
    segments = json.loads(capsys.readouterr().out)["segments"]
    assert len(segments) == pieces and segments[0]["start_s"] == 0


def test_bad_files_end_with_exit_code_1(model, corpus, command, tmp_path):
    """20 of 200 in small: each bad file is named, and each good one has its file."""
    files = [corpus / "train" / f"{number}.wav" for number in range(4)]
    (tmp_path / "bad.wav").write_text("no audio")
    done = command(transcribe, *files[:2], tmp_path / "bad.wav", tmp_path / "none.wav", *files[2:], "--output_dir",
                   tmp_path / "out", "--format", "srt", *model)  # fmt: skip
    assert done.code == 1 and "bad.wav: unreadable_wav" in done.err and "none.wav: missing_wav" in done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{number}.srt" for number in range(4)]


def test_a_file_name_of_another_encoding_is_transcribed_with_its_bytes_named(model, corpus, tmp_path, capsys):
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(corpus / "train/0.wav", os.fsencode(folder) + b"/\xc4\xe3.wav")
    shutil.copy(corpus / "train/1.wav", folder / "你.wav")
    assert transcribe.main([str(folder), *model]) == 0
    ids = [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert ids == [f"{folder}/你.wav", rf"{folder}/\xc4\xe3.wav"]
    assert transcribe.main([str(folder), "--output_dir", str(tmp_path / "out"), *model]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == [r"\xc4\xe3.txt", "你.txt"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--format", "ctm"], "--format ctm needs the times of words"),
        (["--format", "vtt"], "--format vtt holds one recording, found 8: give --output_dir"),
        (["--format", "doc"], "invalid choice: 'doc'"),
        (["--pause_s", "0"], "0 is no finite number of at least 0.1"),
        (["--model", "x"], "give --model, or --llm_asr_train_config and --llm_asr_model_file"),
    ],
)
def test_refused(options, message, model, corpus, command):
    done = command(transcribe, corpus / "train", *model[:4], *options)
    assert done.code == 1 and re.search(re.escape(message), done.err) and done.err.count("\n") <= 2
