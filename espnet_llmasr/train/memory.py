"""The memory of a training step, known without having it: a step on torch's fake tensors, every byte of which is counted.

Fake tensors have sizes and no contents, so a model of any size is walked through in seconds (forward pass, backward
pass, optimizer). They lie on the CPU, hence attention is what torch computes there, by plain products where scores are
added to: fused kernels of a GPU keep less.
"""

import weakref
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Tuple, Union

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


def ctc_loss(log_probs: Tensor, targets: Tensor, *args) -> Tuple[Tensor, Tensor]:
    """Losses (B,) and forward variables (B, T, 2U + 1) of targets (B, U), sizes only."""
    length, size = log_probs.shape[:2]
    return log_probs.new_empty(size), log_probs.new_empty(size, length, 2 * targets.size(-1) + 1)


def ctc_loss_backward(gradient: Tensor, log_probs: Tensor, *args) -> Tensor:
    """Gradients (T, B, V), sizes only."""
    return torch.empty_like(log_probs)


def number(tensor: Tensor) -> Union[int, float]:
    """The contents of a tensor without contents: the number of an optimizer's update, a length of an ESPnet encoder."""
    return 1.0 if tensor.is_floating_point() else 1


STAND_INS = {  # for operators that torch has no fakes of, since they depend on contents
    torch.ops.aten._local_scalar_dense: number,
    torch.ops.aten._ctc_loss: ctc_loss,
    torch.ops.aten._ctc_loss_backward: ctc_loss_backward,
}


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a training step in one process.

    Attributes:
        weights: parameters and buffers. trained: the parameters that are trained. optimizer: its state.
        activations: most bytes at once of all others, in forward and backward pass: activations, their gradients,
            and the copies of weights that autocast makes.
        with_gradients: most bytes at once of these and the gradients of parameters, which come one after the other.
        update: most bytes at once that the optimizer needs besides.
    """

    weights: int
    trained: int
    optimizer: int
    activations: int
    with_gradients: int
    update: int


class MemoryMeter(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is on, until they are freed; those of `known` are not.

    Attributes:
        most: most bytes at once. most_others: the same without gradients of parameters.
    """

    def __init__(self, known: List[Tensor]):
        super().__init__()
        self.sizes = WeakIdKeyDictionary({tensor.untyped_storage(): 0 for tensor in known})
        self.now = self.gradients = self.most = self.most_others = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = STAND_INS.get(func.overloadpacket, func)(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._add, output)
        self.most = max(self.most, self.now)
        self.most_others = max(self.most_others, self.now - self.gradients)
        return output

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self.sizes:
            self.sizes[storage] = storage.nbytes()
            self.now += storage.nbytes()
            weakref.finalize(storage, self._free, storage.nbytes()).atexit = False

    def _free(self, size: int) -> None:
        self.now -= size

    def is_gradient(self, parameter: nn.Parameter) -> None:
        """A hook for parameters whose gradient has been added up."""
        storage = parameter.grad.untyped_storage()
        self.gradients += self.sizes.pop(storage, 0)
        self.sizes[storage] = 0


def step_memory(
    build: Callable[[], Tuple[nn.Module, torch.optim.Optimizer]],
    batch: Dict[str, object],
    use_amp: bool,
    micro_batches: int,
    foreach: bool = True,
) -> StepMemory:
    """The memory of one update.

    Args:
        build: makes the model as it is trained and its optimizer; all their tensors will be fake.
        batch: as a training sees it.
        use_amp: forward pass in bfloat16.
        micro_batches: batches of an update; from the second on, gradients are there during the forward pass.
        foreach: the optimizer works on all parameters at once, torch's choice on GPUs.
    """
    with FakeTensorMode() as fake:
        model, optimizer = build()
        batch = {name: fake.from_tensor(value) if torch.is_tensor(value) else value for name, value in batch.items()}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        meter = MemoryMeter([*model.parameters(), *model.buffers(), *filter(torch.is_tensor, batch.values())])
        hooks = [parameter.register_post_accumulate_grad_hook(meter.is_gradient) for parameter in trained]
        with meter:
            forward_backward(model, batch, use_amp, "cpu")
        activations, with_gradients = meter.most_others, meter.most
        if micro_batches > 1:  # the second one finds all gradients there
            with_gradients = activations + num_bytes(trained)
        for hook in hooks:
            hook.remove()
        for group in optimizer.param_groups:
            group["foreach"] = foreach
        with meter:  # for its stand-ins: makes the optimizer's state
            optimizer.step()
        state = [value for values in optimizer.state.values() for value in values.values() if torch.is_tensor(value)]
        updating = MemoryMeter([*trained, *(parameter.grad for parameter in trained), *state])
        with updating:
            optimizer.step()
        return StepMemory(
            weights=num_bytes([*model.parameters(), *model.buffers()]),
            trained=num_bytes(trained),
            optimizer=num_bytes(state),
            activations=activations,
            with_gradients=with_gradients,
            update=updating.most,
        )


def forward_backward(model: nn.Module, batch: Dict[str, object], use_amp: bool, device: str) -> None:
    """What a training does with a batch; gradients are added up."""
    with torch.autocast(device, torch.bfloat16, enabled=use_amp):
        loss, _, weight = model(**batch)
    (loss * weight).sum().backward()


def num_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors, each memory once."""
    return sum({id(storage): storage.nbytes() for storage in (t.untyped_storage() for t in tensors)}.values())
