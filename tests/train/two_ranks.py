"""Run by test_trainer.py in two processes; every check that needs two ranks shares this one start.

Arguments: a directory with models.pt, swap.pt and encoders.pt, and the configurations of DeepSpeed to try, if any.
Writes rank<r>.pt = {engine: {name: result}}.
"""

import sys
import time
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from espnet2.train.reporter import Reporter
from one_epoch import train_a_weight, train_one_epoch, train_with_swap
from torch.distributed.distributed_c10d import _set_pg_timeout as set_timeout

from espnet_llmasr.encoder_swap import trainer as swap
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.tasks.speech_task import Trainer
from espnet_llmasr.train import checkpoints


def exact_steps(directory: Path, config, configs: list, rank: int) -> dict:
    """What an engine makes of this rank's micro-batches."""
    distributed, engine = SimpleNamespace(distributed=True, dist_rank=rank), dict(deepspeed_config=config)
    results = {}
    for name, (model, batches, options) in torch.load(directory / "models.pt", weights_only=False).items():
        results[name] = train_one_epoch(deepcopy(model), batches[rank], {**options, **engine}, distributed)
    models, batches, options, encoder = torch.load(directory / "swap.pt", weights_only=False)
    for name, model in models.items():
        train = lambda *args: train_with_swap(model, batches[rank], {**options, **engine}, distributed, encoder, *args)
        results[name] = [train(), *((other, train([other])) for other in configs)]
    results["weight"] = train_a_weight(engine, distributed)
    return results


def swaps(model, directory: Path, rank: int) -> dict:
    """Swaps twice (the first encoder appears late), then meets a decision that fails on rank 0."""
    options = SimpleNamespace(output_dir=directory / "ia_sft", encoder_dir=directory / "store", swap="every_epoch")
    options.swap_schedule = options.pace = None
    model.encoder.requires_grad_(False)
    if rank == 1:
        Trainer._decide = staticmethod(lambda *args: pytest.fail("rank 1 decided by itself"))
    swap.WAIT_S = 1
    store, seen = EncoderStore(options.encoder_dir), []
    if rank == 0:
        publish_late(store, torch.load(directory / "encoders.pt"), seen)
    for epoch in (1, 2, 3):
        Trainer.swap_encoder(model, epoch, options)
    if rank == 0:
        assert seen, "the first encoder was there at once"
        swap.due_swap = lambda *args: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Trainer.swap_encoder(model, 4, options)
    return model.state_dict()


def publish_late(store: EncoderStore, encoders: dict, seen: list) -> None:
    """Publishes the first encoder after a look at the empty store, the second one before epoch 3."""
    is_ready, due_swap = swap.is_ready, swap.due_swap

    def looked(*args):
        ready = is_ready(*args)
        if not store.steps():
            seen.append(ready)
            store.publish(10, encoders[10])
        return ready

    def decided(store_, epoch, *args):
        due = due_swap(store_, epoch, *args)
        if epoch == 2:
            store.publish(30, encoders[30])
        return due

    swap.is_ready, swap.due_swap = looked, decided


def saves(directory: Path, rank: int) -> None:
    """Each rank writes its part of the optimizer. Who waits for a slow disk is not in a collective of the training."""
    options = SimpleNamespace(output_dir=directory / "saved", keep_last=1, keep_nbest_models=1, resume=True)
    options.best_model_criterion, options.max_epoch = [], 2
    reporter, parts, write = Reporter(), [], checkpoints.write_weights
    state = lambda: {"rank": rank, "epoch": reporter.get_epoch()}
    engine = SimpleNamespace(module=torch.nn.Linear(2, 2), is_sharded=True, optimizer_state=state, parameters=[])
    engine.load_optimizer_state = parts.extend
    saved = checkpoints.Checkpoints(options, SimpleNamespace(distributed=True, dist_rank=rank))
    checkpoints.write_weights = lambda *args: (time.sleep(3), write(*args))[1]
    set_timeout(timedelta(seconds=1))
    for epoch in (1, 2):
        reporter.set_epoch(epoch)
        reporter.stats[epoch] = {}
        saved.save(engine, [], reporter, ends=epoch == 2)
    reporter.set_epoch(9)
    assert saved.restore(engine, [], reporter)
    set_timeout(timedelta(seconds=120))
    assert parts == [{"rank": 0, "epoch": 2}, {"rank": 1, "epoch": 2}] and reporter.get_epoch() == 2
    names = sorted(path.name for path in options.output_dir.glob("checkpoint.*"))
    assert names == ["checkpoint.2.rank1of2.pth", "checkpoint.pth"]


def main() -> None:
    directory = Path(sys.argv[1])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=120))
    rank = torch.distributed.get_rank()
    configs = [None, *sys.argv[2:]]
    results = {config: exact_steps(directory, config, configs, rank) for config in configs}
    results["swaps"] = swaps(torch.load(directory / "models.pt", weights_only=False)["llm"][0], directory, rank)
    saves(directory, rank)
    torch.save(results, directory / f"rank{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
