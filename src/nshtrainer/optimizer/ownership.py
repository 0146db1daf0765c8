"""Detect trainable parameters in no optimizer, frozen ones in one, and late ones with decay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nshtrainer.optimizer.grouping import GroupingConfigBase
from nshtrainer.optimizer.inventory import clean_names, inventory
from nshtrainer.optimizer.nearest import listed
from nshtrainer.optimizer.orphans import watched
from nshtrainer.optimizer.parameters import is_sharded
from nshtrainer.optimizer.routing import RoutingConfigBase
from nshtrainer.optimizer.settings import marked_options
from nshtrainer.optimizer.wrapping import unwrapped

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

__all__ = ["ownership_problems"]

_MOST = 5
"""Names in a message."""


def ownership_problems(optimizers: Sequence[Optimizer], model: Module) -> list[str]:
    """Return a message for each kind of parameters that are not trained as they seem to be.

    Nothing is reported where no optimizer has a parameter of the model, as where an optimizer works
    on copies or on shards.

    >>> import torch
    >>> from nshtrainer.configs import SGDConfig
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    >>> optimizer = SGDConfig().create_optimizer(model[1])
    >>> ownership_problems([optimizer], model)
    ["Sequential: '0.weight', '0.bias' are trainable and in no optimizer, so they are not ..."]

    Args:
        optimizers: All optimizers of the model.
        model: What they train.
    """
    named = [*model.named_parameters()]
    clean = clean_names([name for name, _ in named])
    names: dict[Tensor, str] = {p: name for (_, p), name in zip(named, clean, strict=True)}
    owned = {param for optimizer in optimizers for param in _parameters(optimizer)}
    if owned.isdisjoint(names) or any(is_sharded(p) and p not in names for p in owned):
        return []
    found = {
        "trainable and in no optimizer, so they are not updated. Add them by add_param_group, "
        "create the optimizer when they are trainable or with include_frozen, or freeze them by "
        "requires_grad_(False).": [p for p in names if p.requires_grad and p not in owned],
        "in an optimizer and frozen, so they are not updated. Turn their gradient on by "
        "requires_grad_(True), or remove them from the optimizer.": list(_frozen(optimizers)),
        "decayed against no_decay: their group was added with a weight_decay. Add a group with "
        "weight_decay=0 for them, or set include_frozen, which groups them from the start.": [
            param for optimizer in optimizers for param in _decayed(optimizer, model)
        ],
    }
    of_model = {text: [names[p] for p in params if p in names] for text, params in found.items()}
    return [
        f"{type(model).__name__}: {listed(those, _MOST)} are {text}"
        for text, those in of_model.items()
        if those
    ]


def _parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _frozen(optimizers: Sequence[Optimizer]) -> Iterator[Tensor]:
    """Yield what was trained, or meant to be, and is frozen.

    What was frozen in the optimizer from the beginning is meant to wait there. Several optimizers
    may take turns in freezing the parameters of the others.
    """
    for optimizer in optimizers if len(optimizers) == 1 else ():
        known = watched(optimizer)
        waiting = known.waiting if known is not None else frozenset[int]()
        for param in _parameters(optimizer):
            is_new = id(param) not in waiting or optimizer.state.get(param)
            if is_new and not param.requires_grad:
                yield param


def _decayed(optimizer: Optimizer, model: Module) -> Iterator[Tensor]:
    """Yield what joined late with a weight decay that `no_decay` of the config would not give."""
    known = watched(optimizer)
    late = [
        (group, config)
        for group in optimizer.param_groups
        if known is not None
        and group.get("weight_decay")
        and (config := _config_of(group, known.config)) is not None
        and any(id(param) not in known.built for param in group["params"])
    ]
    if known is None or not late:
        return
    parameters = inventory(model)
    for group, config in late:
        options = marked_options(config, parameters, model)
        spared = {
            one.tensor
            for one, own in zip(parameters, options, strict=True)
            if own.get("weight_decay") == 0
        }
        yield from (p for p in group["params"] if p in spared and id(p) not in known.built)


def _config_of(group: dict[str, Any], config: Any) -> GroupingConfigBase | None:
    """Return the config that a group belongs to, if it has a `no_decay`."""
    if config is None:
        return None
    config = unwrapped(config)[1]
    if isinstance(config, RoutingConfigBase):
        name = str(group.get("name")).partition("/")[0]
        routes = {route.name: route.optimizer for route in config.all_routes()}
        return _config_of({}, routes.get(name))
    asks = isinstance(config, GroupingConfigBase) and config.no_decay != "none"
    return config if asks else None
