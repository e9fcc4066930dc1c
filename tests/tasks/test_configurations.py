"""Every configuration in conf/ and conf/mini trains one update on a shrunk encoder, from pretraining to decoding."""

from pathlib import Path

import pytest

from espnet_llmasr.bin import llm_asr_inference, watch
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask

ROOT = Path(__file__).resolve().parents[2]
SMALL = [f"--encoder_conf={value}" for value in ("output_size=64", "num_blocks=2", "attention_heads=2")]


@pytest.fixture()
def train(corpus, tiny_llm, tmp_path, request):
    """(conf, stage, task, options) -> the folder of a training of one epoch of one update with the stage's files."""

    def run(conf: Path, stage: str, task, *more) -> Path:
        out, data = tmp_path / stage, "phones" if task is PhonemeCTCTask else "text"
        options = ["--base_config", conf / "training.yaml", conf / "encoder.yaml", "--config", conf / f"{stage}.yaml"]
        options += ["--output_dir", out, *SMALL, "--normalize_conf", f"stats_file={corpus}/feats_stats.npz"]
        for name in ("train", "valid"):
            for table in ("wav.scp,speech,audio_16000", f"{data},{data},text"):
                options += [f"--{name}_data_path_and_name_and_type", f"{corpus / name}/{table}"]
            options += [f"--{name}_shape_file", corpus / name / "utt2num_frames"]
        if task is PhonemeCTCTask:
            options += ["--token_list", corpus / "phones.txt"]
        else:
            options += ["--llm_config", tiny_llm / "config.json", "--llm_tokenizer", tiny_llm / "tokenizer.json"]
        accum_grad = task.get_parser().parse_args([str(word) for word in options]).accum_grad
        options += ["--max_epoch", 1, "--num_iters_per_epoch", accum_grad, "--num_workers", 0, *more]
        task.main(cmd=[str(word) for word in options])
        assert (out / "finished").exists() and (out / "1epoch.pth").exists()
        return out

    return run


@pytest.mark.parametrize("conf", [ROOT / "conf", ROOT / "conf" / "mini"], ids=["full_size", "mini"])
def test_one_update_of_every_stage(conf, train, corpus, tiny_llm, tmp_path):
    pretrain = train(conf, "pretrain", PhonemeCTCTask)
    store, cka = tmp_path / "store", corpus / "valid"
    options = ["--config", conf / "watch.yaml", "--start_step", 0, "--pretrain_dir", pretrain, "--data_dir", cka]
    watch.main([str(word) for word in [*options, "--encoder_dir", store]])
    swaps = ["--encoder_dir", store, "--init_param"]
    align = train(conf, "align", LLMASRTask, *swaps, f"{tiny_llm}/llm.pth::llm")
    ia_sft = train(conf, "ia_sft", LLMASRTask, *swaps, align / "latest.pth", "--final_epochs", 1)
    joint_sft = train(conf, "joint_sft", LLMASRTask, "--init_param", ia_sft / "latest.pth")
    (tmp_path / "names.txt").write_text("yellow\nbanana\n")
    train(
        conf,
        "context_sft",
        LLMASRTask,
        "--init_param",
        joint_sft / "latest.pth",
        "--hints",
        f"file={tmp_path}/names.txt",
    )
    train(conf, "ctc_head", PhonemeCTCTask, "--init_param", f"{joint_sft}/latest.pth:encoder:encoder")
    options = ["--config", conf / "decode.yaml", "--data_dir", cka, "--output_dir", tmp_path / "decode"]
    model = ["--llm_asr_train_config", joint_sft / "config.yaml", "--llm_asr_model_file", joint_sft / "latest.pth"]
    llm_asr_inference.main([str(word) for word in [*options, *model]])
    assert len((tmp_path / "decode" / "text").read_text().splitlines()) == 4


def test_no_configuration_is_left_out():
    trained = {
        "training",
        "encoder",
        "pretrain",
        "watch",
        "align",
        "ia_sft",
        "joint_sft",
        "context_sft",
        "ctc_head",
        "decode",
    }
    others = {"llm", "strategies", "benchmark"}  # of stage 4, of run.sh and of stage 12; their tests read them
    for folder in (ROOT / "conf", ROOT / "conf" / "mini"):
        assert {path.stem for path in folder.glob("*.yaml")} <= trained | others
