"""The end of loops: when, at what price, for whom, and that nothing else changes."""

import random
from copy import deepcopy

import pytest
import torch

from espnet_llmasr.asr.llm_asr_model import Search
from espnet_llmasr.asr.loop_stop import MIN_LENGTH, MIN_REPEATS, LoopStop, Tail, find_tail, in_loop
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.loops import MAX_UNIT


def plain(ids):
    """The smallest unit that fills the tail often and long enough, with its repeats, by comparing slices."""
    for unit in range(1, min(MAX_UNIT, len(ids)) + 1):
        repeats = 1
        while ids[len(ids) - (repeats + 1) * unit : len(ids) - repeats * unit] == ids[-unit:]:
            repeats += 1
        if repeats >= MIN_REPEATS and repeats * unit >= MIN_LENGTH:
            return Tail(unit, repeats)
    return Tail(0, 0)


def random_sequence(rng):
    unit = [rng.randrange(4) for _ in range(rng.choice([1, 2, 3, 4, 7, 11, 23, 24, 25]))]
    start = [rng.randrange(4) for _ in range(rng.randrange(8))]
    end = unit * rng.randrange(25 if len(unit) < 4 else 9) + unit[: rng.randrange(len(unit) + 1)]
    return [*start, *end, *[rng.randrange(4) for _ in range(rng.choice([0, 0, 0, 1, 2]))]]


def test_random_sequences_against_a_plain_search():
    rng, found = random.Random(0), 0
    for _ in range(3000):
        ids = random_sequence(rng)
        expected = plain(ids)
        assert find_tail(ids) == expected, ids
        if ids:
            assert bool(in_loop(torch.tensor([ids]))[0]) == (expected.repeats > 0), ids
        found += expected.repeats > 0
    assert 300 < found < 2500


@pytest.mark.parametrize("unit, repeats, looping", [(1, 17, False), (1, 18, True), (3, 5, False), (3, 6, True)])
@pytest.mark.parametrize("before", [0, 5])
def test_how_often_and_how_long(unit, repeats, looping, before):
    ids = [*range(100, 100 + before), *(list(range(unit)) * repeats)]
    assert in_loop(torch.tensor([ids])).tolist() == [looping]
    assert find_tail(ids) == (Tail(unit, repeats) if looping else Tail(0, 0))


def test_rows_do_not_see_each_other():
    rng = random.Random(1)
    sequences = [ids for ids in (random_sequence(rng) for _ in range(4000)) if len(ids) >= 30]
    rows = torch.tensor([ids[-30:] for ids in sequences])
    together = in_loop(rows)
    assert together.tolist() == [plain(ids[-30:]).repeats > 0 for ids in sequences] and 0 < together.sum() < len(rows)
    scores = torch.randn(len(rows), 6)
    out = LoopStop(5)(rows, scores)
    assert out[~together].equal(scores[~together])
    assert out[together, 5].equal(scores[together, 5]) and out[together, :5].isinf().all()


def test_without_a_loop_the_scores_are_not_even_copied():
    scores = torch.randn(2, 6)
    assert LoopStop(5)(torch.arange(60).reshape(2, 30), scores) is scores


def test_cut():
    ids = [8, 9, *([1, 2, 3] * 7), 1]
    tail = find_tail(ids)
    assert tail == Tail(3, 7) and tail.cut(ids) == [8, 9, 1, 2, 3, 1] and tail.cut(ids, 7) == ids


# ---- in the beam search --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_args(llm_options, build_model, tmp_path_factory):
    return build_model(LLMASRTask, llm_options(tmp_path_factory.mktemp("m") / "x"))


@pytest.fixture(scope="module")
def batch(model_args, load_batch):
    return load_batch(LLMASRTask, model_args[1])[1]


@pytest.fixture(scope="module")
def looper(model_args):
    """Says the same again and again in some utterances, and something else in others."""
    model = deepcopy(model_args[0]).eval()
    torch.manual_seed(1)
    for parameter in model.llm.parameters():
        parameter.data.add_(0.15 * torch.randn_like(parameter))
    model.adaptor.linear2.weight.data.mul_(8.0)
    return model


def generate(model, args, batch, rows, **conf):
    prompt = LLMASRTask.build_prompt(args)
    lengths = batch["speech_lengths"][rows]
    speech = batch["speech"][rows, : int(lengths.max())]
    search = Search(tokens_per_second=40.0, **conf)
    return model.generate(speech, lengths, torch.tensor(prompt.ids), prompt.end_id, search)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_loops_end_early_and_the_rest_is_the_same(looper, model_args, batch, beam_size):
    rows = list(range(8))
    free, stopped = (
        [best for (best,) in generate(looper, model_args[1], batch, rows, beam_size=beam_size, stop_loops=stop)]
        for stop in (False, True)
    )
    looping = [row for row in rows if any(find_tail(free[row].ids[:end]).unit for end in range(len(free[row].ids) + 1))]
    for row in rows:
        if find_tail(stopped[row].ids).unit == 0 and row not in looping:
            assert stopped[row].ids == free[row].ids
        ids = stopped[row].ids
        assert not any(find_tail(ids[:end]).unit for end in range(len(ids)))  # it ended at the first chance
    alone = [generate(looper, model_args[1], batch, [row], beam_size=beam_size, stop_loops=True)[0][0] for row in rows]
    assert [one.ids for one in alone] == [one.ids for one in stopped]
    assert looping, "the model should loop somewhere"


def test_all_beams_as_candidates(looper, model_args, batch):
    found = generate(looper, model_args[1], batch, [0, 1, 2], beam_size=4, candidates=4)
    (best,) = zip(*generate(looper, model_args[1], batch, [0, 1, 2], beam_size=4))
    for candidates, first in zip(found, best):
        scores = [one.score for one in candidates]
        assert len(candidates) == 4 and scores == sorted(scores, reverse=True)
        assert candidates[0].ids == first.ids and candidates[0].score == pytest.approx(first.score, abs=1e-5)
        assert len({tuple(one.ids) for one in candidates}) > 1


def test_the_budget_is_named(looper, model_args, batch):
    prompt = LLMASRTask.build_prompt(model_args[1])
    search = Search(beam_size=2, tokens_per_second=2.0)
    found = looper.generate(batch["speech"], batch["speech_lengths"], torch.tensor(prompt.ids), prompt.end_id, search)
    limits = search.limits(batch["speech_lengths"] / 16000).tolist()
    assert [best.at_limit for (best,) in found] == [len(best.ids) == n - 1 for (best,), n in zip(found, limits)]
    assert any(best.at_limit for (best,) in found)
