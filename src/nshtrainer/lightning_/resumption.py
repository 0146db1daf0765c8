"""A run of Lightning's that goes on from a checkpoint: what its config has that is not so there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nshtrainer.changes import Change, all_of, as_data, differing, tell, tell_of
from nshtrainer.config import Config
from nshtrainer.exceptions import CheckpointError
from nshtrainer.lightning_.run_length import run_length_of
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
from nshtrainer.lr_scheduler.driver import CurveScheduler
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer.resumption import resume_by_name
from nshtrainer.resume import SCHEDULE, ResumeConfig

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["check_resume", "learn_names"]

T = TypeVar("T")

_TORCHS = "left to its own state, which has most of it"


def learn_names(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Let the optimizers of a run know their parameters by name, and the one its config."""
    config = _only(getattr(module, "hparams", None), OptimizerConfigBase)
    for optimizer in trainer.optimizers:
        resume_by_name(optimizer, module, config if len(trainer.optimizers) == 1 else None)


def check_resume(trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Any) -> None:
    """Look at a checkpoint before anything of its optimizers and schedules is loaded.

    Optimizers and curves say by themselves what has changed as they load their states. Here it is
    said of the other schedulers, and with the policy `error` of all at once.

    Raises:
        CheckpointError: The policy forbids what has changed; it names a schedule that cannot be
            taken from the config.
    """
    policy = run_length_of(trainer).resume or ResumeConfig()
    others = list(_changes_of_others(trainer, module, checkpoint))
    if policy.policy == "error":
        _refuse([*_changes_of_ours(trainer, module, checkpoint), *others])
    _check_schedule_fields(policy, trainer)
    tell(others)
    _say_if_over(trainer, checkpoint)


def _refuse(changes: Sequence[Change]) -> None:
    if changes:
        raise CheckpointError(all_of(changes))


def _changes_of_ours(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Mapping[str, Any]
) -> Iterator[Change]:
    """What the optimizers and the curves find in their states."""
    states = checkpoint.get("optimizer_states", ())
    for optimizer, state in zip(trainer.optimizers, states, strict=False):
        if "param_groups" in state:
            yield from resume_by_name(optimizer, module).changes(state)
    states = checkpoint.get("lr_schedulers", ())
    for scheduler, state in zip(_schedulers(trainer), states, strict=False):
        if _is_ours(scheduler):
            yield from scheduler.changes(state)


def _changes_of_others(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Mapping[str, Any]
) -> Iterator[Change]:
    """What the hyperparameters say of a scheduler whose state does not hold its config."""
    schedulers = _schedulers(trainer)
    config = _only(getattr(module, "hparams", None), LRSchedulerConfigBase)
    if config is None or len(schedulers) != 1 or _is_ours(schedulers[0]):
        return
    saved: Any = checkpoint.get("hyper_parameters", {}).get("hparams", {})
    if isinstance(saved, Mapping):
        was: Any = cast("Mapping[str, Any]", saved).get(_name_of(module, config))
        for change in differing(was, as_data(config), (SCHEDULE,)):
            yield change._replace(outcome=_TORCHS)


def _check_schedule_fields(policy: ResumeConfig, trainer: pl.Trainer) -> None:
    """What takes nothing from the config is not asked for.

    Raises:
        CheckpointError: A field of the schedule is listed, and no schedule of the run is ours.
    """
    fields, schedulers = policy.schedule_fields(), _schedulers(trainer)
    if fields and not any(map(_is_ours, schedulers)):
        kinds = ", ".join(type(each).__name__ for each in schedulers)
        raise CheckpointError(
            f"resume: fields: {', '.join(fields)}: no schedule of this run can be taken from the "
            f"config ({kinds or 'it has none'}); leave it out"
        )


def _say_if_over(trainer: pl.Trainer, checkpoint: Mapping[str, Any]) -> None:
    done = checkpoint.get("global_step", 0)
    if -1 < trainer.max_steps < done:
        tell_of(
            f"nothing is left to train: the checkpoint has {done} updates behind it, and "
            f"max_steps is {trainer.max_steps}; raise it"
        )


# -- looking ---------------------------------------------------------------------------------------


def _schedulers(trainer: pl.Trainer) -> list[Any]:
    return [config.scheduler for config in trainer.lr_scheduler_configs]


def _is_ours(scheduler: Any) -> bool:
    return isinstance(scheduler, CurveScheduler)


def _only(hparams: Any, kind: type[T]) -> T | None:
    """The one value of a kind in the hyperparameters."""
    found = [value for value in _values(hparams).values() if isinstance(value, kind)]
    return found[0] if len(found) == 1 else None


def _name_of(module: Any, config: Any) -> str:
    return next(name for name, value in _values(module.hparams).items() if value is config)


def _values(hparams: Any) -> dict[str, Any]:
    """The fields of a config; what else a module calls its hyperparameters are other values."""
    return dict(hparams) if isinstance(hparams, Config) else {}
