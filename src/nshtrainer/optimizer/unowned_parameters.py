"""Detect trainable parameters in no optimizer, and frozen parameters in an optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nshtrainer.config.messages import join_quoted
from nshtrainer.optimizer.groups.group_dicts import is_sharded
from nshtrainer.optimizer.groups.parameters import clean_names
from nshtrainer.optimizer.stale_parameters import watched
from nshtrainer.optimizer_record import params_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

__all__ = ["ownership_problems"]

_MOST = 5
"""Largest number of names in a message."""


def ownership_problems(optimizers: Sequence[Optimizer], model: Module) -> list[str]:
    """Return messages about parameters that are not trained although they seem to be.

    Nothing is reported if no optimizer has, or had, a parameter of the model: it may work on copies
    or on shards.

    >>> import torch
    >>> from nshtrainer.configs import SGDConfig
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    >>> optimizer = SGDConfig().create_optimizer(model[1])
    >>> ownership_problems([optimizer], model)
    ["Sequential: '0.weight', '0.bias' are trainable and in no optimizer, so they are not ..."]

    Args:
        optimizers: All optimizers of the model.
        model: The model that they train.
    """
    named = [*model.named_parameters()]
    clean = clean_names([name for name, _ in named])
    names: dict[Tensor, str] = {p: name for (_, p), name in zip(named, clean, strict=True)}
    owned = {param for optimizer in optimizers for param in params_of(optimizer)}
    has_none = owned.isdisjoint(names) and not any(_was_for(opt, model) for opt in optimizers)
    if has_none or any(is_sharded(p) and p not in names for p in owned):
        return []
    found = {
        "trainable and in no optimizer, so they are not updated. Add them by add_param_group, "
        "create the optimizer when they are trainable or with include_frozen, or freeze them by "
        "requires_grad_(False).": [p for p in names if p.requires_grad and p not in owned],
        "in an optimizer and frozen, so they are not updated. Turn their gradient on by "
        "requires_grad_(True), or remove them from the optimizer.": list(_frozen(optimizers)),
    }
    of_model = {text: [names[p] for p in params if p in names] for text, params in found.items()}
    return [
        f"{type(model).__name__}: {join_quoted(those, _MOST)} are {text}"
        for text, those in of_model.items()
        if those
    ]


def _was_for(optimizer: Optimizer, model: Module) -> bool:
    known = watched(optimizer)
    return known is not None and known.was_for(model)


def _frozen(optimizers: Sequence[Optimizer]) -> Iterator[Tensor]:
    """Yield frozen parameters that were trained before, or trainable when they were added.

    A parameter that was frozen from the start waits in the optimizer on purpose. With several
    optimizers nothing is yielded: each may freeze the parameters of the others in turn.
    """
    for optimizer in optimizers if len(optimizers) == 1 else ():
        known = watched(optimizer)
        waiting = known.waiting if known is not None else frozenset[int]()
        for param in params_of(optimizer):
            is_new = id(param) not in waiting or optimizer.state.get(param)
            if is_new and not param.requires_grad:
                yield param
