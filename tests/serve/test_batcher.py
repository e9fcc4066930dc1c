"""Batches across jobs, with a stand-in for the model."""

import io
import threading

import numpy as np
import pytest

from espnet_llmasr.inference.transcribe import Recording, Source
from espnet_llmasr.serve.batcher import BadHotwords, Batcher, Job

RATE = 8000


def make_job(samples, hotwords=()):
    done = threading.Event()
    job = Job(
        Recording(Source("x", samples)), io.BytesIO(), tuple(hotwords), lambda: done.set() if job.is_done else None
    )
    return job, done


def run(batcher, jobs):
    """The texts, or the errors, of jobs that are submitted while the decoding waits."""
    batcher.speech2text.go.clear()
    for job, _ in jobs:
        batcher.submit(job)
    with batcher:
        threading.Event().wait(0.3)
        batcher.speech2text.go.set()
        assert all(done.wait(60) for _, done in jobs)
    assert batcher.held == batcher.opened == 0 and not batcher.rows and all(job.file.closed for job, _ in jobs)
    return [job.error or job.recording.transcript().text for job, _ in jobs]


def test_jobs_share_batches_and_keep_their_answers(stand_in):
    lengths = [900, 100, 500, 700, 300, 200, 600, 800, 400, 1000]
    batcher = Batcher(stand_in, batch_size=4)
    assert run(batcher, [make_job(np.zeros(length)) for length in lengths]) == [f"{length}" for length in lengths]
    assert all(len(batch) <= 4 for batch in stand_in.batches) and max(map(len, stand_in.batches)) == 4
    assert all(batch == sorted(batch) for batch in stand_in.batches)
    assert batcher.work.pieces == 10 and batcher.work.speech_s == pytest.approx(sum(lengths) / RATE)


def test_jobs_with_other_hotwords_are_other_batches(stand_in):
    jobs = [make_job(np.zeros(100 + number), ["red"] * (number % 2)) for number in range(6)]
    assert run(Batcher(stand_in), jobs) == ["100", "101 red", "102", "103 red", "104", "105 red"]
    assert all(len({length % 2 for length in batch}) == 1 for batch in stand_in.batches)
    *good, bad = run(Batcher(stand_in), [make_job(np.zeros(5)), make_job(np.zeros(6), ["bad"])])
    assert good == ["5"] and isinstance(bad, BadHotwords)


def test_a_piece_that_fails_harms_no_other(stand_in):
    jobs = [make_job(np.full(length, 0.95 * (length == 300))) for length in (100, 200, 300, 400)]
    *texts, last = (found := run(Batcher(stand_in), jobs))[:2] + found[3:] + [found[2]]
    assert texts == ["100", "200", "400"] and isinstance(last, RuntimeError)


def test_a_long_recording_does_not_keep_others_waiting(stand_in, monkeypatch):
    """The short one, which comes last, is decoded before the long one is half done."""
    from espnet_llmasr.inference import transcribe

    monkeypatch.setattr(transcribe, "silero", lambda rate: lambda samples: np.abs(samples).reshape(-1, 256).max(1))
    long, short = make_job(np.tile(np.repeat([0.5, 0.0], 8192), 100)), make_job(np.zeros(100))
    assert run(Batcher(stand_in, batch_size=2, max_frames=400, longest_s=2.0), [long, short])[1] == "100"
    number = next(number for number, batch in enumerate(stand_in.batches) if 100 in batch)
    assert number < len(stand_in.batches) / 2 and len(long[0].recording.segments) > 90


def test_cancelled_jobs_are_dropped(stand_in):
    batcher, jobs = Batcher(stand_in), [make_job(np.zeros(length)) for length in (100, 200, 300)]
    batcher.speech2text.go.clear()
    for job, _ in jobs[:2]:
        batcher.submit(job)
    batcher.cancel(jobs[0][0])
    assert jobs[0][0].file.closed and jobs[0][0].is_done
    with batcher:
        threading.Event().wait(0.2)
        batcher.cancel(jobs[1][0])
        batcher.submit(jobs[2][0])
        batcher.speech2text.go.set()
        assert jobs[2][1].wait(10)
    assert jobs[2][0].recording.transcript().text == "300" and batcher.held == batcher.opened == 0
    assert jobs[1][0].file.closed and not any(100 in batch for batch in stand_in.batches)


def test_a_job_cancelled_while_its_batch_waits_for_others_does_not_end_the_decoding(stand_in):
    batcher, (first, _), (second, done) = Batcher(stand_in), make_job(np.zeros(100)), make_job(np.zeros(200))
    batcher.work.last_s, batcher.coming = 10.0, 2  # so the batch waits for 1 s, as the second request is still received
    with batcher:
        batcher.submit(first)
        with batcher.changed:
            assert batcher.changed.wait_for(lambda: batcher.rows, 10)
        batcher.cancel(first)
        threading.Event().wait(1.2)
        batcher.submit(second)
        assert done.wait(10) and batcher.is_alive
    assert second.recording.transcript().text == "200"


def test_it_says_what_is_missing(stand_in, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "silero_vad", None)
    with pytest.raises(ValueError, match="pip install silero-vad"):
        Batcher(stand_in)
