"""Augmentation in trainings: the frame budget, any number of processes, a kill and a resume, validation, mistakes."""

import signal

import numpy as np
import pytest
import soundfile
import torch
from espnet2.train.distributed_utils import DistributedOption

from espnet_llmasr.bin import llm_asr_train, phoneme_ctc_train
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train.trainer import ExactTrainer

AUGMENT = dict(speed=[0.9, 1.0, 1.1], noise_prob=0.5, noise=["babble", "white"], snr_db=[10, 5], max_pad_s=0.2)


def batches(task, options, epoch, mode="train"):
    """[(ids, {name: tensor})] of an epoch, from a loader built anew, as a resumed training builds it."""
    args = task.get_parser().parse_args(options)
    factory = task.build_iter_factory(args, DistributedOption(), mode)
    return [(uids, dict(batch)) for uids, batch in factory.build_iter(epoch)]


def equal(first, second):
    return [uids for uids, _ in first] == [uids for uids, _ in second] and all(
        torch.equal(a[name], b[name]) for (_, a), (_, b) in zip(first, second) for name in a
    )


def rows(epoch_batches):
    """[(id, samples)] in order."""
    return [
        (uid, row[:length])
        for uids, batch in epoch_batches
        for uid, row, length in zip(uids, batch["speech"], batch["speech_lengths"].tolist())
    ]


@pytest.fixture(scope="module")
def epochs(phone_options, tmp_path_factory):
    """Epochs 1 to 3 of a loader in this process. Five batches an epoch, other than a pass over the corpus."""
    out = tmp_path_factory.mktemp("epochs") / "out"
    options = phone_options(out, augment_conf=AUGMENT, num_iters_per_epoch=5)
    return [batches(PhonemeCTCTask, options, epoch) for epoch in (1, 2, 3)]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_processes_changes_nothing(epochs, phone_options, num_workers, tmp_path):
    conf = dict(augment_conf=AUGMENT, num_iters_per_epoch=5, num_workers=num_workers)
    for epoch in (2, 3):  # without the epochs before, as after a restart
        assert equal(batches(PhonemeCTCTask, phone_options(tmp_path / "x", **conf), epoch), epochs[epoch - 1])


def test_every_pass_is_drawn_anew(phone_options, tmp_path):
    """Also a second pass within an epoch: no utterance comes twice the same."""
    conf = dict(augment_conf=dict(AUGMENT, noise_prob=1.0), num_iters_per_epoch=12)
    options = phone_options(tmp_path / "x", **conf)
    first, second = (rows(batches(PhonemeCTCTask, options, epoch)) for epoch in (1, 2))
    assert len(first) > 8 and len(first + second) > 3 * 8  # of 8 utterances
    assert len({(uid, samples.numpy().tobytes()) for uid, samples in first + second}) == len(first + second)


@pytest.mark.parametrize("mode", ["train", "valid"])
def test_off_and_validation_are_as_without(phone_options, mode, tmp_path):
    plain = batches(PhonemeCTCTask, phone_options(tmp_path / "x"), 1, mode)
    off = dict(speed=[], noise_prob=0.0, noise=[], snr_db=[10.0, 5.0], max_pad_s=1.0)
    for conf in [off, AUGMENT][: 1 if mode == "train" else 2]:
        assert equal(batches(PhonemeCTCTask, phone_options(tmp_path / "x", augment_conf=conf), 1, mode), plain)


@pytest.mark.parametrize("conf", [dict(speed=[0.8, 1.25]), dict(AUGMENT, noise_prob=1.0, max_pad_s=0.5)])
def test_the_frame_budget_is_exact(phone_options, conf, tmp_path):
    options = phone_options(tmp_path / "x", augment_conf=conf, max_frames=380, num_iters_per_epoch=40)
    longest = [(len(uids), int(batch["speech_lengths"].max())) for uids, batch in batches(PhonemeCTCTask, options, 1)]
    assert max(size * (1 + (samples - 400) // 160) for size, samples in longest) <= 380 and len(longest) == 40


def test_labels_fit_after_any_speed(corpus, phone_options, tmp_path):
    """As many phones as frames: a faster speed is left out, a slower one is taken."""
    table = (corpus / "train" / "utt2num_frames").read_text().split("\n")[:-1]
    frames = {row.split()[0]: ((int(row.split()[1]) - 3) // 2 - 2) // 2 + 1 for row in table}
    phones = tmp_path / "phones"
    phones.write_text("".join(f"{uid} {' '.join((['a1', 'b'] * count)[:count])}\n" for uid, count in frames.items()))
    options = phone_options(tmp_path / "x", augment_conf=dict(speed=[0.9, 1.1]), num_iters_per_epoch=20)
    options[options.index(f"{corpus}/train/phones,phones,text")] = f"{phones},phones,text"
    plain = dict(rows(batches(PhonemeCTCTask, phone_options(tmp_path / "y", num_iters_per_epoch=9), 1)))
    ratios = [len(plain[uid]) / len(samples) for uid, samples in rows(batches(PhonemeCTCTask, options, 1))]
    assert {round(ratio, 2) for ratio in ratios} == {0.9, 1.0}


def test_the_llm_task_augments_too(llm_options, tmp_path):
    conf = dict(augment_conf=dict(speed=[0.9]))
    plain, slow = (rows(batches(LLMASRTask, llm_options(tmp_path / "x", **more), 1)) for more in ({}, conf))
    lengths = {uid: len(samples) for uid, samples in plain}
    assert all(len(samples) == -(-lengths[uid] * 10 // 9) for uid, samples in slow if uid in lengths)


def test_noise_alone_empties_the_target_of_either_task(phone_options, llm_options, tmp_path):
    conf = dict(augment_conf=dict(nonspeech_prob=1.0, noise="white"))
    for uids, batch in batches(PhonemeCTCTask, phone_options(tmp_path / "x", **conf), 1):
        assert batch["phones"].shape == (len(uids), 0) and not batch["phones_lengths"].any()
    plain, silent = (batches(LLMASRTask, llm_options(tmp_path / "x", **more), 1) for more in ({}, conf))
    for (uids, before), (same, after) in zip(plain, silent):
        assert uids == same and torch.equal(before["speech_lengths"], after["speech_lengths"])
        last = before["text_lengths"].tolist()
        assert after["text"][:, 0].tolist() == [row[n - 1] for row, n in zip(before["text"].tolist(), last)]
        assert set(after["text_lengths"].tolist()) == {1}


def test_killed_and_resumed_with_other_processes(phone_options, forked, die_in, tmp_path):
    """Weights are those of a training never killed; both differ from one without augmentation."""
    conf = dict(max_epoch=3, resume=True, num_iters_per_epoch=5)
    whole, broken, plain = (
        phone_options(tmp_path / name, **conf, augment_conf=augment, num_workers=workers)
        for name, augment, workers in (("whole", AUGMENT, 0), ("broken", AUGMENT, 2), ("plain", {}, 0))
    )
    PhonemeCTCTask.main(cmd=whole)
    PhonemeCTCTask.main(cmd=plain)

    kill = ExactTrainer, "update", 8
    assert forked(lambda: (die_in(*kill), PhonemeCTCTask.main(cmd=broken))) == signal.SIGKILL
    assert forked(lambda: PhonemeCTCTask.main(cmd=[*broken, "--num_workers=1"])) == 0
    one, two, other = (torch.load(tmp_path / n / "3epoch.pth", weights_only=True) for n in ("whole", "broken", "plain"))
    assert [name for name in one if not one[name].equal(two[name])] == []
    assert not all(value.equal(other[name]) for name, value in one.items())


# ---- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [phoneme_ctc_train, llm_asr_train])
def test_mistakes_end_in_one_line_before_anything_is_trained(command, phone_options, llm_options, module, tmp_path):
    (tmp_path / "empty").mkdir()
    options = phone_options if module is phoneme_ctc_train else llm_options
    for conf, message in (
        (dict(noise_prob=0.2, noise=f"{tmp_path}/empty"), "empty has no audio files"),
        (dict(noise_prob=0.2, noise=f"{tmp_path}/gone"), "gone' is neither a folder of audio files nor one of babble"),
        (dict(nois="white"), "--augment_conf has 'nois', allowed are speed, noise_prob"),
        (dict(noise_prob=20, noise="white"), "noise_prob 20, allowed are numbers from 0 to 1"),
    ):
        done = command(module, *options(tmp_path / "out", augment_conf=conf))
        last = done.err.strip().splitlines()[-1]
        assert done.code == 1 and message in last and "Traceback" not in done.err
    assert not (tmp_path / "out" / "checkpoint.pth").exists()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_noise_file_is_named(command, phone_options, num_workers, tmp_path):
    """Its header is in order, its samples are not."""
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "a.wav", np.full(90000, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    conf = dict(noise_prob=1.0, noise=f"{tmp_path}/noise")
    options = phone_options(tmp_path / "out", augment_conf=conf, max_frames=700, num_workers=num_workers)
    done = command(phoneme_ctc_train, *options)
    last = done.err.strip().splitlines()[-1]
    assert done.code == 1 and "a.wav" in last and "nan_samples: repair or remove the file" in last


def test_an_utterance_over_the_budget_at_its_slowest(command, phone_options, tmp_path):
    done = command(phoneme_ctc_train, *phone_options(tmp_path / "out", max_frames=210, augment_conf=dict(speed=[0.9])))
    assert "has 232 frames, the budget is max_frames=210" in done.err.strip().splitlines()[-1]
