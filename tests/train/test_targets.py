"""Targets in a file: what is written comes back, rows by id, and the mistakes."""

import numpy as np
import pytest
import torch

from espnet_llmasr.train.targets import Targets


def targets(**changes):
    values = dict(
        ids=["a", "b", "你"], phonetic=torch.eye(3, dtype=torch.float64), semantic=torch.arange(6.0).view(3, 2)
    )
    return Targets(**{**values, "made": {"embedder": "x"}, **changes})


def test_what_is_saved_is_loaded(tmp_path):
    saved = targets(text=torch.ones(3, 5))
    saved.save(tmp_path / "new" / "t.npz")
    loaded = Targets.load(tmp_path / "new" / "t.npz")
    assert loaded.ids == ["a", "b", "你"] and loaded.made == {"embedder": "x"}
    for name in ("phonetic", "semantic", "text"):
        assert getattr(loaded, name).equal(getattr(saved, name))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["t.npz"]


def test_without_text_embeddings(tmp_path):
    targets().save(tmp_path / "t.npz")
    loaded = Targets.load(tmp_path / "t.npz")
    assert loaded.text is None
    with pytest.raises(ValueError, match="no text embeddings: make them with"):
        loaded.text_rows(["a"])


def test_rows_in_the_order_asked_and_missing_ids():
    phonetic, semantic = targets().rows(["你", "a"])
    assert phonetic.tolist() == [[0, 0, 1], [1, 0, 0]] and semantic.tolist() == [[4, 5], [0, 1]]
    with pytest.raises(ValueError, match=r"no targets for c, d, e \(4 of 5 utterances\): make them with python"):
        targets().rows(["a", "c", "d", "e", "f"])


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"3 ids, but semantic targets of shape \(2, 2\)"):
        targets(semantic=torch.ones(2, 2))


def test_files_that_are_no_targets(tmp_path):
    with pytest.raises(ValueError, match="absent.npz does not exist: make them"):
        Targets.load(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", x=np.ones(2))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:50])
    (tmp_path / "text.npz").write_text("hello")
    targets(phonetic=torch.arange(3e3).sin().view(3, -1)).save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    middle, end = len(whole) // 2, len(whole) // 2 + 9
    flipped = bytes(255 - byte for byte in whole[middle:end])
    (tmp_path / "bits.npz").write_bytes(whole[:middle] + flipped + whole[end:])
    newer = whole.replace(b"PK\x03\x04\x2d", b"PK\x03\x04\xbd")
    newer = newer.replace(b"PK\x01\x02\x2d\x03\x2d", b"PK\x01\x02\x2d\x03\xbd")
    (tmp_path / "newer.npz").write_bytes(newer)
    for name in ("other", "torn", "text", "bits", "newer"):
        with pytest.raises(ValueError, match=f"{name}.npz is damaged or no file of targets"):
            Targets.load(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match="must end in .npz"):
        targets().save(tmp_path / "t.bin")
