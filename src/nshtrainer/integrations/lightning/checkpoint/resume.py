"""Resume of a Lightning run whose config may have changed since the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshtrainer.config.parts import find_fields
from nshtrainer.exceptions import CheckpointError
from nshtrainer.integrations.lightning.checkpoint.schedule_change import (
    adapt_states,
    changes_of_others,
    check_states,
    decide,
    position_of,
    schedulers_of,
)
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.lr_scheduler.driver.saved_state import is_of_driver
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer.checkpoint.hooks import resume_by_name
from nshtrainer.resume import SCHEDULE, Change, ResumeConfig, check_changes, resolve, tell_of

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["check_resume", "learn_names"]


def learn_names(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Attach parameter names (and the config, if unique) to the run's optimizers."""
    found = [*find_fields(getattr(module, "hparams", None), OptimizerConfigBase).values()]
    config = found[0] if len(found) == 1 else None
    for optimizer in trainer.optimizers:
        resume_by_name(optimizer, module, config if len(trainer.optimizers) == 1 else None)


def check_resume(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
) -> None:
    """Check a checkpoint before the states of its optimizers and schedules are loaded.

    Optimizers and curves detect changes themselves when they load their states. This function
    compares the other schedulers, and replaces the state of a schedule of another kind by one that
    continues at the step of the run. With the policy `error` all changes are reported in one error.

    Raises:
        CheckpointError: The policy forbids a change, or lists a schedule that cannot be taken from
            the config.
    """
    policy = run_length_of(trainer).context.policy
    check_states(trainer, module, checkpoint)
    others = changes_of_others(trainer, module, checkpoint)
    all_of_them = [*_changes_of_ours(trainer, module, checkpoint), *others]
    check_changes(all_of_them, policy, CheckpointError)
    schedulers, position = schedulers_of(trainer), position_of(trainer, checkpoint)
    _check_schedule_fields(policy, schedulers, others)
    adapt_states(trainer, module, checkpoint, policy)
    resolve(
        others,
        policy,
        lambda change: decide(change, policy, position, schedulers),
        error=CheckpointError,
    ).tell()
    _say_if_over(trainer, checkpoint)


def _changes_of_ours(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Mapping[str, Any]
) -> Iterator[Change]:
    """Yield the changes that the optimizers and the curves detect in their states."""
    states = checkpoint.get("optimizer_states", ())
    for optimizer, state in zip(trainer.optimizers, states, strict=False):
        if "param_groups" in state:
            yield from resume_by_name(optimizer, module).changes(state)
    states = checkpoint.get("lr_schedulers", ())
    for scheduler, state in zip(schedulers_of(trainer), states, strict=False):
        if isinstance(scheduler, CurveScheduler) and is_of_driver(state):
            yield from scheduler.changes(state)


def _check_schedule_fields(
    policy: ResumeConfig, schedulers: Sequence[Any], changes: Sequence[Change]
) -> None:
    """Refuse schedule fields in the policy if no schedule of the run can apply them.

    Raises:
        CheckpointError: The policy lists a schedule field, no schedule of the run is a curve, and
            no schedule has changed its kind.
    """
    fields = policy.schedule_fields()
    is_curve = any(isinstance(each, CurveScheduler) for each in schedulers)
    is_of_kind = any(change.path == (SCHEDULE,) for change in changes)
    if fields and not is_curve and not (SCHEDULE in fields and is_of_kind):
        kinds = ", ".join(type(each).__name__ for each in schedulers)
        raise CheckpointError(
            f"resume: fields: {', '.join(fields)}: no schedule of this run can be taken from the "
            f"config ({kinds or 'it has none'}); leave it out"
        )


def _say_if_over(trainer: pl.Trainer, checkpoint: Mapping[str, Any]) -> None:
    done = checkpoint.get("global_step", 0)
    if -1 < trainer.max_steps < done:
        tell_of(
            f"checkpoint is at step {done} but max_steps is {trainer.max_steps}; increase "
            "max_steps to continue training"
        )
