"""Every command: an unknown option, a missing file; decoding, statistics and LLM preparation on tiny data."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_llmasr import bin as commands
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.bin import compute_stats, llm_asr_inference, phoneme_ctc_inference, prepare_llm
from espnet_llmasr.files import read_scp
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.prompt import Prompt
from espnet_llmasr.train.speech_batches import read_audio

NAMES = sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_option_and_no_option(command, name):
    module = importlib.import_module(f"espnet_llmasr.bin.{name}")
    for arguments in (("--no_such_option", "1"), ()):
        done = command(module, *arguments)
        lines = [line for line in done.err.splitlines() if not line.startswith(sys.executable)]  # ESPnet's echo
        assert done.code == 1 and len(lines) == 1 and "usage:" not in done.err, done.err
        assert "--" in lines[0] and lines[0].startswith(f"{name}: ")


def test_as_a_real_process():
    wrong = [sys.executable, "-m", "espnet_llmasr.bin.run_parallel", "--bogus"]
    done = subprocess.run(wrong, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run_parallel" in done.stderr


# ---- decoding ------------------------------------------------------------------------------------------------------


def decode(model, data, out, *more):
    files = ["--llm_asr_train_config", f"{model}/config.yaml", "--llm_asr_model_file", f"{model}/latest.pth"]
    return [*files, "--data_dir", str(data), "--output_dir", str(out), "--tokens_per_second", "2", *map(str, more)]


def test_shards_together_are_the_whole(llm_model, corpus, tmp_path):
    llm_asr_inference.main(decode(llm_model, corpus / "train", tmp_path / "all"))
    whole = read_scp(tmp_path / "all" / "text")
    assert list(whole) == sorted(read_scp(corpus / "train" / "wav.scp"))
    assert all(float(score) <= 0 for score in read_scp(tmp_path / "all" / "score").values())
    parts = {}
    for part in range(1, 10):  # more shards than utterances
        llm_asr_inference.main(decode(llm_model, corpus / "train", tmp_path / "parts", "--shard", f"{part}/9"))
        parts |= read_scp(tmp_path / "parts" / f"text.{part}")
    assert parts == whole


def test_phones(phone_options, corpus, tmp_path):
    phone_model = tmp_path / "model"
    PhonemeCTCTask.main(cmd=phone_options(phone_model, max_epoch=1))
    files = ["--ctc_train_config", f"{phone_model}/config.yaml", "--ctc_model_file", f"{phone_model}/latest.pth"]
    phoneme_ctc_inference.main([*files, "--data_dir", str(corpus / "valid"), "--output_dir", str(tmp_path)])
    phones = read_scp(tmp_path / "phones")
    model, config = PhonemeCTCTask.load(f"{phone_model}/config.yaml", f"{phone_model}/latest.pth")
    for uid, wav in read_scp(corpus / "valid" / "wav.scp").items():
        speech = torch.from_numpy(read_audio(uid, wav, 16000))[None]
        (ids,) = model.transcribe(speech, torch.tensor([speech.size(1)]))
        assert phones[uid].split() == [config.token_list[i] for i in ids]


@pytest.mark.parametrize("fault", ["nan", "absent", "unlisted", "empty"])
def test_bad_audio_is_one_line_and_no_result(mistake, llm_model, tmp_path, fault):
    data = tmp_path / "data"
    data.mkdir()
    samples = np.full(16000, np.nan if fault == "nan" else 0.1, dtype=np.float32)
    if fault != "absent":
        soundfile.write(data / "a.wav", samples, 16000, subtype="FLOAT")
    (data / "wav.scp").write_text("" if fault == "empty" else f"utt1 {data}/a.wav\n")
    (data / "utt2num_frames").write_text("" if fault in ("unlisted", "empty") else "utt1 98\n")
    last = mistake(llm_asr_inference, *decode(llm_model, data, tmp_path / "out"))
    assert last.startswith("llm_asr_inference: ")
    assert ("wav.scp is empty" if fault == "empty" else "utt1") in last
    assert not (tmp_path / "out").exists()


# ---- statistics and LLM --------------------------------------------------------------------------------------------


def test_statistics_of_nothing(mistake, tmp_path):
    for name in ("wav.scp", "utt2num_frames"):
        (tmp_path / name).write_text("")
    assert "wav.scp is empty" in mistake(compute_stats, "--data_dir", tmp_path, "--output", tmp_path / "s.npz")
    assert not (tmp_path / "s.npz").exists()


def test_a_tiny_llm_learns_to_repeat(corpus, tmp_path):
    sizes = dict(hidden_size=64, num_layers=2, vocab_size=280, num_updates=30, batch_size=8)
    sizes = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    prepare_llm.main(["--text", str(corpus / "train" / "text"), "--output_dir", str(tmp_path), *sizes])
    model = build_llm(tmp_path / "config.json")
    model.load_state_dict(torch.load(tmp_path / "llm.pth", weights_only=True))
    prompt = Prompt.read(load_tokenizer(tmp_path / "tokenizer.json"), tmp_path / "prompt.json")
    assert prompt.decode(prompt.target("red 你好")) == "red 你好" and prompt.end_id < model.config.vocab_size
    assert not list(tmp_path.glob(".*"))
    first = torch.load(tmp_path / "llm.pth", weights_only=True)
    prepare_llm.main(["--text", str(corpus / "train" / "text"), "--output_dir", str(tmp_path), *sizes])
    second = torch.load(tmp_path / "llm.pth", weights_only=True)
    assert all(first[name].equal(second[name]) for name in first)  # seeded


def test_an_llm_from_a_directory(tiny_llm, tmp_path):
    model = build_llm(tiny_llm / "config.json")
    model.load_state_dict(torch.load(tiny_llm / "llm.pth", weights_only=True))
    model.save_pretrained(tmp_path / "hub")
    load_tokenizer(tiny_llm / "tokenizer.json").save_pretrained(tmp_path / "hub")
    prepare_llm.main(["--llm", str(tmp_path / "hub"), "--output_dir", str(tmp_path / "out")])
    state = torch.load(tmp_path / "out" / "llm.pth", weights_only=True)
    again = build_llm(tmp_path / "out" / "config.json")
    again.load_state_dict(state)
    assert all(state[name].equal(value) for name, value in model.state_dict().items())


def test_an_llm_without_chat_template_and_end_of_text(mistake, tiny_llm, tmp_path):
    build_llm(tiny_llm / "config.json").save_pretrained(tmp_path / "hub")
    tokenizer = load_tokenizer(tiny_llm / "tokenizer.json")
    tokenizer.chat_template = tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "hub")
    assert "neither a chat template nor" in mistake(
        prepare_llm, "--llm", tmp_path / "hub", "--output_dir", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()
