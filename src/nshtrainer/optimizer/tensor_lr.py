"""Learning rates in tensors, which compiled and captured steps read at every call.

A number is a constant in a compiled step, which is recompiled when the number changes, and in a
captured CUDA graph, which never sees the change.
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
    """Return the group with its rate in its own tensor, on the device of its parameters.

    torch gives all groups the same tensor if the constructor gets one, and a schedule then writes
    the rate of the last group into all of them.

    Args:
        group: A group of parameters; a rate that is already a tensor is kept.
        rate: The rate of a group that does not set one.
    """
    import torch

    given = group.options.get("lr", rate)
    if isinstance(given, torch.Tensor) or not group.params:
        return group
    return group._replace(options={**group.options, "lr": _tensor(given, like=group.params[0])})


def keep_tensor_rates(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Keep rates that are tensors as tensors when a state is loaded: a pre-hook."""
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

    # The fused and the compiled kernels read 32 bits, for parameters of any type. On `meta` a rate
    # would have no value.
    device = "cpu" if like.is_meta else like.device
    return torch.tensor(float(rate), dtype=torch.float32, device=device)
