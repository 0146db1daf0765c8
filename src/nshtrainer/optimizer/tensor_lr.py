"""Learning rates that are tensors: a compiled or captured step reads a new value from the same one.

A number is burnt into a compiled step, which is compiled anew when it changes, and into a captured
CUDA graph, which then never sees the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.groups.group_dicts import Group

__all__ = ["keep_tensor_rates", "with_tensor_rate"]


def with_tensor_rate(group: Group, rate: float) -> Group:
    """The group with a tensor of its own for its rate, where its parameters are.

    torch gives all groups the one tensor of the constructor, so that they share what a schedule
    writes for the last of them.

    Args:
        group: A group of parameters; a rate of its own that is a tensor is left as it is.
        rate: The rate, if the group does not say another.
    """
    import torch

    given = group.options.get("lr", rate)
    if isinstance(given, torch.Tensor) or not group.params:
        return group
    return group._replace(options={**group.options, "lr": _tensor(given, like=group.params[0])})


def keep_tensor_rates(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A hook of `load_state_dict`: a rate that is a tensor stays one, whatever was saved."""
    import torch

    saved, own = state_dict["param_groups"], optimizer.param_groups
    groups = [
        {**theirs, "lr": _tensor(theirs["lr"], like=ours["lr"])}
        if isinstance(ours.get("lr"), torch.Tensor)
        else theirs
        for theirs, ours in zip(saved, own, strict=True)
    ]
    return {**state_dict, "param_groups": groups}


def _tensor(rate: Any, *, like: Tensor) -> Tensor:
    import torch

    # The fused and the compiled kernels read 32 bits, whatever the parameters have.
    return torch.tensor(float(rate), dtype=torch.float32, device=like.device)
