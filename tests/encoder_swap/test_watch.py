"""The watcher's command on a real tiny pretraining, and its mistakes."""

import sys

import pytest
import torch

from espnet_llmasr.bin import swap_table, watch
from espnet_llmasr.encoder_swap.rule import CKACheck, cka_log
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import Swap, swap_log
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask


@pytest.fixture(scope="module")
def pretrained(phone_options, tmp_path_factory):
    out = tmp_path_factory.mktemp("pretrained") / "out"
    PhonemeCTCTask.main(cmd=phone_options(out, max_epoch=1))
    return out


def options(pretrained, corpus, out, **changes):
    values = dict(pretrain_dir=pretrained, data_dir=corpus / "valid", encoder_dir=out, start_step=2, poll_s=0.05)
    values |= changes
    return [str(part) for name, value in values.items() for part in (f"--{name}", value)]


def test_an_ended_pretraining_is_published(pretrained, corpus, tmp_path):
    watch.main(options(pretrained, corpus, tmp_path / "encoders"))
    store = EncoderStore(tmp_path / "encoders")
    assert store.steps() == [2] and store.final_step() == 2
    state = torch.load(pretrained / "latest.pth", weights_only=True)
    assert all(state[f"encoder.{name}"].equal(value) for name, value in store.load(2).items())
    content = {path.name: path.read_bytes() for path in store.directory.iterdir()}
    watch.main(options(pretrained, corpus, tmp_path / "encoders"))  # the second time nothing is redone
    assert {path.name: path.read_bytes() for path in store.directory.iterdir()} == content


def test_a_store_keeps_its_threshold(command, pretrained, corpus, tmp_path):
    watch.main(options(pretrained, corpus, tmp_path))
    done = command(watch, *options(pretrained, corpus, tmp_path, threshold=0.5))
    assert (
        done.code == 1 and "was made with {'start_step': 2, 'threshold': 0.975}, asked is" in done.err.splitlines()[0]
    )


def test_curves_are_written_if_asked_for(pretrained, corpus, tmp_path):
    pytest.importorskip("tensorboard")
    watch.main(options(pretrained, corpus, tmp_path / "without"))
    watch.main(options(pretrained, corpus, tmp_path / "with", use_tensorboard="true"))
    assert list((tmp_path / "with" / "tensorboard").glob("events.*"))
    assert not (tmp_path / "without" / "tensorboard").exists()


def test_without_tensorboard_nothing_is_written(command, pretrained, corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = command(watch, *options(pretrained, corpus, tmp_path / "e", use_tensorboard="true"))
    assert done.code == 1 and "pip install tensorboard" in done.err and not (tmp_path / "e").exists()


def test_mistakes(command, pretrained, corpus, tmp_path):
    """test_rule has all wrong thresholds."""
    done = command(watch, *options(pretrained, corpus, tmp_path / "e", threshold=1.5))
    assert done.code == 1 and not (tmp_path / "e").exists()
    assert (
        done.err.startswith("watch: argument --threshold: 1.5 is no finite number of 0 to 1")
        and done.err.count("\n") == 1
    )
    done = command(watch, *options(pretrained, tmp_path, tmp_path / "e"))
    assert done.code == 1 and "wav.scp does not exist" in done.err.splitlines()[-1]


def test_swap_table(tmp_path, capsys):
    rows = [(10, 0, None, "reference"), (20, 10, 0.99, "keep"), (30, 10, 0.91234, "publish"), (40, 30, 0.98, "final")]
    folders = ["--encoder_dir", str(tmp_path), "--ia_sft_dir", str(tmp_path)]
    with pytest.raises(ValueError, match="cka.jsonl does not exist: run stages"):
        swap_table.main(folders)
    cka_log(tmp_path).write([CKACheck(*row, time="t") for row in rows])
    swap_log(tmp_path / "swaps.jsonl").write([Swap(3, 40, 30, True, "2026-11-21T10:02:50")])
    swap_table.main([*folders, "--out", str(tmp_path / "t.md")])
    text = capsys.readouterr().out
    assert text.rstrip() == (tmp_path / "t.md").read_text().rstrip()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[:2] for row in rows] == [["| 10", "-"], ["| 30", "0.9123"], ["| 40", "0.9800"]]
    assert rows[1][3] == "alignment and the start of IA-SFT" and rows[2][3] == "IA-SFT from epoch 3 at 10:02:50"
    assert "Encoder swaps during IA-SFT: 1" in text
