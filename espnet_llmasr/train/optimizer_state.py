"""The state of an optimizer in a checkpoint: whose parameters it is of, and that of other numbers of ranks."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from espnet_llmasr.files import PathLike

State = Dict[str, Any]
"""The state_dict of a torch optimizer."""
Parameters = List[Dict[str, torch.Size]]
"""The shapes of the parameters of each group by their names, in the optimizer's order."""


def parameters_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> Parameters:
    """The parameters of an optimizer over a model."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [{names[parameter]: parameter.shape for parameter in group["params"]} for group in optimizer.param_groups]


def check_parameters(path: PathLike, parts: List[State], saved: Optional[Parameters], trained: Parameters) -> None:
    """Raises ValueError if the state in `path` is of other parameters than those that are trained.

    torch would see other numbers of them only, and ZeRO-2 would take the moments of other parameters.

    Args:
        parts: of all ranks. saved: the names in the checkpoint; None in those of earlier versions.
    """
    if saved is None:
        if len(parts) > 1 or fits(parts[0], trained):  # the parts of DeepSpeed have always been of trained parameters
            return
        found = f"{sum(len(group['params']) for group in parts[0]['param_groups'])} of unknown names"
    else:
        if list(map(in_order, saved)) == list(map(in_order, trained)):
            return
        found = described(saved, trained)
    raise ValueError(
        f"{path} has the optimizer's state of other parameters than are trained now ({found}, expected "
        f"{described(trained, saved or [])}): end this training with the version that began it, or start from its "
        f"weights with --init_param {Path(path).with_name('latest.pth')} and another --output_dir"
    )


def in_order(group: Dict[str, torch.Size]) -> List[Tuple[str, torch.Size]]:
    """The parameters of a group; equal dictionaries may have another order."""
    return list(group.items())


def described(parameters: Parameters, others: Parameters) -> str:
    """The number of parameters, and the first one that the others do not have at its place."""
    rows, missing = ([row for group in groups for row in in_order(group)] for groups in (parameters, others))
    name, shape = next((row for number, row in enumerate(rows) if row not in missing[number : number + 1]), rows[0])
    return f"{len(rows)} in {len(parameters)} groups, such as {name} {tuple(shape)}"


def fits(state: State, parameters: Parameters) -> bool:
    """True if a whole state can be of these parameters: their number in each group, and shapes of its tensors."""
    if [len(group["params"]) for group in state["param_groups"]] != list(map(len, parameters)):
        return False
    shapes = [shape for group in parameters for shape in group.values()]
    tensors = {n: [v.shape for k, v in values.items() if is_flat(k, v)] for n, values in state["state"].items()}
    return all(shapes[number] in found for number, found in tensors.items() if found)


def whole_state(parts: List[State], parameters: Parameters) -> State:
    """The state with a tensor for each parameter, from the parts of all ranks in order; a single part is whole.

    Args:
        parameters: of the model. ZeRO-2 joins those of a group in order, pads the end and deals out equal parts.
    """
    if len(parts) == 1:
        return parts[0]
    state, groups, number = {}, [], 0
    for index, group in enumerate(parameters):
        sizes = [shape.numel() for shape in group.values()]
        flats = {}
        for name, value in parts[0]["state"].get(index, {}).items():
            if is_flat(name, value):
                joined = torch.cat([part["state"][index][name] for part in parts])
                value = joined[: sum(sizes)].split(sizes)
            flats[name] = value
        for place, shape in enumerate(group.values()):
            own = lambda v: v[place].view(shape) if isinstance(v, tuple) else deepcopy(v)  # steps are counted in place
            state.update({number + place: {name: own(value) for name, value in flats.items()}} if flats else {})
        groups.append({**parts[0]["param_groups"][index], "params": list(range(number, number + len(sizes)))})
        number += len(sizes)
    return {"state": state, "param_groups": groups}


def shard_of(whole: State, parameters: Parameters, rank: int, optimizer: torch.optim.Optimizer) -> State:
    """The part of `rank` in a whole state: the inverse of `whole_state`.

    Args:
        optimizer: has one flat parameter in each group, as long as the part.
    """
    state, groups, number = {}, [], 0
    for index, group in enumerate(parameters):
        own = [whole["state"].get(number + place, {}) for place in range(len(group))]
        length = optimizer.param_groups[index]["params"][0].numel()
        part = {}
        for name, value in own[0].items():
            if is_flat(name, value):
                flat = torch.cat([one[name].reshape(-1) for one in own])
                mine = flat[rank * length : (rank + 1) * length]
                value = nn.functional.pad(mine, (0, length - len(mine)))
            part[name] = value
        state.update({index: part} if part else {})
        groups.append({**whole["param_groups"][index], "params": [index]})
        number += len(group)
    return {"state": state, "param_groups": groups}


def is_flat(name: str, value: Any) -> bool:
    """True for a value of the size of a parameter; others, such as the number of steps, are alike on all ranks."""
    return name != "step" and isinstance(value, Tensor)
