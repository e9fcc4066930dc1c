"""Mistakes in options and files that end in one clear line, not in a traceback."""

import pytest

from espnet_llmasr.bin import (
    compute_stats,
    format_data,
    llm_asr_inference,
    llm_asr_train,
    phoneme_ctc_train,
    prepare_llm,
)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(encoder_conf=dict(output_siz=64)), "--encoder_conf has 'output_siz', allowed are input_size,"),
        (dict(model_conf=dict(cr_scales=1.0)), "--model_conf has 'cr_scales', allowed are cr_scale,"),
        (dict(ctc_head_conf=dict(layers=2)), "--ctc_head_conf has 'layers', allowed are dropout_rate"),
        (dict(optim_conf=dict(lrs=0.1)), "--optim_conf has 'lrs', allowed are lr,"),
        (dict(scheduler="warmuplr", scheduler_conf=dict(warmup=1)), "--scheduler_conf has 'warmup', allowed are "),
        (dict(accum_grad=0), "--accum_grad is 0, expected at least 1"),
        (dict(use_adapter=True), "--use_adapter is True, expected False: LoRA would train all parameters"),
        (dict(save_strategy="adapter_only"), "--save_strategy is adapter_only, expected all: LoRA would"),
        (dict(ngpu=1), "--ngpu is 1, but no GPU can be used here: give --ngpu 0"),
    ],
)
def test_options_of_a_training(mistake, phone_options, changes, message, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert message in mistake(phoneme_ctc_train, *phone_options(tmp_path / "out", **changes))


def test_options_of_the_adaptor(mistake, llm_options, tmp_path):
    line = mistake(llm_asr_train, *llm_options(tmp_path / "out", adaptor_conf=dict(stride=2)))
    assert "--adaptor_conf has 'stride', allowed are downsample" in line


def test_a_configuration_that_is_no_yaml(mistake, tmp_path):
    (tmp_path / "conf.yaml").write_text("max_epoch: [1\n")
    assert "conf.yaml" in mistake(phoneme_ctc_train, "--config", tmp_path / "conf.yaml")


@pytest.mark.parametrize(
    "module, arguments, message",
    [
        (format_data, ["--fs", 16], "--fs: 16 is no whole number of at least 1000"),
        (format_data, ["--nj", 0], "--nj: 0 is no whole number of at least 1"),
        (compute_stats, ["--max_utterances", 0], "--max_utterances: 0 is no whole number of at least 1"),
        (llm_asr_inference, ["--beam_size", "none"], "--beam_size: none is no whole number of at least 1"),
        (llm_asr_inference, ["--device", "foo"], "--device: no device 'foo' here: give cpu, or cuda where a GPU is"),
        (prepare_llm, ["--output_dir", "x", "--llm", "/none"], "--llm /none has no config.json: give the directory"),
    ],
)
def test_values_out_of_range(mistake, module, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in mistake(module, *arguments)
    assert list(tmp_path.iterdir()) == []
