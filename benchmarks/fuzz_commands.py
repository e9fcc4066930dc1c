"""The calls of benchmarks/fuzz.py that succeed: every command of espnet_llmasr.bin, on a tiny experiment."""

from typing import NamedTuple, Optional, Sequence, Tuple

RATE = 16000
LLM = "--vocab_size 290 --hidden_size 64 --num_layers 2 --num_updates 2 --batch_size 2".split()
HEAD = ("--ctc_train_config", "my exp/pretrain/config.yaml", "--ctc_model_file", "my exp/pretrain/latest.pth")
MODEL = ("--llm_asr_train_config", "my exp/align/config.yaml", "--llm_asr_model_file", "my exp/align/latest.pth")


class Command(NamedTuple):
    """A call that succeeds. `bad` are the arguments that bad calls begin with, where they differ: `arguments`."""

    name: str
    arguments: Tuple[str, ...]
    bad: Optional[Tuple[str, ...]] = None


def of(name: str, *arguments: str, bad: Optional[Sequence[str]] = None) -> Command:
    return Command(name, tuple(arguments), bad and tuple(bad))


def training(name: str, out: str, labels: str, *more: str) -> Command:
    """A training in `my exp/<out>`; bad calls train in another folder, or go on in this one."""
    words = ["--config", f"conf/{labels}.yaml", "--seed", "1"]
    for part in ("train", "valid"):
        words += [f"--{part}_shape_file", f"my dump/{part}/utt2num_frames"]
        for file in (f"wav.scp,speech,audio_{RATE}", f"{labels},{labels},text"):
            words += [f"--{part}_data_path_and_name_and_type", f"my dump/{part}/{file}"]
    words += more
    return of(name, *words, "--output_dir", f"my exp/{out}", bad=[*words, "--output_dir", f"my exp/{out}_new"])


def longer(command: Command) -> Command:
    """The same training resumed, with one epoch more."""
    return of(command.name, *command.arguments, "--resume", "true", "--max_epoch", "3")


DATA = ("data/train", "data/valid")
STORE = ("--encoder_dir", "my exp/encoders")
SETS = ("--ref_dir", "my dump", "--hyp_dir", "my exp/decode")
CHECKED = ("--unit", "phone", "--tokens", "my dump/phones.txt", "--fs", str(RATE))
VALID = ("--data_dir", "my dump/valid")
SILENT = ("--data_dir", "my dump/nonspeech")
FINE_TUNING = (
    *("--llm_config", "my exp/llm/config.json", "--llm_tokenizer", "my exp/llm/tokenizer.json"),
    *("--init_param", "my exp/llm/llm.pth::llm", "--freeze_param", "encoder", "llm", *STORE),
)
PRETRAIN = training("phoneme_ctc_train", "pretrain", "phones", "--token_list", "my dump/phones.txt")
PACED = training("llm_asr_train", "paced", "text", *FINE_TUNING, "--swap", "every_epoch", "--pace", "1")
ALIGN = training("llm_asr_train", "align", "text", *FINE_TUNING)

# In an order in which each finds its input.
COMMANDS = [
    of("plan_corpora", "conf/corpora.yaml", "--jobs", "my jobs.tsv"),
    of("prepare_corpus", "msr_86k", "corpus", "en", "data/corpus"),
    of("prepare_table", "my audio/train", "conf/own.csv", "data/own"),
    of("check_data", *DATA),
    of("check_overlap", "--train", "data/train", "--test", "data/valid", "--out", "data/overlap"),
    of("combine_data", "data/all", *DATA),
    of("format_data", "--data", "data/train", "--out", "my dump/train", *CHECKED),
    of("format_data", "--data", "data/valid", "--out", "my dump/valid", *CHECKED),
    of("split_data", "--data_dir", "my dump/train", "--num_splits", "2"),
    of("compute_stats", "--data_dir", "my dump/train", "--output", "my exp/stats/feats_stats.npz"),
    of("prepare_llm", "--text", "my dump/train/text", "--output_dir", "my exp/llm", *LLM, "--system", "Be brief."),
    of("make_targets", *VALID, "--embedder", "my exp/llm", "--out", "my exp/targets.npz"),
    PRETRAIN,
    of("plan_swaps", "--pretrain_dir", "my exp/pretrain", *VALID, "--start_step", "2"),
    of("watch", "--pretrain_dir", "my exp/pretrain", *VALID, *STORE, "--epochs", "stored", "--start_step", "2"),
    of("phoneme_ctc_inference", *HEAD, *VALID, "--output_dir", "my exp/decode/valid"),
    of("calibrate_guard", *HEAD, *VALID),
    of("make_swap_schedule", *STORE, "--epochs", "3", "--schedule", "my exp/swaps.jsonl"),
    ALIGN,
    of("whole_weights", "my exp/align/1epoch.pth", "my exp/whole.pth"),
    of("swap_table", *STORE, "--ia_sft_dir", "my exp/align", "--out", "my exp/swaps.md"),
    of("llm_asr_inference", *MODEL, *HEAD, "--guard", "redecode", *VALID, "--output_dir", "my exp/decode/valid",
       "--tokens_per_second", "2"),
    of("transcribe", *MODEL, *HEAD, "my audio/valid", "--format", "json", "--output_dir", "my exp/transcribed"),
    of("verify_transcripts", *HEAD, *VALID, "--hyp_dir", "my exp/decode/valid"),
    of("measure_guard", *HEAD, "--ref_dir", "my dump", "--hyp_dir", "my other", "--out", "my exp/guard", "valid"),
    of("score", *SETS, "valid"),
    of("score", *SETS, "--unit", "phone", "valid"),
    of("compare", *SETS, "--other_hyp_dir", "my other", "--out", "my exp/compare.json", "valid"),
    of("benchmark", "--config", "conf/benchmark.yaml", *SETS),
    of("make_nonspeech", "--out", "my dump/nonspeech", "--wav_scp", "my dump/train/wav.scp", "--clips", "8"),
    of("llm_asr_inference", *MODEL, *HEAD, *SILENT, "--output_dir", "my exp/off/nonspeech",
       "--tokens_per_second", "1"),
    of("nonspeech_table", *SILENT, "--hyp_dir", "my exp/off/nonspeech", "--out", "my exp/nonspeech.md"),
    of("measure_encoders", "--exp", "my exp", *VALID, "--targets", "my exp/targets.npz", "--out", "my exp/observe",
       "--num_components", "1"),
    of("flops", "my exp/pretrain", "my exp/align"),
    of("flops", "--plan", "conf/text.yaml", "--data_dir", "my dump/train", "--llm_dir", "my exp/llm",
       "--budget", "3e14", "--spent", "my exp/pretrain"),
    of("report", "--expdir", "my exp", "--out", "my exp/report.html"),
    of("pack", *MODEL, *HEAD, "--out", "my exp/pack", "--data", "my dump/train"),
    of("export", "my exp/pack", "my exp/exported"),
    of("serve", "--help", bad=("my exp/none",)),  # serves for ever by right
    of("upload", "my exp/pack", "user/model", "--dry_run"),
    of("strategy", "ia_sft", "--strategies", "conf/strategies.yaml"),
    of("strategy_table", "--runs", "my runs/runs.jsonl", "--out", "my exp/table.md"),
    of("power", "--runs", "my runs/runs.jsonl", "--seeds", "4", "--family", "3", "--values", "MER %"),
    of("fit_scaling", "--runs", "conf/budgets.jsonl", "--value", "MER %", "--out", "my exp/scaling"),
    of("run_strategies", "--recipe", ".", "--out", "my runs", "--strategies", "efin", "--seeds", "1"),
    of("run_parallel", "--job", "one", "one.log", "true"),
    of("import_firered", "FireRedASR", "my exp/firered"),
    of("prepare_encoder", "--encoder", "hub/wav2vec2", "--output_dir", "my exp/wav2vec2"),
    of("plan_training", "conf/phones.yaml", "--task", "phoneme_ctc", *VALID, "--token_list", "my dump/phones.txt"),
    of("doctor", "--help", bad=("my exp/pretrain/config.yaml",)),  # fails by right for a training of two updates
    PACED,
    of("check_swaps", "my exp/paced"),
    longer(PRETRAIN),
    longer(ALIGN),
]  # fmt: skip
