"""flops.jsonl: what an epoch has cost, in a training, on two ranks, and after a restart."""

import logging
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import flop_counter

from espnet_llmasr.asr.flops import flops, shape_of
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.train import flops_log
from espnet_llmasr.train.flops_log import EpochFlops, read_flops, record

ALONE = SimpleNamespace(distributed=False, dist_rank=None)
SPLITS = ((0, 1, 2), (3, 4), (5, 6, 7))


@pytest.fixture(scope="module")
def alignment(llm_options, build_model, load_batch, tmp_path_factory):
    """The model of an alignment and three batches of it."""
    out = tmp_path_factory.mktemp("alignment") / "exp"
    model, args = build_model(LLMASRTask, llm_options(out, freeze_param=["encoder", "llm"]))
    model.encoder.requires_grad_(False), model.llm.requires_grad_(False)
    return model.train(), [load_batch(LLMASRTask, args, ids) for ids in SPLITS]


def cost_of(model, batch) -> int:
    frames = model.frontend.frame_lengths(batch["speech_lengths"])
    return flops(model, shape_of(model, frames, **batch))


def test_a_training_writes_what_torch_counts(phone_options, monkeypatch, tmp_path):
    """Two epochs of a fit of the CTC head (the encoder's convolutions need no gradient there)."""
    from espnet_llmasr.train.trainer import ExactTrainer

    counts = []

    def counted(cls, *args, **kwargs):
        with sdpa_kernel(SDPBackend.MATH), flop_counter.FlopCounterMode(display=False) as counter:
            result = accumulate(*args, **kwargs)
        counts.append(counter.get_total_flops())
        return result

    accumulate = ExactTrainer.accumulate
    monkeypatch.setattr(ExactTrainer, "accumulate", classmethod(counted))
    options = phone_options(tmp_path / "exp", accum_grad=2, num_iters_per_epoch=4, freeze_param=["encoder"])
    PhonemeCTCTask.main(cmd=options)
    first, second = read_flops(tmp_path / "exp")
    assert (first["epoch"], first["batches"]) == (1, 4) and (second["epoch"], second["batches"]) == (2, 4)
    assert [first["flops"], second["flops"]] == pytest.approx([sum(counts[:2]), sum(counts[2:])], rel=0.03)


def test_a_training_that_is_taken_up_again_goes_on_with_its_record(llm_options, tmp_path):
    for max_epoch in (1, 2):
        LLMASRTask.main(cmd=[*llm_options(tmp_path / "exp", max_epoch=max_epoch), "--resume", "true"])
        lines = read_flops(tmp_path / "exp")
        assert [line["epoch"] for line in lines] == [1, 2][:max_epoch]


def test_counting_changes_no_weight(llm_options, monkeypatch, tmp_path):
    def weights(name):
        LLMASRTask.main(cmd=llm_options(tmp_path / name, max_epoch=1))
        return torch.load(tmp_path / name / "latest.pth", weights_only=True)

    counted = weights("counted")
    monkeypatch.setattr(flops_log, "unknown_part", lambda model: "anything")
    plain = weights("plain")
    assert (tmp_path / "counted" / "flops.jsonl").exists() and not (tmp_path / "plain" / "flops.jsonl").exists()
    assert all(value.equal(plain[name]) for name, value in counted.items())


def test_batches_pass_unchanged_and_their_costs_add_up(alignment, tmp_path):
    model, batches = alignment
    costs = EpochFlops(model)
    assert all(one is two for one, two in zip((batch for _, batch in costs.watch(batches)), (b for _, b in batches)))
    costs.write(tmp_path, 1, ALONE)
    expected = sum(cost_of(model, batch) for _, batch in batches)
    assert read_flops(tmp_path) == [dict(epoch=1, flops=expected, batches=3)]


def test_ranks_are_summed_and_the_first_one_writes(alignment, monkeypatch, tmp_path):
    model, batches = alignment

    def gathered(box, own):
        box[:] = [own, (1000, 2)]

    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gathered)
    costs = EpochFlops(model)
    list(costs.watch(batches[:1]))
    costs.write(tmp_path, 1, SimpleNamespace(distributed=True, dist_rank=1))
    assert not list(tmp_path.iterdir())
    costs.write(tmp_path, 1, SimpleNamespace(distributed=True, dist_rank=0))
    assert read_flops(tmp_path) == [dict(epoch=1, flops=cost_of(model, batches[0][1]) + 1000, batches=3)]


def test_the_share_of_padding_is_logged(alignment, caplog, tmp_path):
    model, batches = alignment
    costs = EpochFlops(model)
    list(costs.watch(batches))
    with caplog.at_level(logging.INFO):
        costs.write(tmp_path, 3, ALONE)
    frames = [[1 + (n - 400) // 160 for n in batch["speech_lengths"].tolist()] for _, batch in batches]
    share = 1 - sum(map(sum, frames)) / sum(len(rows) * max(rows) for rows in frames)
    assert 0.1 < share < 0.9 and f"epoch 3: {100 * share:.2f}% of the encoder's frames were padding" in caplog.text


def test_an_epoch_at_full_size_does_not_overflow(alignment, monkeypatch, tmp_path):
    """2 ** 62 FLOPs four times are beyond int64."""
    monkeypatch.setattr(flops_log, "batch_flops", lambda model, shapes: torch.full((4,), 2**62))
    EpochFlops(alignment[0]).write(tmp_path, 1, ALONE)
    assert read_flops(tmp_path)[0]["flops"] == 2**64


def test_an_unknown_model_is_trained_without_a_count(alignment, caplog, tmp_path):
    model = deepcopy(alignment[0])
    model.llm.model.layers = None
    with caplog.at_level(logging.WARNING):
        costs = EpochFlops(model)
    assert "no FLOPs are counted: they are not known for the LLM Qwen3ForCausalLM" in caplog.text
    assert list(costs.watch(alignment[1])) == alignment[1]
    costs.write(tmp_path, 1, ALONE)
    assert not list(tmp_path.iterdir())


def test_an_epoch_trained_again_replaces_its_line_and_later_ones(tmp_path):
    for epoch, cost in ((1, 10), (2, 20), (3, 30), (2, 21)):
        record(tmp_path, dict(epoch=epoch, flops=cost, batches=1))
    lines = '{"epoch": 1, "flops": 10, "batches": 1}\n{"epoch": 2, "flops": 21, "batches": 1}\n'
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"flops.jsonl": lines}


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "does not exist: give the folder of a training"),
        ('{"epoch": 3, "flops": 1, "batches": 1}', r"has the epochs \[3\], expected 1, 2, 3"),
        ('{"epoch": 1}', "line 1 is no FlopsLine"),
        ("[]", "line 1 is no FlopsLine"),
    ],
)
def test_records_that_cannot_be_used(content, message, tmp_path):
    if content is not None:
        (tmp_path / "flops.jsonl").write_text(content + "\n")
    with pytest.raises(ValueError, match=message):
        read_flops(tmp_path)
