"""Resume of a Lightning run whose config, or kind of schedule, has changed since the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nshtrainer.config import Config
from nshtrainer.config.messages import dotted
from nshtrainer.config.parts import find_fields
from nshtrainer.exceptions import CheckpointError, OptimizerError
from nshtrainer.integrations.lightning.checkpoint.entries import (
    check_scheduler_states,
    refuse_entry,
)
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase, lr_scheduler_registry
from nshtrainer.lr_scheduler.driver.resume import from_step
from nshtrainer.lr_scheduler.driver.saved_state import has_own_rates, is_of_driver
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer.checkpoint.hooks import resume_by_name
from nshtrainer.optimizer.checkpoint.state_check import check_form
from nshtrainer.resume import (
    SCHEDULE,
    Change,
    ResumeConfig,
    as_data,
    check_changes,
    differing,
    resolve,
    tell_of,
)
from nshtrainer.structure import find_odd_values

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = [
    "adapt_states",
    "changes_of_others",
    "check_resume",
    "check_states",
    "decide",
    "learn_names",
    "schedulers_of",
]

Checkpoint = dict[str, Any]


class _Pair(NamedTuple):
    """A scheduler of the run and the state that Lightning would load into it.

    Args:
        scheduler: The scheduler; `None` if the run has fewer schedulers.
        state: The saved state; `None` if the checkpoint has fewer.
        own: The schedule in the config, as plain data or as text; `None` for none.
        saved: The schedule in the checkpoint, likewise.
    """

    scheduler: Any
    state: Any
    own: Any
    saved: Any

    @property
    def is_ours(self) -> bool:
        return isinstance(self.scheduler, CurveScheduler)

    @property
    def is_other_kind(self) -> bool:
        """True if the state was not saved by a scheduler of this kind."""
        if self.scheduler is None or self.state is None:
            return True
        if self.is_ours or is_of_driver(self.state):
            return not (self.is_ours and is_of_driver(self.state))
        return self._are_known and self.own["name"] != self.saved["name"]

    @property
    def changes(self) -> list[Change]:
        """The changes that the scheduler itself does not detect when it loads the state."""
        if self.is_ours if not self.is_other_kind else self.own == self.saved:
            return []
        if not self.is_other_kind and not self._are_known:
            return []
        return list(differing(self.saved, self.own, (SCHEDULE,)))

    @property
    def _are_known(self) -> bool:
        return isinstance(self.own, Mapping) and isinstance(self.saved, Mapping)


def schedulers_of(trainer: pl.Trainer) -> list[Any]:
    """Return the schedulers of a run."""
    return [config.scheduler for config in trainer.lr_scheduler_configs]


def changes_of_others(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Checkpoint
) -> list[Change]:
    """Return the changes of schedules that no scheduler detects in its own state."""
    pairs = _pairs(trainer, module, checkpoint)
    return [change for pair in pairs for change in pair.changes]


def check_states(trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Checkpoint) -> None:
    """Check the states that the schedulers and optimizers load.

    Raises:
        CheckpointError: An entry has an unexpected form; the message names it.
    """
    check_scheduler_states([None] * 99, checkpoint.get("lr_schedulers", []))
    pairs = _pairs(trainer, module, checkpoint)
    own = [None if pair.is_other_kind else pair.scheduler for pair in pairs]
    check_scheduler_states(own, [{} if pair.state is None else pair.state for pair in pairs])
    for place, state in enumerate(checkpoint.get("optimizer_states", [])):
        _check_optimizer_state(place, state)


def _check_optimizer_state(place: int, state: Any) -> None:
    try:
        check_form(state)
    except OptimizerError as error:
        raise CheckpointError(f"optimizer_states.{place}: {error}") from error


def decide(
    change: Change, policy: ResumeConfig, position: int, schedulers: Sequence[Any]
) -> Change:
    """Decide a change of the schedule.

    Args:
        change: The change.
        policy: The policy of the run.
        position: The step at which the run resumes.
        schedulers: The schedulers of the run.
    """
    if change.path != (SCHEDULE,):
        return change.keep("most of it is restored from the scheduler's own state")
    if schedulers and all(isinstance(each, CurveScheduler) for each in schedulers):
        why = "another kind cannot be kept" if change.saved else "there is none to keep"
        return from_step(change, position, f"since {why}")
    what = "with its own state" if schedulers else "without a scheduler"
    if policy.takes_schedule:
        text = f"taken from the config, {what}; the learning rate is reset to the optimizer's"
        return change.follow(text)
    text = f"taken from the config, {what}; the learning rate stays as in the checkpoint"
    return change.keep(text, SCHEDULE)


def adapt_states(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Checkpoint, policy: ResumeConfig
) -> None:
    """Replace states of schedulers of another kind by states that the run's schedulers can load.

    A curve continues at the trainer's step, from the initial learning rates of the optimizer.
    Other schedulers keep their current state.
    """
    if "lr_schedulers" not in checkpoint:
        return  # weights alone, which Lightning refuses
    pairs = _pairs(trainer, module, checkpoint)
    others = [pair for pair in pairs if pair.is_other_kind]
    for pair in others:
        if pair.is_ours:
            _note_bases(trainer, module, checkpoint, pair)
        elif policy.takes_schedule:
            _reset_values(checkpoint)
    checkpoint["lr_schedulers"] = [
        pair.scheduler.state_dict()
        | ({"last_epoch": position_of(trainer, checkpoint)} if pair.is_ours else {})
        if pair in others
        else pair.state
        for pair in pairs
        if pair.scheduler is not None
    ]


def position_of(trainer: pl.Trainer, checkpoint: Mapping[str, Any]) -> int:
    """Return the number of updates of each optimizer; Lightning counts those of all together."""
    return checkpoint.get("global_step", 0) // max(1, len(trainer.optimizers))


# -- rates -----------------------------------------------------------------------------------------


def _note_bases(
    trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Checkpoint, pair: _Pair
) -> None:
    """Write the config's rates into groups without a record of their initial rates.

    A scheduler that monitors a metric leaves no record, and PyTorch's cyclic schedulers leave
    another one. If the rate in the config has changed, the one in the checkpoint applies.
    """
    optimizer = pair.scheduler.optimizer
    states: list[Any] = checkpoint.get("optimizer_states", [])
    place = [each is optimizer for each in trainer.optimizers].index(True)
    state: dict[str, Any] = states[place] if place < len(states) else {"param_groups": []}
    changes = resume_by_name(optimizer, module).changes(state)
    if any("lr" in change.path for change in changes):
        return
    for live, saved in zip(optimizer.param_groups, state["param_groups"], strict=False):
        is_open = "initial_lr" not in saved or has_own_rates(pair.state or {})
        if is_open and live.get("name") == saved.get("name"):
            saved["initial_lr"] = live["initial_lr"]


def _reset_values(checkpoint: Checkpoint) -> None:
    """Reset each scheduled value in the optimizers' states to its initial value."""
    for state in checkpoint.get("optimizer_states", []):
        for group in state.get("param_groups", []):
            for key in [key for key in group if key.startswith("initial_")]:
                name, _, item = key.removeprefix("initial_").partition(".")
                if not item:
                    group[name] = group[key]
                else:
                    values = list(group[name])
                    values[int(item)] = group[key]
                    group[name] = tuple(values)


# -- pairs -----------------------------------------------------------------------------------------


def _pairs(trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Checkpoint) -> list[_Pair]:
    schedulers, states = schedulers_of(trainer), checkpoint.get("lr_schedulers", [])
    saved, own = _in_hyperparameters(module, checkpoint)
    alone = max(len(schedulers), len(states)) == 1
    return [
        _Pair(
            scheduler,
            state,
            _current_schedule(scheduler, own if alone else None),
            _saved_schedule(state, saved if alone else None),
        )
        for scheduler, state in zip_longest(schedulers, states)
    ]


def _current_schedule(scheduler: Any, in_config: Any) -> Any:
    if scheduler is None:
        return None
    if isinstance(scheduler, CurveScheduler):
        return as_data(scheduler.plan.config) or scheduler.plan.label
    return type(scheduler).__name__ if _is_of_curve(in_config) else in_config


def _saved_schedule(state: Any, in_hyperparameters: Any) -> Any:
    """Return the schedule that wrote a state; text if it is unknown."""
    if is_of_driver(state):
        return state.get("config") or state.get("curve")
    if state is None:
        return None
    return "another scheduler" if _is_of_curve(in_hyperparameters) else in_hyperparameters


def _is_of_curve(schedule: Any) -> bool:
    """Return True if the schedule is a curve, or is missing."""
    name = schedule and schedule.get("name")
    cls = lr_scheduler_registry.find(name, plugins=False) if isinstance(name, str) else None
    return not schedule or (cls is not None and cls.is_curve)


def _in_hyperparameters(module: Any, checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return the only schedule in the saved hyperparameters, and the one in the config."""
    saved: Any = checkpoint.get("hyper_parameters", {}).get("hparams", {})
    hparams = getattr(module, "hparams", None)
    if not isinstance(hparams, Config) or not isinstance(saved, Mapping):
        return None, None
    was, now = cast("Mapping[str, Any]", saved), dict(hparams)
    names = [name for name, value in now.items() if _is_schedule(value, was.get(name))]
    if len(names) != 1:
        return None, None
    schedule = was.get(names[0])
    for path, problem in find_odd_values(schedule, ("hyper_parameters", "hparams", names[0])):
        refuse_entry(dotted(path), problem)
    return schedule, as_data(now[names[0]])


def _is_schedule(own: Any, saved: Any) -> bool:
    if own is not None or not isinstance(saved, Mapping):
        return isinstance(own, LRSchedulerConfigBase)
    name: Any = cast("Mapping[str, Any]", saved).get("name")
    return isinstance(name, str) and lr_scheduler_registry.find(name, plugins=False) is not None


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
    _warn_if_over(trainer, checkpoint)


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


def _warn_if_over(trainer: pl.Trainer, checkpoint: Mapping[str, Any]) -> None:
    done = checkpoint.get("global_step", 0)
    if -1 < trainer.max_steps < done:
        tell_of(
            f"checkpoint is at step {done} but max_steps is {trainer.max_steps}; increase "
            "max_steps to continue training"
        )
