"""Mistakes in options and files that end in one clear line, not in a traceback."""

import os
import resource
import shutil
import signal

import numpy as np
import pytest

from espnet_llmasr.bin import (
    calibrate_guard,
    compute_stats,
    format_data,
    llm_asr_inference,
    llm_asr_train,
    phoneme_ctc_train,
    prepare_llm,
    watch,
)
from espnet_llmasr.tasks.checks import explaining_stops


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(encoder_conf=dict(output_siz=64)), "--encoder_conf has 'output_siz', allowed are input_size,"),
        (dict(model_conf=dict(cr_scales=1.0)), "--model_conf has 'cr_scales', allowed are cr_scale,"),
        (dict(ctc_head_conf=dict(layers=2)), "--ctc_head_conf has 'layers', allowed are dropout_rate"),
        (dict(optim_conf=dict(lrs=0.1)), "--optim_conf has 'lrs', allowed are lr,"),
        (dict(scheduler="warmuplr", scheduler_conf=dict(warmup=1)), "--scheduler_conf has 'warmup', allowed are "),
        (
            dict(scheduler="exponentialdecaywarmup", scheduler_conf=dict(total_steps=5, warmup_steps=9)),
            "--scheduler_conf has total_steps=5, expected more than warmup_steps=9",
        ),
        (dict(accum_grad=0), "--accum_grad is 0, expected at least 1"),
        (dict(use_adapter=True), "--use_adapter is True, expected False: ESPnet's LoRA would train all parameters"),
        (dict(save_strategy="adapter_only"), "--save_strategy is adapter_only, expected all: ESPnet's LoRA would"),
        (dict(use_deepspeed=True), "--use_deepspeed is True, expected False: --deepspeed_config conf/ds_zero2.json"),
        (dict(deepspeed_config="none.json"), "none.json does not exist"),
        (dict(lr_factor=dict(adaptor=10.0)), "--lr_factor has 'adaptor', which is no module of the model: it has"),
        (
            dict(pretrain_path="a.pth"),
            "argument --pretrain_path: is 'a.pth', but ESPnet has given it up: give --init_param",
        ),
        (dict(ngpu=1), "--ngpu is 1, but no GPU can be used here: give --ngpu 0"),
    ],
)
def test_options_of_a_training(mistake, phone_options, changes, message, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert message in mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", **changes))


HUBERT = dict(model_type="hubert", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
HUBERT |= dict(conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
WAVES = dict(encoder="wav2vec2", encoder_conf=dict(config=HUBERT), frontend="waveform", normalize=None, specaug=None)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(frontend="waveform", normalize=None), "--encoder firered_conformer reads spectra, --frontend waveform"),
        (dict(frontend="whisper"), "--frontend whisper has the scale that its encoder needs: give --normalize none"),
        (WAVES, "time_warp_factor is 5, but --frontend waveform makes no spectra"),
        (dict(WAVES, frontend="kaldi_fbank"), "the encoder hubert reads 160 values a frame, the frontend makes 80"),
        (dict(WAVES, specaug="masks"), "--specaug masks masks spectra, --frontend waveform makes none: give --specaug"),
        (dict(frontend="default", frontend_conf=dict(hop=1)), "--frontend_conf has 'hop', allowed are n_fft,"),
        (dict(frontend="sliding_window"), "there is no frontend 'sliding_window', allowed are kaldi_fbank, default,"),
        (dict(encoder="whisper", encoder_conf={}), "--encoder_conf has a config of model_type 'None', allowed are"),
    ],
)
def test_components_that_do_not_mix(mistake, phone_options, changes, message, tmp_path):
    assert message in mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", **changes))


def test_options_of_the_adaptor(mistake, llm_options, tmp_path):
    line = mistake(llm_asr_train, *llm_options(tmp_path / "out", adaptor_conf=dict(stride=2)))
    assert "--adaptor_conf has 'stride', allowed are downsample" in line


def test_a_configuration_that_is_no_yaml(mistake, tmp_path):
    (tmp_path / "conf.yaml").write_text("max_epoch: [1\n")
    assert "conf.yaml" in mistake(phoneme_ctc_train, "--config", tmp_path / "conf.yaml")


def test_a_configuration_that_is_no_text(mistake, tmp_path):
    (tmp_path / "conf.yaml").write_bytes(b"max_epoch: 1 # \xff\xde")
    assert "conf.yaml is not UTF-8 text (byte 15)" in mistake(phoneme_ctc_train, "--config", tmp_path / "conf.yaml")


def test_a_configuration_that_is_no_file(mistake, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, fault in ((tmp_path, "is a folder, a pipe"), (tmp_path / "pipe.yaml", "is a folder, a pipe")):
        assert f"{path} {fault}" in mistake(phoneme_ctc_train, "--config", path)
    assert "No such file: none.yaml" in mistake(phoneme_ctc_train, "--config", "none.yaml")


@pytest.mark.parametrize(
    "module, arguments, message",
    [
        (format_data, ["--fs", 16], "--fs: 16 is no whole number of at least 1000"),
        (format_data, ["--nj", 0], "--nj: 0 is no whole number of at least 1"),
        (compute_stats, ["--max_utterances", 0], "--max_utterances: 0 is no whole number of at least 1"),
        (llm_asr_inference, ["--beam_size", "none"], "--beam_size: none is no whole number of at least 1"),
        (format_data, ["--max_duration", "nan"], "--max_duration: nan is no finite number of at least 0"),
        (
            llm_asr_inference,
            ["--tokens_per_second", "inf"],
            "--tokens_per_second: inf is no finite number of at least 0",
        ),
        (watch, ["--threshold", "nan"], "--threshold: nan is no finite number of 0 to 1"),
        (watch, ["--poll_s", "-1"], "--poll_s: -1 is no finite number of 0 to 3600"),
        (calibrate_guard, ["--false_alarms", "1e3"], "--false_alarms: 1e3 is no finite number of 0 to 1"),
        (llm_asr_inference, ["--device", "foo"], "--device: no device 'foo' here: give cpu, or cuda where a GPU is"),
        (prepare_llm, ["--output_dir", "x", "--llm", "/none"], "--llm /none has no config.json: give the directory"),
    ],
)
def test_values_out_of_range(mistake, module, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in mistake(module, *arguments)
    assert list(tmp_path.iterdir()) == []


# ---- trainings that are stopped from outside -----------------------------------------------------------------------


def test_a_killed_data_process_is_one_line(mistake, phone_options, monkeypatch, tmp_path):
    main = os.getpid()

    def killed(*args):
        assert os.getpid() != main
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("espnet_llmasr.train.speech_batches.read_audio", killed)
    line = mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", num_workers=1))
    assert "a process that loads data was killed" in line and "lower --num_workers" in line


def test_a_full_disk_in_a_checkpoint_is_one_line(mistake, phone_options, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        line = mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", max_epoch=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"in {tmp_path / 'out'} (" in line and "MB free): make room and start again" in line


@pytest.mark.parametrize(
    "message, explanation",
    [
        ("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:9", "another rank"),
        ("NCCL error: remote process exited or there was a network error", "another rank"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "no memory is left"),
    ],
)
def test_messages_of_torch(message, explanation):
    with pytest.raises(ValueError, match=explanation):
        with explaining_stops():
            raise RuntimeError(message)


def test_a_bug_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="a bug"):
        with explaining_stops():
            raise RuntimeError("a bug")


# ---- damaged inputs of trainings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 99, b"null"])
def test_damaged_statistics(mistake, phone_options, content, tmp_path):
    (tmp_path / "s.npz").write_bytes(content)
    conf = dict(normalize_conf=dict(stats_file=f"{tmp_path}/s.npz"))
    line = mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", **conf))
    assert f"{tmp_path}/s.npz holds no statistics of features" in line and "stage 3" in line


def test_statistics_without_frames(mistake, phone_options, tmp_path):
    np.savez(tmp_path / "s.npz", count=0, sum=np.zeros(80), sum_square=np.zeros(80))
    conf = dict(normalize_conf=dict(stats_file=f"{tmp_path}/s.npz"))
    line = mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", **conf))
    assert f"{tmp_path}/s.npz has no finite sums of a positive number of frames" in line


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"3"])
def test_damaged_files_of_the_llm(mistake, llm_options, tiny_llm, name, content, tmp_path):
    shutil.copytree(tiny_llm, tmp_path / "llm")
    (tmp_path / "llm" / name).write_bytes(content)
    files = dict(llm_config=f"{tmp_path}/llm/config.json", llm_tokenizer=f"{tmp_path}/llm/tokenizer.json")
    line = mistake(llm_asr_train, *llm_options(tmp_path / "out", **files))
    assert f"{tmp_path}/llm" in line


@pytest.mark.parametrize(
    "content", ["", "[]", '{"text": "<speech>", "end_token": 3}', '{"text": "a", "end_token": "b"}']
)
def test_a_damaged_prompt(mistake, llm_options, tiny_llm, content, tmp_path):
    shutil.copytree(tiny_llm, tmp_path / "llm")
    (tmp_path / "llm" / "prompt.json").write_text(content)
    files = dict(llm_config=f"{tmp_path}/llm/config.json", llm_tokenizer=f"{tmp_path}/llm/tokenizer.json")
    line = mistake(llm_asr_train, *llm_options(tmp_path / "out", **files))
    assert f"{tmp_path}/llm/prompt.json holds no prompt of an LLM" in line
