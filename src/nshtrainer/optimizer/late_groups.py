"""Check the weight decay of groups that are added to an optimizer late, against `no_decay`."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nshtrainer.config.messages import join_quoted
from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.optimizer.groups.config import GroupingConfigBase
from nshtrainer.optimizer.groups.parameters import clean_names, inventory
from nshtrainer.optimizer.groups.presets import marked_options
from nshtrainer.resume import tell_of

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

__all__ = ["warn_decayed"]

_MOST = 5
"""Names in a message."""


def warn_decayed(optimizer: Optimizer, known: Collection[int], config: Any, model: Module) -> None:
    """Warn of late parameters with a weight decay that the config's `no_decay` sets to 0.

    Args:
        optimizer: The optimizer.
        known: Identities of the parameters that were in the optimizer before.
        config: The config that the optimizer was built from, or `None`.
        model: The module that has the parameters.
    """
    late = [
        (group, own)
        for group in optimizer.param_groups
        if group.get("weight_decay")
        and (own := _config_of(group, config)) is not None
        and any(id(param) not in known for param in group["params"])
    ]
    decayed: list[str] = []
    for group, own in late:
        parameters = inventory(model)
        names = clean_names([one.name for one in parameters])
        options = marked_options(own, parameters, model)
        theirs = set(map(id, group["params"])).difference(known)
        decayed += [
            name
            for name, one, option in zip(names, parameters, options, strict=True)
            if id(one.tensor) in theirs and option.get("weight_decay") == 0
        ]
    if decayed:
        tell_of(
            f"{type(model).__name__}: {join_quoted(decayed, _MOST)} are decayed against no_decay: "
            "their group was added with a weight_decay. Add a group with weight_decay=0 for them, "
            "or set include_frozen, which groups them from the start.",
            NshtrainerWarning,
        )


def _config_of(group: dict[str, Any], config: Any) -> GroupingConfigBase | None:
    """Return the config that a group belongs to, if it has a `no_decay`."""
    own = None if config is None else config.config_for_group(group.get("name"))
    asks = isinstance(own, GroupingConfigBase) and own.no_decay != "none"
    return own if asks else None
