"""The encoder store: immutable files, and no broken one is ever taken for whole."""

import random

import pytest
import torch

from espnet_llmasr.encoder_swap.store import is_whole

STATE = {"weight": torch.arange(600.0), "bias": torch.ones(3)}


def test_publish_and_load(store):
    assert store.steps() == [] and store.newest() is None and store.final_step() is None
    for step in (30, 9, 200):
        store.publish(step, STATE)
    assert store.steps() == [9, 30, 200] and store.newest() == 200 and store.newest(after=200) is None
    assert all(value.equal(STATE[name]) for name, value in store.load(30).items())
    store.publish_final(200)
    assert store.final_step() == 200


def test_published_files_never_change_and_a_failed_write_leaves_nothing(store):
    with pytest.raises(Exception, match="local object"):
        store.publish(10, {"weight": lambda: None})
    assert list(store.directory.iterdir()) == []
    path = store.publish(10, STATE)
    store.publish(10, {"weight": torch.zeros(1)})
    assert len(store.load(10)["weight"]) == 600
    assert [p.name for p in path.parent.iterdir()] == ["encoder.000000010.pth"]


def test_files_of_others_are_not_encoders(store):
    store.publish(10, STATE)
    for name in (".encoder.000000020.pth.x1.pth", "encoder.x.pth", "reference.pth", "encoder.000000030.pth.tmp"):
        (store.directory / name).write_bytes(b"?")
    assert store.steps() == [10]


def test_a_truncated_file_is_skipped(store):
    store.publish(10, STATE)
    content = store.publish(20, STATE).read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        store.path(20).write_bytes(content[:length])
        assert not is_whole(store.path(20)) and store.newest() == 10
        with pytest.raises(ValueError, match="missing or broken"):
            store.load(20)


def test_a_flipped_bit_never_reaches_the_weights(store):
    path = store.publish(10, STATE)
    content, rng, caught = path.read_bytes(), random.Random(0), 0
    for place in rng.sample(range(len(content)), 500):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        if is_whole(path):  # it hit a time stamp or the filling between the members
            assert all(value.equal(STATE[name]) for name, value in store.load(10).items()), place
        else:
            caught += 1
    assert caught > 250


def test_not_a_checkpoint(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    assert not is_whole(tmp_path / "text.pth") and not is_whole(tmp_path / "none.pth") and not is_whole(tmp_path)


def test_no_first_encoder_is_waited_for_after_the_end(store):
    assert store.oldest() is None  # one may still come
    store.publish(10, STATE).write_bytes(b"?")
    store.publish_final(10)
    with pytest.raises(ValueError, match="has no whole encoder, and pretraining has ended: run stage 6 again"):
        store.oldest()


@pytest.mark.parametrize("content", ["", "ten", "[1]"])
def test_a_damaged_end_mark_is_named(store, content):
    store.publish_final(10)
    (store.directory / "final").write_text(content)
    with pytest.raises(ValueError, match=f"{store.directory}/final is damaged, expected a whole number"):
        store.final_step()


def test_equal_weights_are_equal_files(store):
    path = store.publish(10, STATE)
    content = path.read_bytes()
    path.unlink()
    assert store.publish(10, STATE).read_bytes() == content
