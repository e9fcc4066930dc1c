"""A stock ESPnet recipe with our components counts the words of its test set, skips no update, and packs its model.

The configuration is that of egs2/fsdd/asr1, made small.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

DIGITS = "zero one two three four five six seven eight nine".split()
REPO = Path(__file__).resolve().parents[2]
RECIPE = yaml.safe_load((REPO / "egs2/fsdd/asr1/conf/train_asr_cr_ctc.yaml").read_text(encoding="utf-8"))
SMALL = dict(
    frontend_conf=dict(fs=8000),
    encoder_conf=dict(output_size=32, num_blocks=1, attention_heads=2, kernel_size=5, pe_maxlen=100),
    model_conf=dict(ctc_weight=1.0, cr_warmup_batches=1),
    batch_type="unsorted",
    batch_size=16,
    max_epoch=1,
    use_matplotlib=False,
    use_tensorboard=False,
    num_workers=0,
)
# Speech2Text.from_pretrained(zip) of ESPnet, without the folder of the machine in which espnet_model_zoo unpacks.
LOAD = """
import sys
import soundfile
from espnet_llmasr.register import register

register()
from espnet2.bin.asr_inference import Speech2Text
from espnet2.main_funcs.pack_funcs import unpack

speech2text = Speech2Text(**unpack(sys.argv[1], "unpacked"), ctc_weight=1.0, beam_size=2)
for path in sys.argv[2:]:
    print(repr(speech2text(soundfile.read(path)[0])[0][0]))
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """One-word recordings of FSDD: 60 for training, 20 for validation, 61 for the test, one of which is empty.

    In 0.3 s `three` has too few frames.
    """
    source = Path(os.environ.get("FSDD", "")) / "recordings"
    if "FSDD" not in os.environ or not source.is_dir():
        pytest.skip("FSDD does not name a copy of free-spoken-digit-dataset")
    root = tmp_path_factory.mktemp("digits")
    for name, speakers, indices in (
        ("train", ("george", "theo"), (5, 6, 7)),
        ("valid", ("jackson",), (8, 9)),
        ("test", ("nicolas", "yweweler"), (0, 1, 2)),
    ):
        (root / name).mkdir()
        files = {
            f"{who}-{d}-{i}": source / f"{d}_{who}_{i}.wav" for who in speakers for d in range(10) for i in indices
        }
        if name == "test":
            files["nicolas-0-empty"] = root / "empty.wav"
            soundfile.write(files["nicolas-0-empty"], np.zeros(150), 8000)  # less than one window
        (root / name / "wav.scp").write_text("".join(f"{uid} {path}\n" for uid, path in sorted(files.items())))
        words = ((uid, DIGITS[int(uid.split("-")[1])]) for uid in sorted(files))
        (root / name / "text").write_text("".join(f"{uid} {word}\n" for uid, word in words))
    return root


@pytest.mark.slow
def test_words_are_counted_and_no_update_is_skipped(digits, tmp_path):
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump({**RECIPE, **SMALL}))
    environment = dict(os.environ, python=sys.executable, PYTHONPATH=str(REPO))
    recipe = [str(Path(__file__).with_name("stock_recipe.sh")), digits, "conf.yaml", "exp"]  # a pack has relative paths
    done = subprocess.run(recipe, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Skipping updating the model" not in done.stderr
    shares = [float(share) for share in re.findall(r"\[train\].*too_short=([\d.e-]+)", done.stderr)]
    assert shares and all(0 < share < 1 for share in shares)  # otherwise the recipe tests too little
    config = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())
    assert (config["frontend"], config["encoder"], config["model"]) == ("kaldi_fbank", "firered_conformer", "cr_ctc")
    reference, hypothesis = ((tmp_path / "exp" / f"{side}.trn").read_text().splitlines() for side in ("ref", "hyp"))
    assert [line.split("\t")[1] for line in reference] == [line.split("\t")[1] for line in hypothesis]
    words = [line.split("\t")[0] for line in reference]
    assert len(words) == 61 and sorted(words) == sorted([*DIGITS * 6, "zero"])
    hypotheses = dict(
        line.rstrip("\n").split(" ", 1) for line in open(tmp_path / "exp/decode/1best_recog/text", encoding="utf-8")
    )
    assert hypotheses["nicolas-0-empty"].strip() == ""

    (tmp_path / "exp/model.zip").rename(tmp_path / "moved.zip")
    shutil.rmtree(tmp_path / "exp")
    wavs = dict(line.split() for line in (digits / "test/wav.scp").read_text().splitlines()[:3])
    command = [sys.executable, "-c", LOAD, "moved.zip", *wavs.values()]
    loaded = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert loaded.stdout.splitlines()[-3:] == [repr(hypotheses[uid]) for uid in wavs], loaded.stderr[-4000:]


@pytest.mark.slow
def test_a_rank_whose_texts_are_all_too_long_keeps_the_other_one_training(digits, two_ranks, tmp_path):
    """Of every batch rank 1 gets the second, fourth, ... utterance, whose text is too long for its recording."""
    train = tmp_path / "train"
    rows = [line.split() for line in (digits / "train/text").read_text().splitlines()]
    texts = [f"{uid} {word if number % 2 == 0 else ' '.join([word] * 20)}" for number, (uid, word) in enumerate(rows)]
    train.write_text("\n".join(texts) + "\n")
    letters = sorted(set("".join(DIGITS)))
    (tmp_path / "tokens.txt").write_text("\n".join(["<blank>", "<unk>", "<space>", *letters, "<sos/eos>", ""]))
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump({**RECIPE, **SMALL, "normalize": None}))
    options = ["--config", tmp_path / "conf.yaml", "--token_type", "char", "--token_list", tmp_path / "tokens.txt"]
    for name, text in (("train", train), ("valid", digits / "valid/text")):
        options += [f"--{name}_data_path_and_name_and_type", f"{digits}/{name}/wav.scp,speech,sound"]
        options += [f"--{name}_data_path_and_name_and_type", f"{text},text,text", f"--{name}_shape_file", text]
    options += ["--ngpu", 0, "--dist_backend", "gloo", "--multiprocessing_distributed", "false"]
    log = two_ranks("-m", "espnet_llmasr", "-m", "espnet2.bin.asr_train", *options, "--output_dir", tmp_path / "exp")
    assert "Skipping updating the model" not in log
    (results,) = re.findall(r"1epoch results: \[train\] (.*), \[valid\]", log)
    stats = dict(part.split("=") for part in results.split(", ") if "=" in part)
    assert 0.5 <= float(stats["too_short"]) < 0.6 and 0 < float(stats["loss_ctc"]) < 1000
    assert float(stats["grad_norm"]) > 0
