"""Check that the parameters of each group are pairs of LoRA factors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nshtrainer.exceptions import OptimizerError

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.optimizer.groups.group_dicts import Group
    from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase

__all__ = ["check_pairs"]


def check_pairs(
    config: TorchOptimizerConfigBase, pairs_by: tuple[str, str], groups: Iterable[Group]
) -> None:
    """Check that each group lists its parameters in pairs, each pair with a common rank.

    Args:
        config: The config of the optimizer.
        pairs_by: The fields with the dimension that the two parameters of each pair share.
        groups: The groups.

    Raises:
        OptimizerError: A parameter has no partner, so that it would never be trained.
    """
    for group in groups:
        left, right = (group.options.get(field, getattr(config, field)) for field in pairs_by)
        for place in range(0, len(group.params), 2):
            pair = group.params[place : place + 2]
            if len(pair) < 2 or _size(pair[0], left) != _size(pair[1], right):
                raise OptimizerError(
                    f"{type(config).__name__}: {group.label}: {group.describe(place)} is not "
                    "followed by the other factor of a LoRA pair, so it would not be trained. Give "
                    "the parameters of LoRA alone, each A before its B"
                )


def _size(param: Tensor, dimension: int) -> int | None:
    """Return the size of a dimension, or `None` if there is no such dimension."""
    return param.shape[dimension] if -param.ndim <= dimension < param.ndim else None
