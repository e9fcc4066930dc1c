"""The newcomer's path of docs/own_data.md: a folder of real wavs and a CSV become a trained, scored, packed model."""

import csv
import os
import subprocess
from pathlib import Path

import pytest
import soundfile
from recipe import REPO

from espnet_llmasr.bin import (
    calibrate_guard,
    check_data,
    compute_stats,
    format_data,
    llm_asr_inference,
    llm_asr_train,
    pack,
    phoneme_ctc_train,
    prepare_llm,
    prepare_table,
    score,
)
from espnet_llmasr.data.table import read_table

WORDS = "zero one two three four five six seven eight nine".split()
FEW = ["--max_epoch", 1, "--num_iters_per_epoch", 2, "--max_frames", 800, "--encoder_conf", "num_blocks=1"]
FEW += ["--encoder_conf", "output_size=64", "--encoder_conf", "attention_heads=2", "--use_tensorboard", False]


@pytest.fixture
def table(tmp_path):
    """60 recordings of FSDD, one of three sets each, in a CSV file."""
    if not os.environ.get("FSDD"):
        pytest.skip("FSDD names no copy of the free spoken digit dataset")
    recordings = Path(os.environ["FSDD"], "recordings")
    with open(tmp_path / "digits.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", "text", "speaker", "set"])
        for index, name in ((0, "test"), (5, "valid"), (6, "valid"), (7, "train"), (8, "train"), (9, "train")):
            for digit, word in enumerate(WORDS):
                writer.writerow([f"{digit}_jackson_{index}.wav", word, "jackson", name])
    return recordings, tmp_path / "digits.csv"


def run(command, *options):
    command.main([*map(str, options)])


def train(command, name, labels, *options):
    """As `train` in llmasr.sh."""
    conf = REPO / "conf/mini"
    sets = []
    for split in ("train", "valid"):
        for file, kind in (("wav.scp", "speech,audio_8000"), (labels, f"{labels},text")):
            sets += [f"--{split}_data_path_and_name_and_type", f"dump/{split}/{file},{kind}"]
        sets += [f"--{split}_shape_file", f"dump/{split}/utt2num_frames"]
    shared = ["--base_config", conf / "training.yaml", conf / "encoder.yaml", "--config", conf / f"{name}.yaml"]
    own = ["--output_dir", f"exp/{name}", "--frontend_conf", "fs=8000"]
    run(command, *shared, *own, "--normalize_conf", "stats_file=exp/stats/feats_stats.npz", *sets, *options, *FEW)


IPA = "zero\tz i r o\ntwo\tt u\n-w-\tv\n-th-\tθ\n-h-\tx\n-x-\tk s\n"
IPA += "".join(f"-{letter}-\t{letter}\n" for letter in "aefginorsuv")


@pytest.mark.parametrize("inventory", ["zh_en", "zz.tsv"])
def test_folder_and_csv_to_a_packed_model(table, tmp_path, monkeypatch, inventory):
    from espnet_llmasr import Speech2Text

    monkeypatch.chdir(tmp_path)
    Path("zz.tsv").write_text(IPA, encoding="utf-8")  # of a language of one's own
    run(prepare_table, *table, "data", *([] if inventory == "zh_en" else ["--lang", "zz"]))
    assert check_data.main(["data/train"]) == 0
    labels = ["--tokens", "dump/phones.txt", "--inventory", inventory, "--fs", 8000]
    for name in ("train", "valid", "cka", "test"):
        run(format_data, "--data", f"data/{name}", "--out", f"dump/{name}", *labels)
    Path("zz.tsv").unlink()
    run(compute_stats, "--data_dir", "dump/train", "--output", "exp/stats/feats_stats.npz", "--fs", 8000)
    tiny = ["--vocab_size", 300, "--hidden_size", 64, "--num_layers", 1, "--num_updates", 3]
    run(prepare_llm, "--output_dir", "exp/llm", "--text", "dump/train/text", *tiny)
    llm = ["--llm_config", "exp/llm/config.json", "--llm_tokenizer", "exp/llm/tokenizer.json"]
    train(llm_asr_train, "joint_sft", "text", *llm, "--init_param", "exp/llm/llm.pth::llm")
    start = ["--token_list", "dump/phones.txt", "--init_param", "exp/joint_sft/latest.pth:encoder:encoder"]
    train(phoneme_ctc_train, "ctc_head", "phones", *start)
    head = ["--ctc_train_config", "exp/ctc_head/config.yaml", "--ctc_model_file", "exp/ctc_head/latest.pth"]
    run(calibrate_guard, *head, "--data_dir", "dump/valid")
    model = ["--llm_asr_train_config", "exp/joint_sft/config.yaml", "--llm_asr_model_file", "exp/joint_sft/latest.pth"]
    run(llm_asr_inference, *model, *head, "--guard", "flag", "--data_dir", "dump/test", "--output_dir", "decode/test")
    run(score, "--ref_dir", "dump", "--hyp_dir", "decode", "--routes", "none", "test")
    run(pack, *model, *head, "--scores", "decode/scores.json", "--data", "dump/train", "--out", "exp/pack")
    Path("dump").rename("moved")
    packed = Speech2Text.from_pretrained("exp/pack.zip", guard="flag")
    Path("moved").rename("dump")
    speech, rate = soundfile.read(table[0] / "0_jackson_0.wav", dtype="float32")
    trained = Speech2Text(*model[1::2], guard="flag", ctc_train_config=head[1], ctc_model_file=head[3])
    assert packed(speech, rate) == trained(speech, rate)
    assert "| train | 30 |" in Path("exp/pack/README.md").read_text()


def test_the_steps_are_at_most_six_and_the_first_ones_make_a_recipe(tmp_path):
    """Those of docs/own_data.md; `bin.prepare_table` and the stages are tried above and in test_llmasr_sh.py."""
    text = (REPO / "docs/own_data.md").read_text()
    part = text.partition("## From a folder and a CSV file to a model")[2].partition("\n## ")[0]
    steps = [line.strip() for line in part.splitlines() if line.startswith("    ")]
    assert 3 <= len(steps) <= 6 and "prepare_table" in steps[-2] and steps[-1].startswith("./llmasr.sh --stage 2")
    for name in ("egs2/TEMPLATE", "conf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(REPO / name)
    (tmp_path / "egs2/mine/llmasr1").mkdir(parents=True)
    subprocess.run(["bash", "-ec", "\n".join([*steps[:-2], "./llmasr.sh --help"])], cwd=tmp_path, check=True)
    assert (tmp_path / "egs2/mine/llmasr1/conf/encoder.yaml").is_file()


@pytest.mark.parametrize(
    "content, message",
    [
        ("file,text\n", "no column 'audio' in its first line: needed are audio, text"),
        ("audio,text,age\n", "the column 'age'"),
        ("audio,text\na.wav,one, two\n", "another number of columns"),
        ("audio,text,set\na.wav,one,dev\n", "is of the set 'dev', allowed are train, valid, test"),
        ('audio,text\na.wav,"one\nb.wav,two\n', "line 3 or one before it has a wrong quote (unexpected end of data)"),
        ('audio,text\na.wav,"one" two\n', "line 2 or one before it has a wrong quote (',' expected after"),
        (f'audio,text\na.wav,"{"x" * 200000}\n', "or one before it has a wrong quote (field larger than"),
        ("audio,text,set\na.wav,one,train\n", "leaves no utterance for valid"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path, command, content, message):
    (tmp_path / "t.csv").write_text(content)
    failed = command(prepare_table, tmp_path, tmp_path / "t.csv", tmp_path / "data")
    assert failed.code == 1 and message in failed.err and not (tmp_path / "data").exists()


def test_a_text_may_hold_quotes_and_lines(tmp_path):
    (tmp_path / "t.csv").write_text('audio,text\r\na.wav,"one\r\ntwo, ""three"""\r\nb.wav,a 5" pipe\u2028b\r\n')
    assert [row["text"] for row in read_table(tmp_path / "t.csv")] == ['one\ntwo, "three"', 'a 5" pipe\u2028b']
