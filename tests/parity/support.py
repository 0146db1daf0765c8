"""What the tests of parity share: a run of a torch scheduler or of one of our configs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch

from nshtrainer import RunLength


def optimizer(lr: float = 0.3, **options: Any) -> torch.optim.Optimizer:
    """One without gradients: its steps change nothing."""
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr, **options)


def groups_of(driven: torch.optim.Optimizer, scheduler: Any, updates: int) -> Iterator[Any]:
    """What stands in the group at each update."""
    for update in range(updates):
        if update:
            driven.step()
            scheduler.step()
        yield dict(driven.param_groups[0])


def torchs_groups(make: Callable[[Any], Any], updates: int, lr: float = 0.3) -> list[Any]:
    """The groups under a scheduler of torch's, or of anybody's that drives an optimizer."""
    driven = optimizer(lr, momentum=0.5)
    return list(groups_of(driven, make(driven), updates))


def our_groups(config: Any, updates: int, lr: float = 0.3, run: RunLength | None = None) -> Any:
    """The groups under one of our configs."""
    driven = optimizer(lr, momentum=0.5)
    made = config.create_scheduler(driven, run or RunLength())
    return list(groups_of(driven, made["scheduler"], updates))


def theirs(make: Callable[[Any], Any], updates: int, lr: float = 0.3) -> list[float]:
    """The rates under a scheduler of somebody else."""
    return [group["lr"] for group in torchs_groups(make, updates, lr)]


def ours(config: Any, updates: int, lr: float = 0.3, run: RunLength | None = None) -> list[float]:
    """The rates under one of our configs."""
    return [group["lr"] for group in our_groups(config, updates, lr, run)]


def snake_case(name: str) -> str:
    """The name that a class of torch's has in our files.

    >>> snake_case("CosineAnnealingWarmRestarts"), snake_case("SWALR")
    ('cosine_annealing_warm_restarts', 'swa_lr')
    """
    return "_".join(re.findall(r"LR|SWA|[A-Z][a-z]+|[A-Z]", name)).lower()
