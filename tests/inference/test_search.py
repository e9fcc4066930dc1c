"""Beam search: independence of batch mates, limits, scores, candidates, and the end of loops."""

import random
from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList

from espnet_llmasr.inference.search import (
    MIN_LENGTH,
    MIN_REPEATS,
    DecodingOptions,
    PerUtteranceLimit,
    RepetitionStop,
    TailLoop,
    beam_search,
    before_end,
    find_tail_loop,
    in_loop,
)
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.loops import MAX_UNIT

FS = 16000


def plain(ids):
    """The smallest unit that fills the tail often and long enough, with its repeats, by comparing slices."""
    for unit in range(1, min(MAX_UNIT, len(ids)) + 1):
        repeats = 1
        while ids[len(ids) - (repeats + 1) * unit : len(ids) - repeats * unit] == ids[-unit:]:
            repeats += 1
        if repeats >= MIN_REPEATS and repeats * unit >= MIN_LENGTH:
            return TailLoop(unit, repeats)
    return TailLoop(0, 0)


def random_sequence(rng):
    unit = [rng.randrange(4) for _ in range(rng.choice([1, 2, 3, 4, 7, 11, 23, 24, 25]))]
    start = [rng.randrange(4) for _ in range(rng.randrange(8))]
    end = unit * rng.randrange(25 if len(unit) < 4 else 9) + unit[: rng.randrange(len(unit) + 1)]
    return [*start, *end, *[rng.randrange(4) for _ in range(rng.choice([0, 0, 0, 1, 2]))]]


def test_random_sequences_against_a_plain_search():
    rng, loops = random.Random(0), 0
    for _ in range(3000):
        ids = random_sequence(rng)
        expected = plain(ids)
        assert find_tail_loop(ids) == expected, ids
        if ids:
            assert bool(in_loop(torch.tensor([ids]))[0]) == (expected.repeats > 0), ids
        loops += expected.repeats > 0
    assert 300 < loops < 2500


@pytest.mark.parametrize("unit, repeats, looping", [(1, 17, False), (1, 18, True), (3, 5, False), (3, 6, True)])
@pytest.mark.parametrize("before", [0, 5])
def test_how_often_and_how_long(unit, repeats, looping, before):
    ids = [*range(100, 100 + before), *(list(range(unit)) * repeats)]
    assert in_loop(torch.tensor([ids])).tolist() == [looping]
    assert find_tail_loop(ids) == (TailLoop(unit, repeats) if looping else TailLoop(0, 0))


def test_rows_do_not_see_each_other():
    rng = random.Random(1)
    sequences = [ids for ids in (random_sequence(rng) for _ in range(4000)) if len(ids) >= 30]
    rows = torch.tensor([ids[-30:] for ids in sequences])
    together = in_loop(rows)
    assert together.tolist() == [plain(ids[-30:]).repeats > 0 for ids in sequences] and 0 < together.sum() < len(rows)
    scores = torch.randn(len(rows), 6)
    out = RepetitionStop(5)(rows, scores)
    assert out[~together].equal(scores[~together])
    assert out[together, 5].equal(scores[together, 5]) and out[together, :5].isinf().all()


def test_without_a_loop_the_scores_are_the_same():
    scores = torch.randn(2, 6)
    for length in (3, 30):
        assert RepetitionStop(5)(torch.arange(2 * length).reshape(2, length), scores).equal(scores)


def test_cut():
    ids = [8, 9, *([1, 2, 3] * 7), 1]
    loop = find_tail_loop(ids)
    assert loop == TailLoop(3, 7) and loop.cut(ids) == [8, 9, 1, 2, 3, 1] and loop.cut(ids, 7) == ids


def test_per_utterance_limit():
    limit = PerUtteranceLimit(np.array([2, 5]), end_id=1)
    scores = torch.zeros(4, 3)
    out = LogitsProcessorList([limit])(torch.zeros(4, 1, dtype=torch.long), scores)
    assert out[:2, 1].eq(0).all() and out[:2, [0, 2]].isinf().all() and out[2:].equal(scores[2:])


def test_before_end():
    assert before_end([4, 5, 1, 6, 1], 1) == [4, 5]
    assert before_end([4, 5], 1) == [4, 5] and before_end([1], 1) == []


# ---- with a model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_args(llm_options, build_model, tmp_path_factory):
    return build_model(LLMASRTask, llm_options(tmp_path_factory.mktemp("m") / "x"))


@pytest.fixture(scope="module")
def model(model_args):
    return model_args[0].eval().double()  # the same tokens alone and in batches: no near-ties


@pytest.fixture(scope="module")
def prompt(model_args):
    return LLMASRTask.build_prompt(model_args[1])


@pytest.fixture(scope="module")
def batch(model_args, load_batch):
    return load_batch(LLMASRTask, model_args[1])[1]


@pytest.fixture(scope="module")
def talker(model):
    """A model far from its small initial weights: different transcripts of different speech, some of them loops."""
    model = deepcopy(model)
    torch.manual_seed(1)
    for parameter in model.llm.parameters():
        parameter.data.add_(0.15 * torch.randn(parameter.shape))
    model.adaptor.linear2.weight.data.mul_(8.0)
    return model


@pytest.fixture
def search(batch, prompt):
    """(model, rows of the batch, **options) -> candidates of these utterances, from frames without padding."""

    def run(model, rows=range(8), **options):
        lengths = batch["speech_lengths"][list(rows)]
        speech = batch["speech"][list(rows), : int(lengths.max())]
        with torch.no_grad():
            frames, frame_lengths = model.encode(speech, lengths)
        return beam_search(model, frames, frame_lengths, lengths / FS, prompt, DecodingOptions(**options))

    return run


def limits(batch, tokens_per_second):
    """The formula of the docstring."""
    return torch.ceil(batch["speech_lengths"] / FS * tokens_per_second).long() + 16


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("tokens_per_second", [0.0, 12.0])
def test_a_batch_equals_one_by_one(talker, batch, search, beam_size, tokens_per_second):
    options = dict(beam_size=beam_size, tokens_per_second=tokens_per_second)
    together = [best for (best,) in search(talker, **options)]
    longest = limits(batch, tokens_per_second).tolist()
    for row, best in enumerate(together):
        ((single,),) = search(talker, [row], **options)
        assert single.ids == best.ids and len(single.ids) < longest[row]
        assert single.score == pytest.approx(best.score, abs=1e-4)
    assert len({tuple(best.ids) for best in together}) > 1


def test_prompt_and_speech_are_computed_once_for_all_beams(talker, search):
    """The rows and places of every pass through the LLM's layers: one utterance has one row before the last place."""
    passes = []
    layer = talker.llm.get_decoder().layers[0]
    hook = layer.register_forward_pre_hook(lambda _, inputs: passes.append(tuple(inputs[0].shape[:2])))
    search(talker, range(4), tokens_per_second=2.0)
    hook.remove()
    assert passes[0][0] == 4 and passes[0][1] > 10 and set(passes[1:]) == {(12, 1)}


def test_an_llm_that_stops_by_itself(talker, batch, prompt, search):
    """The logit of the end token is raised until some transcripts end before their limits."""
    longest, stopped = (limits(batch, 12.0) - 1).tolist(), 0
    for bias in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0):
        raised = bias * torch.nn.functional.one_hot(torch.tensor(prompt.end_id), talker.llm.lm_head.out_features)
        hook = talker.llm.lm_head.register_forward_hook(lambda module, inputs, logits: logits + raised)
        together = [best for (best,) in search(talker, tokens_per_second=12.0)]
        singles = [search(talker, [row], tokens_per_second=12.0)[0][0] for row in range(8)]
        hook.remove()
        assert [single.ids for single in singles] == [best.ids for best in together]
        assert [single.score for single in singles] == pytest.approx([best.score for best in together], abs=1e-4)
        stopped += sum(0 < len(best.ids) < limit for best, limit in zip(together, longest))
    assert stopped >= 8  # transcripts that ended by themselves


def test_every_utterance_has_its_own_limit(talker, batch, search):
    """This LLM never stops by itself: each hypothesis is as long as its own speech allows, end token included."""
    lengths = [len(best.ids) + 1 for (best,) in search(talker, tokens_per_second=12.0)]
    assert lengths == limits(batch, 12.0).tolist() and len(set(lengths)) > 2


def test_candidates_that_end_at_the_limit_are_marked(talker, batch, search):
    found = [best for (best,) in search(talker, beam_size=2, tokens_per_second=2.0)]
    longest = DecodingOptions(tokens_per_second=2.0).limits(batch["speech_lengths"] / FS).tolist()
    assert [best.at_limit for best in found] == [len(best.ids) == limit - 1 for best, limit in zip(found, longest)]
    assert any(best.at_limit for best in found)


def test_greedy_score_is_the_mean_log_probability(model, batch, prompt, search):
    """Compared with the training loss of the same tokens; the end token, forced at the limit, costs nothing."""
    ((best,),) = search(model, [0], beam_size=1, tokens_per_second=0.0)
    speech_length, prompt_length = batch["speech_lengths"][:1], batch["prompt_lengths"][:1]
    with torch.no_grad():
        loss, _, _ = model(
            speech=batch["speech"][:1, : int(speech_length)],
            speech_lengths=speech_length,
            prompt=batch["prompt"][:1, : int(prompt_length)],
            prompt_lengths=prompt_length,
            text=torch.tensor([best.ids]),
            text_lengths=torch.tensor([15]),
        )
    assert len(best.ids) == 15
    assert best.score == pytest.approx(-float(loss) * 15 / 16, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_loops_end_early_and_the_rest_is_the_same(talker, search, beam_size):
    options = dict(beam_size=beam_size, tokens_per_second=40.0)
    free, stopped = ([best.ids for (best,) in search(talker, stop_loops=stop, **options)] for stop in (False, True))
    looping = [any(find_tail_loop(ids[:end]).unit for end in range(len(ids) + 1)) for ids in free]
    for row, ids in enumerate(stopped):
        if find_tail_loop(ids).unit == 0 and not looping[row]:
            assert ids == free[row]
        assert not any(find_tail_loop(ids[:end]).unit for end in range(len(ids)))  # it ended at the first chance
    alone = [search(talker, [row], stop_loops=True, **options)[0][0].ids for row in range(8)]
    assert alone == stopped
    assert any(looping), "the model should loop somewhere"


def test_all_beams_as_candidates(talker, search):
    options = dict(beam_size=4, tokens_per_second=40.0)
    found, best_ones = (search(talker, range(3), candidates=number, **options) for number in (4, 1))
    for candidates, (best,) in zip(found, best_ones):
        scores = [candidate.score for candidate in candidates]
        assert len(candidates) == 4 and scores == sorted(scores, reverse=True)
        assert candidates[0].ids == best.ids and candidates[0].score == pytest.approx(best.score, abs=1e-5)
        assert len({tuple(candidate.ids) for candidate in candidates}) > 1
