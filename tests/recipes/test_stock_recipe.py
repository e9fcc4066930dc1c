"""A stock ESPnet recipe with our components counts the words of its test set and skips no update."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DIGITS = "zero one two three four five six seven eight nine".split()
CONFIG = dict(
    frontend="kaldi_fbank",
    frontend_conf=dict(fs=8000),
    encoder="firered_conformer",
    encoder_conf=dict(output_size=32, num_blocks=1, attention_heads=2, kernel_size=5, pe_maxlen=100),
    decoder=None,
    specaug="specaug",
    specaug_conf=dict(time_mask_width_range=[0, 10]),
    model="cr_ctc",
    model_conf=dict(ctc_weight=1.0, cr_warmup_batches=1, report_cer=False, report_wer=False),
    batch_type="unsorted",
    batch_size=16,
    max_epoch=1,
    seed=1,
    optim="adam",
    optim_conf=dict(lr=0.002),
    best_model_criterion=[["valid", "loss", "min"]],
    keep_nbest_models=1,
    use_matplotlib=False,
    use_tensorboard=False,
    num_workers=0,
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """60 one-word test recordings of FSDD, 16 for validation, 48 for training. In 0.3 s `three` has too few frames."""
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
        (root / name / "wav.scp").write_text("".join(f"{uid} {path}\n" for uid, path in sorted(files.items())))
        words = ((uid, DIGITS[int(uid.split("-")[1])]) for uid in sorted(files))
        (root / name / "text").write_text("".join(f"{uid} {word}\n" for uid, word in words))
    return root


@pytest.mark.slow
def test_words_are_counted_and_no_update_is_skipped(digits, tmp_path):
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(CONFIG))
    package = str(Path(__file__).resolve().parents[2])
    environment = dict(os.environ, python=sys.executable, PYTHONPATH=package)
    recipe = [str(Path(__file__).with_name("stock_recipe.sh")), digits, tmp_path / "conf.yaml", tmp_path / "exp"]
    done = subprocess.run(recipe, env=environment, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Skipping updating the model" not in done.stderr
    shares = [float(share) for share in re.findall(r"\[train\].*too_short=([\d.e-]+)", done.stderr)]
    assert shares and all(0 < share < 1 for share in shares)  # otherwise the recipe tests too little
    config = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())
    assert (config["frontend"], config["encoder"], config["model"]) == ("kaldi_fbank", "firered_conformer", "cr_ctc")
    reference, hypothesis = ((tmp_path / "exp" / f"{side}.trn").read_text().splitlines() for side in ("ref", "hyp"))
    assert [line.split("\t")[1] for line in reference] == [line.split("\t")[1] for line in hypothesis]
    words = [line.split("\t")[0] for line in reference]
    assert len(words) == 60 and sorted(words) == sorted(DIGITS * 6)
