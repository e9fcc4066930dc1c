"""Training on lists that are read one after the other (--multiple_iterator): which batches, and exact resuming."""

import os
import signal

import pytest
import torch

from espnet_llmasr.bin import phoneme_ctc_train, split_data
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.trainer import ExactTrainer

LISTS = 2


@pytest.fixture(scope="module")
def split_options(corpus, phone_options):
    """(output_dir, **configuration) -> the command line of a tiny pretraining on two lists."""
    split_data.main(["--data_dir", str(corpus / "train"), "--num_splits", str(LISTS)])

    def options(out, **conf):
        command = phone_options(out, **conf)
        command = [str(o).replace(f"{corpus}/train/", f"{corpus}/train/splits{LISTS}/") for o in command]
        return [*command, "--multiple_iterator", "true", "--resume", "true"]

    return options


@pytest.fixture
def seen(monkeypatch):
    """[epochs][updates][micro-batches]: the ids that the trainer gets."""
    epochs = []
    accumulate, train_one_epoch = ExactTrainer.accumulate.__func__, ExactTrainer.train_one_epoch.__func__

    def epoch(cls, *args, **kwargs):
        epochs.append([])
        return train_one_epoch(cls, *args, **kwargs)

    def update(cls, model, group, *args):
        epochs[-1].append([list(uids) for uids, _ in group])
        return accumulate(cls, model, group, *args)

    monkeypatch.setattr(ExactTrainer, "train_one_epoch", classmethod(epoch))
    monkeypatch.setattr(ExactTrainer, "accumulate", classmethod(update))
    return epochs


def list_of(batch):
    """Which list a batch comes from: utterances are dealt out in turn."""
    (number,) = {int(uid.rpartition("_")[2]) % LISTS for uid in batch}
    return number


def test_an_epoch_is_one_pass_over_every_list(split_options, seen, tmp_path):
    PhonemeCTCTask.main(cmd=split_options(tmp_path / "out", num_iters_per_epoch=None, max_epoch=3))
    for epoch in seen:
        batches = [batch for update in epoch for batch in update]
        assert sorted(sum(batches, [])) == [f"train_{number}" for number in range(8)]
        lists = [list_of(batch) for batch in batches]
        assert sum(a != b for a, b in zip(lists, lists[1:])) == LISTS - 1  # one after the other


def test_the_length_of_an_epoch_is_shared_and_nothing_is_left_out(split_options, seen, tmp_path):
    """Five batches an epoch, two of one list and three of the other; updates of two micro-batches over the border."""
    conf = dict(num_iters_per_epoch=5, accum_grad=2, max_epoch=4, max_frames=210)
    PhonemeCTCTask.main(cmd=split_options(tmp_path / "out", **conf))
    assert len(seen) == 4
    read = {0: [], 1: []}
    for epoch in seen:
        assert [len(update) for update in epoch] == [2, 2, 1]
        batches = [batch for update in epoch for batch in update]
        assert [sum(list_of(batch) == number for batch in batches) for number in (0, 1)] == [2, 3]
        for batch in batches:
            read[list_of(batch)] += batch
    for number, uids in read.items():  # passes over a list are whole: nothing comes again before all have come
        assert set(uids) == {f"train_{i}" for i in range(number, 8, LISTS)}
        counts = [uids.count(uid) for uid in set(uids)]
        assert max(counts) - min(counts) <= 1


def weights(out, epoch):
    return torch.load(out / f"{epoch}epoch.pth", weights_only=True)


@pytest.mark.parametrize("update", [2, 5])
def test_killed_and_resumed(split_options, forked, update, tmp_path):
    """In the first and in the second epoch, whose second half is the other list."""
    conf = dict(num_iters_per_epoch=3, max_epoch=3)
    PhonemeCTCTask.main(cmd=split_options(tmp_path / "whole", **conf))

    def killed():
        original, calls = ExactTrainer.update, []

        def counted(*args):
            calls.append(1)
            if len(calls) == update:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args)

        ExactTrainer.update = counted
        PhonemeCTCTask.main(cmd=split_options(tmp_path / "out", **conf))

    assert forked(killed) == signal.SIGKILL
    assert forked(lambda: PhonemeCTCTask.main(cmd=split_options(tmp_path / "out", **conf))) == 0
    whole, resumed = weights(tmp_path / "whole", 3), weights(tmp_path / "out", 3)
    assert [name for name in whole if not whole[name].equal(resumed[name])] == []


def test_lists_made_anew_are_noticed(command, corpus, split_options, tmp_path):
    PhonemeCTCTask.main(cmd=split_options(tmp_path / "out", max_epoch=1))
    assert command(phoneme_ctc_train, *split_options(tmp_path / "out", max_epoch=1)).code == 0
    table = corpus / "train" / f"splits{LISTS}" / "phones" / "split.1"
    content = table.read_text()
    table.write_text(content.replace("b", "a"))
    done = command(phoneme_ctc_train, *split_options(tmp_path / "out", max_epoch=1))
    table.write_text(content)
    assert done.code == 1 and f"was trained with another content of {table}" in done.err
