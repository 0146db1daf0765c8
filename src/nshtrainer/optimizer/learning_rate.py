"""Learning rates of parameter groups: checks that the optimizer reads them, and rates in tensors.

A number is a constant in a compiled step, which is recompiled when the number changes, and in a
captured CUDA graph, which never sees the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.rate_use import RateUse

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.groups.config import GroupingConfigBase
    from nshtrainer.optimizer.groups.group_dicts import Group

__all__ = [
    "check_rates",
    "keep_tensor_rates",
    "rate_requirements",
    "rate_use_of",
    "with_tensor_rate",
]


def check_rates(config: GroupingConfigBase, groups: Sequence[Group]) -> None:
    """Check that the groups of a config with an `lr_problem` have no learning rate of their own.

    Raises:
        OptimizerError: The optimizer does not read the learning rate of a group.
    """
    own: Any = getattr(config, "lr", None)
    rates = [group.options.get("lr", own) for group in groups]
    read = rates[0] if config.lr_scope == "optimizer" else own
    if any(rate != read for rate in rates):
        raise OptimizerError(
            f"{type(config).__name__}: {config.lr_problem}. Leave lr out of the groups"
        )


def rate_requirements(config: type[GroupingConfigBase]) -> dict[str, bool]:
    """Return each possible requirement on the learning rate, in words, and True if it applies."""
    field, value = config.lr_requires or ("", "")
    return {
        "one `lr` for all groups": config.lr_scope == "optimizer",
        "no schedule of `lr`": config.lr_scope == "first_step" or config.lr_is_written,
        f"`{field}: {str(value).lower()}` for a schedule": config.lr_requires is not None,
        "an `lr` above 0": config.lr_zero == "never",
        "a first `lr` above 0": config.lr_zero == "not_first",
    }


def rate_use_of(config: GroupingConfigBase) -> RateUse:
    """Return how an optimizer uses its learning rate, for schedules."""
    problem = config.lr_problem if config.lr_requires else None
    if config.lr_scope == "first_step":
        problem = f"{config.name} reads lr at its first step only"
    if config.lr_is_written:
        problem = f"{config.name} replaces lr by one of its own"
    return RateUse(config.name, config.lr_scope, config.lr_zero, problem)


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
