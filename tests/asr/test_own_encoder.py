"""An earlier pretraining of ours is taken as a start like a published one: its encoder, and the statistics beside it."""

import numpy as np
import pytest
import torch

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.bin import import_firered


@pytest.fixture
def pretraining(encoder_conf, tmp_path):
    """exp/pretrain with exp/stats beside it, and the encoder."""
    torch.manual_seed(3)
    encoder = FireRedConformerEncoder(**encoder_conf())
    folder = tmp_path / "exp/pretrain"
    for path in (folder, folder.with_name("stats")):
        path.mkdir(parents=True)
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({**state, "ctc_head.weight": torch.ones(2)}, folder / "latest.pth")
    np.savez(folder.with_name("stats") / "feats_stats.npz", count=3.0)
    return folder, encoder


@pytest.mark.parametrize("slash", ["", "/"])
def test_encoder_and_statistics_are_taken(pretraining, slash, tmp_path, capsys):
    folder, encoder = pretraining
    import_firered.main([f"{folder}{slash}", str(tmp_path / "out")])
    state = torch.load(tmp_path / "out/encoder.pth", weights_only=True)
    assert set(state) == {f"encoder.{name}" for name in encoder.state_dict()}
    assert all(state[f"encoder.{name}"].equal(value) for name, value in encoder.state_dict().items())
    assert np.load(tmp_path / "out/feats_stats.npz")["count"] == 3
    assert capsys.readouterr().out.startswith("taken: encoder (0.")


def test_what_lacks_is_named(pretraining, command, tmp_path):
    folder, _ = pretraining
    torch.save({"ctc_head.weight": torch.ones(2)}, folder / "latest.pth")
    done = command(import_firered, folder, tmp_path / "out")
    assert done.code == 1 and "latest.pth has no weights 'encoder.*'" in done.err.splitlines()[-1]
    (folder.with_name("stats") / "feats_stats.npz").unlink()
    done = command(import_firered, folder, tmp_path / "out")
    assert done.code == 1 and "stats/feats_stats.npz does not exist" in done.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
