"""Locate optimizer and schedule configs in a loaded config, and the length of the run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nshtrainer.config import Config
from nshtrainer.config.document import Keys
from nshtrainer.config.parts import find_configs
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
from nshtrainer.manifest import Manifest
from nshtrainer.optimizer.base import OptimizerConfigBase, innermost
from nshtrainer.run_length import TICKS, RunLength
from nshtrainer.trainer_config import TrainerConfig

__all__ = [
    "LocatedSchedule",
    "lengths_in",
    "optimizers_in",
    "recorded_lengths",
    "run_length",
    "schedules_in",
    "time_limit",
    "trainer_in",
    "with_recorded_lengths",
]

_COMPONENTS = (LRSchedulerConfigBase, OptimizerConfigBase)


@dataclass(frozen=True)
class LocatedSchedule:
    """A schedule in a file.

    Args:
        path: The path of the schedule.
        schedule: The config.
        bases: The initial hyperparameters of the schedule's optimizer, as far as known.
    """

    path: Keys
    schedule: LRSchedulerConfigBase
    bases: Mapping[str, float]


def schedules_in(config: Config) -> list[LocatedSchedule]:
    """Return the schedules in a config, under any field name, without nested ones."""
    optimizers = optimizers_in(config)
    return [
        LocatedSchedule(path, schedule, _bases(_optimizer_of(path, optimizers)))
        for path, schedule in find_configs(config, LRSchedulerConfigBase, closed=_COMPONENTS)
    ]


def optimizers_in(config: Config) -> list[tuple[Keys, OptimizerConfigBase]]:
    """Return the optimizers in a config with their paths, without nested ones."""
    return list(find_configs(config, OptimizerConfigBase, closed=_COMPONENTS))


def _optimizer_of(
    path: Keys, optimizers: list[tuple[Keys, OptimizerConfigBase]]
) -> OptimizerConfigBase | None:
    """Return the optimizer nearest to a schedule; None if ambiguous."""
    near = [_common(path, other) for other, _ in optimizers]
    if not near or near.count(max(near)) > 1:
        return None
    return optimizers[near.index(max(near))][1]


def _common(path: Keys, other: Keys) -> int:
    """Count the leading keys that two paths share."""
    return next(
        (at for at, (one, two) in enumerate(zip(path, other, strict=False)) if one != two),
        min(len(path), len(other)),
    )


def _bases(optimizer: OptimizerConfigBase | None) -> dict[str, float]:
    """Return the numbers of an optimizer under their names in a parameter group."""
    found: dict[str, float] = {}
    for name, value in () if optimizer is None else innermost(optimizer):
        several = isinstance(value, tuple)
        for key, number in enumerate(cast("tuple[Any, ...]", value if several else (value,))):
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                found[f"{name}.{key}" if several else name] = number
    if "betas.0" in found:  # the momentum of Adam
        found.setdefault("momentum", found["betas.0"])
    return found


# -- the length of the run -------------------------------------------------------------------------


_LENGTHS = (
    "total_steps",
    "steps_per_epoch",
    "total_time",
    "samples_per_step",
    "tokens_per_step",
    "base_lr",
)


def lengths_in(args: Namespace) -> RunLength:
    """Return the lengths on the command line; some commands lack some options.

    Raises:
        ScheduleError: The lengths contradict each other, or one is not positive.
    """
    lengths: dict[str, Any] = {name: getattr(args, name, None) for name in _LENGTHS}
    return RunLength(**lengths)


def recorded_lengths(manifest: Manifest | None) -> dict[str, float]:
    """Return the lengths in the manifest of a run, as options of the command line."""
    lengths = manifest.last.lengths if manifest else {}
    # A resume may have kept the schedule of a shorter run.
    total = lengths.get("schedule_steps") or lengths.get("total_steps")
    found = {"total_steps": total, "steps_per_epoch": lengths.get("steps_per_epoch")}
    return {
        name: number
        for name, number in found.items()
        if isinstance(number, (int, float)) and number != TICKS  # of a run limited by time
    }


def with_recorded_lengths(args: Namespace, file: str) -> Namespace:
    """Return a command line with the recorded lengths of a run as defaults.

    Options take precedence, and so do overrides of the sections that lengths depend on.

    Args:
        args: The command line.
        file: A config file; that of a run is `config.yaml` beside its manifest.
    """
    path, found = Path(file), dict[str, float]()
    if path.name == "config.yaml":
        with suppress(ConfigError):  # the manifest is damaged, or of another program
            found = recorded_lengths(Manifest.read(path.parent))
    given = {name: value for name, value in vars(args).items() if value is not None}
    changed = {text.partition("=")[0] for text in given.get("overrides", ())}
    if given.keys() & {"steps_per_epoch", "total_time"} or changed & _LIMITS:
        found.pop("total_steps", None)
    if any(name.partition(".")[0] in {"data", "trainer"} for name in changed - _LIMITS):
        found = {}
    return Namespace(**{**vars(args), **found, **given})


_LIMITS = frozenset({"trainer.max_epochs", "trainer.max_steps"})
"""Keys that change the length of the run, and not that of an epoch."""


def run_length(config: Config, args: Namespace) -> RunLength:
    """Return the length of the run from the command line, else from the `trainer` section.

    Raises:
        ScheduleError: The lengths contradict each other, or one is not positive.
    """
    run = lengths_in(args)
    trainer = trainer_in(config)
    if run.total_steps is not None or trainer is None:
        return run
    limits = [trainer.max_steps] if trainer.max_steps > 0 else []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        steps = run.steps_in_epochs(trainer.max_epochs)
        limits += [] if steps is None else [steps]
    return run.replace(total_steps=min(limits)) if limits else run


def time_limit(config: Config) -> float | None:
    """Return the `max_time` of the `trainer` section in seconds."""
    trainer = trainer_in(config)
    if trainer is None or trainer.max_time is None:
        return None
    days, hours, minutes, seconds = map(int, trainer.max_time.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def trainer_in(config: Config) -> TrainerConfig | None:
    """Return the `trainer` section of a file, if any."""
    found = find_configs(config, TrainerConfig, closed=_COMPONENTS)
    return next((trainer for _, trainer in found), None)
