"""The engines of a training, which compute gradients and update: one process or DDP, and DeepSpeed's ZeRO-2.

The trainer divides each loss by the targets of the whole update before its backward pass, so both make the same update.
Under both the parameters are fp32 and whole on every rank, and --use_amp runs the forward pass in bfloat16: checkpoints,
encoder swaps and drift checks use `engine.module` and need to know no engine.

ZeRO-2 keeps a part of the gradients and of the optimizer's state on each rank. DeepSpeed's own bf16 mode would hold the
parameters in bfloat16 (2 bytes less per parameter), round the features' path by another rule than autocast, and leave
no fp32 model to save.

A checkpoint holds `engine.optimizer_state()` of rank 0 and, if `engine.is_sharded`, of every other rank. The list of all
of them goes into `engine.load_optimizer_state(parts)`, after the weights are in `engine.module`: of any engine and number
of ranks into any other, to the bit where both are equal.
"""

import logging
import os
import sys
from contextlib import contextmanager, nullcontext
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.files import PathLike, read_json
from espnet_llmasr.train.optimizer_state import State, parameters_of, shard_of, whole_state

DECIDED = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
DECIDED += ("optimizer", "scheduler", "bf16", "fp16", "torch_autocast", "amp")
"""Sections of a DeepSpeed configuration that the options of the training decide."""


class Autocast(nn.Module):
    """A model whose forward pass computes in bfloat16 with --use_amp (fp32 weights, no loss scaling).

    It is inside the engine, because DeepSpeed switches off an autocast around it.
    """

    def __init__(self, model: nn.Module, options):
        super().__init__()
        self.model, self.device, self.enabled = model, "cuda" if options.ngpu > 0 else "cpu", options.use_amp

    def forward(self, **batch):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.enabled):
            return self.model(**batch)


class Engine:
    """One process, or DistributedDataParallel, whose gradients are the means over ranks.

    Attributes:
        module: the model. optimizer: over its trained parameters; its param_groups hold the learning rates.
        parameters: those of the optimizer before an engine divides them among ranks.
    """

    is_sharded = False

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, options, distributed_option):
        self.module, self.optimizer, self.options = model, optimizer, options
        self.distributed = distributed_option.distributed
        self.parameters = parameters_of(optimizer, model)
        self.wrapped = self.wrap(Autocast(model, options))

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model that reduces its gradients among ranks."""
        if not self.distributed:
            return model
        return nn.parallel.DistributedDataParallel(
            model,
            device_ids=[torch.cuda.current_device()] if self.options.ngpu else None,
            find_unused_parameters=self.options.unused_parameters,
            gradient_as_bucket_view=self.options.gradient_as_bucket_view,
        )

    def accumulate(self, batch: Dict[str, Any], share: Tensor, is_last: bool) -> Tuple[Dict[str, Tensor], Tensor]:
        """Adds the gradients of `share` times the batch's loss; returns the batch's statistics and weight.

        Args:
            is_last: the micro-batch is the last one of the update: gradients are reduced among ranks.
        """
        with nullcontext() if is_last or not self.distributed else self.wrapped.no_sync():
            loss, stats, weight = self.wrapped(**batch)
            (loss * share).sum().backward()
        return stats, weight

    def step(self) -> Tensor:
        """Clips, updates unless a gradient is not finite, and clears the gradients; returns their norm before."""
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.options.grad_clip, self.options.grad_clip_type)
        if torch.isfinite(norm):
            with scaled_rates(self.optimizer):
                self.optimizer.step()
        # DDP's gradients are views of its buckets: set to None, the next ones would need memory of their own.
        self.optimizer.zero_grad(set_to_none=not self.distributed)
        return norm

    def optimizer_state(self) -> State:
        """The optimizer's state; under ZeRO-2 this rank's part, with one flat tensor for each parameter group."""
        return self.optimizer.state_dict()

    def load_optimizer_state(self, parts: List[State]) -> None:
        """Restores the state from the parts of all ranks that saved it (one part if they were not sharded)."""
        self.optimizer.load_state_dict(whole_state(parts, self.parameters))


class ShardedEngine(Engine):
    """DeepSpeed's ZeRO-2 with our optimizer, schedule and accumulation."""

    is_sharded = True

    def wrap(self, model: nn.Module) -> nn.Module:
        deepspeed = import_deepspeed(self.options.ngpu > 0)
        config = read_config(self.options.deepspeed_config)
        config |= dict(train_micro_batch_size_per_gpu=1, gradient_accumulation_steps=1)  # ours: see accumulate
        config |= dict(gradient_clipping=self.options.grad_clip, zero_allow_untested_optimizer=True)
        try:
            return deepspeed.initialize(model=model, optimizer=self.optimizer, config=config)[0]
        except (AssertionError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"DeepSpeed refuses {self.options.deepspeed_config} ({reason})") from error

    def accumulate(self, batch, share, is_last):
        self.wrapped.set_gradient_accumulation_boundary(is_last)
        loss, stats, weight = self.wrapped(**batch)
        self.wrapped.backward((loss * share).sum(), scale_wrt_gas=False)
        return stats, weight

    def step(self) -> Tensor:
        # DeepSpeed updates a copy of this rank's part of the weights. It is equal to the part, unless weights were loaded.
        self.wrapped.optimizer.refresh_fp32_params()
        with scaled_rates(self.optimizer):
            self.wrapped.step()  # which leaves all as it was, and gives inf, where a gradient is not finite
        return torch.as_tensor(self.wrapped.get_global_grad_norm())

    def load_optimizer_state(self, parts: List[State]) -> None:
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        if len(parts) != size:
            parts = [whole_state(parts, self.parameters)]
        own = parts[rank] if len(parts) == size else shard_of(parts[0], self.parameters, rank, self.optimizer)
        self.optimizer.load_state_dict(own)


def build_engine(model: nn.Module, optimizer: torch.optim.Optimizer, options, distributed_option) -> Engine:
    """The engine of a training: ZeRO-2 with --deepspeed_config and several ranks.

    Raises ValueError if DeepSpeed is not installed or does not accept its configuration.
    """
    sharded = options.deepspeed_config is not None
    if sharded and not distributed_option.distributed:
        logging.warning("--deepspeed_config shards nothing in a training of one process, which runs without DeepSpeed")
    engine = ShardedEngine if sharded and distributed_option.distributed else Engine
    return engine(model, optimizer, options, distributed_option)


def check_options(args) -> None:
    """Raises ValueError, before a model is built, for options of ESPnet that no engine has, or a wrong configuration."""
    for name, default in (("use_deepspeed", False), ("sharded_ddp", False), ("ddp_comm_hook", None)):
        if getattr(args, name) != default:
            raise ValueError(
                f"--{name} is {getattr(args, name)}, expected {default}: --deepspeed_config conf/ds_zero2.json alone "
                "turns DeepSpeed's ZeRO-2 on"
            )
    if args.deepspeed_config is not None:
        read_config(args.deepspeed_config)
        if args.grad_clip_type != 2:
            raise ValueError(f"--grad_clip_type is {args.grad_clip_type}, expected 2 with --deepspeed_config")
        if args.distributed:
            import_deepspeed(args.ngpu > 0)


def import_deepspeed(gpu: bool):
    """The package, set up for torchrun's ranks. Raises ValueError if it is not installed."""
    if not gpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ImportError as error:
        raise ValueError(
            f"--deepspeed_config needs DeepSpeed ({error}): pip install 'espnet_llmasr[deepspeed]', or omit the option"
        ) from error
    if not gpu:  # an operation that would be compiled at the first start, for faster sums in shared memory
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    for handler in deepspeed.utils.logger.handlers:
        handler.setStream(sys.stderr)
    return deepspeed


def read_config(path: PathLike) -> Dict[str, Any]:
    """A DeepSpeed configuration.

    Raises ValueError if it asks for another stage than 2, or has what the options of the training decide.
    """
    config = read_json(path)
    stage = (config.get("zero_optimization") or {}).get("stage")
    if stage != 2:
        raise ValueError(f"{path} has zero_optimization.stage {stage}, allowed is 2")
    decided = next((name for name in DECIDED if name in config), None)
    if decided is not None:
        raise ValueError(f"{path} has '{decided}', which the options of the training decide: remove it")
    return config


# ---- learning-rate factors -----------------------------------------------------------------------------------------


def set_factors(optimizer: torch.optim.Optimizer, model: nn.Module, factors: Dict[str, float]) -> None:
    """Leaves only trained parameters in the optimizer, in groups by their factor, which the key "lr_factor" keeps.

    Args:
        factors: of the parameters below a prefix such as "adaptor" or "llm.model.layers.0"; the longest one counts.
    Raises:
        ValueError: a prefix has no parameters or no trained ones, a factor would change nothing, or all are frozen.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    trained = {parameter: name for parameter, name in names.items() if parameter.requires_grad}
    if not trained:
        raise ValueError("--freeze_param leaves nothing to train: freeze fewer modules")
    for prefix, factor in factors.items():
        if not isinstance(factor, (int, float)) or factor <= 0 or factor == 1:
            raise ValueError(f"--lr_factor of '{prefix}' is {factor}, allowed is a number above 0, and not 1")
        if not any(is_below(name, prefix) for name in names.values()):
            modules = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"--lr_factor has '{prefix}', which is no module of the model: it has {modules}")
        if not any(is_below(name, prefix) for name in trained.values()):
            raise ValueError(f"--lr_factor has '{prefix}', which is frozen: omit it, or do not freeze it")
    groups = []
    for group in optimizer.param_groups:
        by_factor: Dict[float, List[nn.Parameter]] = {}
        for parameter in filter(trained.get, group["params"]):
            by_factor.setdefault(factor_of(trained[parameter], factors), []).append(parameter)
        groups += [{**group, "params": part, "lr_factor": factor} for factor, part in by_factor.items()]
    optimizer.param_groups[:] = groups


def factor_of(name: str, factors: Dict[str, float]) -> float:
    """The factor of a parameter; 1 if it is below none of the prefixes."""
    prefixes = [prefix for prefix in factors if is_below(name, prefix)]
    return factors[max(prefixes, key=len)] if prefixes else 1.0


def is_below(name: str, prefix: str) -> bool:
    """True for a parameter of the module `prefix`, or of that name itself."""
    return name == prefix or name.startswith(f"{prefix}.")


@contextmanager
def scaled_rates(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Learning rates times their factors; outside, they are those of the schedule, of whatever kind it is."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_factor", 1.0)
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate
