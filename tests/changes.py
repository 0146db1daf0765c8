"""Configs that change between a checkpoint and the run that goes on: what torch ignores or refuses.

Each row is a change; torch and Lightning climb a cosine again, fail in a one-cycle, jump with a new
function, ignore rates and decay, and refuse other groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import pytest

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    CosineAnnealingLRConfig,
    CosineScheduleConfig,
    LinearScheduleConfig,
    OneCycleLRConfig,
    OptimizerConfigBase,
    SequentialLRConfig,
)
from nshtrainer.lr_scheduler import CurveScheduleConfigBase

__all__ = ["DONE", "POLICIES", "ROWS", "HyperbolaConfig", "Row", "Setup", "cases", "rates"]

DONE = 6
"""Updates before the checkpoint."""

LINE = {"name": "linear_lr", "start_factor": 0.25, "total_iters": 4}


class HyperbolaConfig(CurveScheduleConfigBase):
    """A user's schedule, whose curve is a function without a name."""

    name: Literal["hyperbola"] = "hyperbola"
    pace: float = 1.0

    def curve(self, run: RunLength) -> Any:
        return lambda step: 1 / (1 + self.pace * step)


class Setup(NamedTuple):
    """What is trained with, and for how many updates."""

    optimizer: OptimizerConfigBase = AdamWConfig(lr=0.1)
    schedule: CurveScheduleConfigBase = CosineScheduleConfig()
    steps: int = 12


class Row(NamedTuple):
    """A change: what it is said to be, and which fields take it from the config."""

    name: str
    before: Setup
    after: Setup
    said: tuple[str, ...]
    fields: tuple[str, ...]


def annealing(steps: int) -> CosineAnnealingLRConfig:
    return CosineAnnealingLRConfig(T_max=steps)


def joined(steps: int) -> SequentialLRConfig:
    cosine = {"name": "cosine_annealing_lr", "T_max": steps - 4}
    return SequentialLRConfig.model_validate({"schedulers": [LINE, cosine], "milestones": [4]})


def grouped(lr: float) -> AdamWConfig:
    return AdamWConfig.model_validate({"lr": lr, "groups": [{"name": "c", "select": "c"}]})


WHOLE = ("lr_scheduler",)
LONGER = "run 12 -> 24 steps"

ROWS = (
    Row("a longer run", Setup(), Setup(steps=24), (LONGER,), WHOLE),
    Row("a shorter run", Setup(steps=24), Setup(), ("run 24 -> 12 steps",), WHOLE),
    Row(
        "T_max",
        Setup(schedule=annealing(12)),
        Setup(schedule=annealing(24), steps=24),
        ("lr_scheduler.T_max 12 -> 24",),
        WHOLE,
    ),
    Row(
        "a sequence",
        Setup(schedule=joined(12)),
        Setup(schedule=joined(24), steps=24),
        ("lr_scheduler.schedulers.1.T_max 8 -> 20",),
        WHOLE,
    ),
    Row(
        "one cycle",
        Setup(schedule=OneCycleLRConfig(max_lr=0.1, total_steps=12)),
        Setup(schedule=OneCycleLRConfig(max_lr=0.1, total_steps=24), steps=24),
        ("lr_scheduler.total_steps 12 -> 24",),
        WHOLE,
    ),
    Row(
        "another function",
        Setup(schedule=HyperbolaConfig()),
        Setup(schedule=HyperbolaConfig(pace=2.0)),
        ("lr_scheduler.pace 1.0 -> 2.0",),
        ("lr_scheduler.pace",),
    ),
    Row(
        "another schedule",
        Setup(),
        Setup(schedule=LinearScheduleConfig()),
        ("lr_scheduler cosine -> linear",),
        WHOLE,
    ),
    Row(
        "a duration",
        Setup(schedule=CosineScheduleConfig(max_duration="10 steps")),
        Setup(schedule=CosineScheduleConfig(max_duration="0.5 epochs")),
        ("lr_scheduler.max_duration 10 steps -> 0.5 epochs",),
        ("lr_scheduler.max_duration",),
    ),
    Row(
        "rate and decay",
        Setup(AdamWConfig(lr=0.01, weight_decay=0.01)),
        Setup(AdamWConfig(lr=0.5, weight_decay=0.9)),
        ("optimizer.lr 0.01 -> 0.5", "optimizer.weight_decay 0.01 -> 0.9"),
        ("lr", "weight_decay"),
    ),
    Row(
        "all at once",
        Setup(AdamWConfig(lr=0.01)),
        Setup(AdamWConfig(lr=0.5), LinearScheduleConfig(min_factor=0.5), 24),
        ("optimizer.lr 0.01 -> 0.5", "lr_scheduler cosine -> linear", LONGER),
        ("lr", *WHOLE),
    ),
    Row(
        "two groups",
        Setup(),
        Setup(grouped(0.1)),
        ("optimizer.groups [] -> [c]",),
        (),
    ),
)

POLICIES: dict[str, tuple[str, str]] = {
    "keep": ("before", "before"),
    "extend": ("before", "after"),
    "override": ("after", "after"),
    "error": ("error", "error"),
}
"""Policy -> whose optimizer and whose schedule goes on."""


def cases() -> list[Any]:
    """Each row under each policy that it makes sense for."""
    return list(_cases())


def _cases() -> Iterator[Any]:
    for row in ROWS:
        for policy in POLICIES:
            if policy == "override" and not row.fields:
                continue
            is_refused = policy == "error" or (policy, row.name) == ("extend", "a shorter run")
            yield pytest.param(row, policy, is_refused, id=f"{row.name}, {policy}")


def rates(row: Row, policy: str, steps_per_epoch: int) -> dict[int, float]:
    """The rate of each update after the checkpoint, as the table has it."""
    sources = {"before": row.before, "after": row.after}
    optimizer, schedule = (sources[each] for each in POLICIES[policy])
    base: float = optimizer.optimizer.lr  # type: ignore[attr-defined]
    run = RunLength(schedule.steps, steps_per_epoch, base_lr=base)
    track = next(t for t in schedule.schedule.tracks(run) if t.hyperparameter == "lr")
    scale = base if track.kind == "factor" else 1.0
    return {step: scale * track.curve(step) for step in range(DONE, row.after.steps)}
