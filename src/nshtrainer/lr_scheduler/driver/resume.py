"""Schedule to follow after loading a checkpoint: the saved one, or the config's.

A state holds the config of its schedule and the length of its run as plain data. The saved
schedule is built again from both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from nshtrainer.config.messages import dotted
from nshtrainer.exceptions import ConfigError, RegistryError, ScheduleError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.driver.plan import SchedulePlan
from nshtrainer.lr_scheduler.driver.saved_state import is_of_driver, saved_position
from nshtrainer.resume import (
    SCHEDULE,
    Change,
    Resolution,
    ResumeConfig,
    as_data,
    check_field,
    differing,
    resolve,
    tell_of,
)
from nshtrainer.run_length import TICKS, RunLength

__all__ = [
    "ResumedSchedule",
    "after_another",
    "changes_of",
    "from_step",
    "plan_data",
    "resolve_resume",
]

Group: TypeAlias = Mapping[str, Any]
Based: TypeAlias = Sequence[tuple[Group, float]]
"""Parameter groups, each with its base rate."""

_CURVE_FIELDS = frozenset({"schedule", "warmup_duration"})
"""The fields of a metric's schedule that define its curve; the others are in its own state."""


class ResumedSchedule(NamedTuple):
    """Schedule to follow after loading a checkpoint.

    Args:
        plan: The plan to follow.
        position: The position in the plan.
        resolution: The changes and their outcomes; None where a config is unknown.
        more: Further lines for the warning.
        saved_label: The label of the plan in the state, if it has one.
        is_of_another: True for the state of a scheduler of another package.
    """

    plan: SchedulePlan
    position: int
    resolution: Resolution | None = None
    more: Sequence[str] = ()
    saved_label: str | None = None
    is_of_another: bool = False

    def warn(self) -> None:
        """Warn of the changes; for a state without its config, only of another curve."""
        if self.resolution is not None:
            self.resolution.tell(*self.more)
            return
        saved, label, config = self.saved_label, self.plan.label, self.plan.config
        if saved not in (None, label):
            was = f"it was written under {saved}" if config is None else "it does not say how"
            own = label if config is None else f"the {config.name} schedule of the config"
            tell_of(
                f"the schedule has changed since the checkpoint: {was}, and the run resumes at "
                f"step {self.position} under {own}"
            )


def plan_data(plan: SchedulePlan) -> dict[str, Any]:
    """Return the plan as plain data for a state, if its schedule has a config of plain values."""
    data = as_data(plan.config)
    return {} if data is None else {"config": data, "run": plan.run.to_dict()}


def changes_of(own: SchedulePlan, state: Mapping[str, Any], groups: Based) -> list[Change]:
    """Return the changes since a state was saved; none if the curves are the same.

    Args:
        own: The plan of the config.
        state: The state of a scheduler.
        groups: The groups for which the curves are compared.
    """
    return _changes(own, state, groups)[0]


def resolve_resume(own: SchedulePlan, state: Mapping[str, Any], groups: Based) -> ResumedSchedule:
    """Apply the resume policy to a saved state.

    Args:
        own: The plan of the config.
        state: The state of a scheduler.
        groups: The groups of the optimizer.

    Raises:
        ScheduleError: The policy is `error` and something has changed; the policy is `extend` and
            the run is shorter; or the policy names a field that the schedule does not have, or that
            cannot be taken from the config.
    """
    policy, position, data = own.run.context.policy, saved_position(state), as_data(own.config)
    _check_fields(policy, own)
    # The position of a scheduler of another package is known, its config is not.
    if not is_of_driver(state):
        clause = (
            "which is the last_epoch of the state; if that counted anything but updates, call "
            "step(n) with their number"
        )
        return after_another(own, position, clause)
    # Without both configs there is nothing to compare but the names of the curves.
    if "config" not in state or data is None:
        return ResumedSchedule(own, position, saved_label=state.get("curve"))
    found, old = _changes(own, state, groups)
    resolution = resolve(
        found,
        policy,
        lambda change: _decide(change, policy, own, old),
        own=data,
        error=ScheduleError,
    )
    # Nothing has changed, or the saved schedule cannot be built and the config's is followed.
    if not found or isinstance(old, str):
        return ResumedSchedule(own, position, resolution)
    if policy.takes_schedule:
        _check_run(policy, own.run, old.run, position)
    plan = _followed(own, old, resolution, policy)
    # In a run of another time, the same moment has another position.
    now, time = position, plan.run.total_time
    if time is not None and time != old.run.total_time:
        now = int(state["elapsed"] / time * TICKS)
    return ResumedSchedule(plan, now, resolution, [*_jumps((old, position), (plan, now), groups)])


def after_another(
    own: SchedulePlan, position: int, clause: str = "since another kind cannot be kept"
) -> ResumedSchedule:
    """Return the schedule to follow for a state of another kind of scheduler.

    Args:
        own: The plan of the config.
        position: The step at which the config's schedule begins.
        clause: The reason.
    """
    change = Change((SCHEDULE,), "another scheduler", as_data(own.config) or own.label)
    resolution = resolve(
        [change],
        own.run.context.policy,
        lambda change: from_step(change, position, clause),
        error=ScheduleError,
    )
    return ResumedSchedule(own, position, resolution, is_of_another=True)


def from_step(change: Change, position: int, clause: str) -> Change:
    """Follow the config's schedule from a step on."""
    return change.follow(f"taken from the config, from step {position} on, {clause}")


# -- changes ---------------------------------------------------------------------------------------


def _changes(
    own: SchedulePlan, state: Mapping[str, Any], groups: Based
) -> tuple[list[Change], SchedulePlan | str]:
    """Return the changes, and the saved plan or the reason why there is none."""
    saved, data = state.get("config"), as_data(own.config)
    if saved is None or data is None:
        return [], own
    found = [
        *differing(saved, data, (SCHEDULE,)),
        *_changes_of_run(state.get("run", {}), own.run.to_dict()),
    ]
    if not found:
        return [], own
    old = _plan_of(own, saved, state.get("run", {}))
    if not _is_curve(own) or isinstance(old, str) or old.run.total_time != own.run.total_time:
        return found, old
    # Configs may differ where their curves do not: a longer run changes no decay in steps.
    tracks = ((old.tracks(group, base), own.tracks(group, base)) for group, base in groups)
    return ([], own) if all(list(was) == list(now) for was, now in tracks) else (found, old)


def _changes_of_run(saved: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the lengths that both runs know, and that differ."""
    was, now = _length(saved), _length(own)
    if was and now and was != now:
        yield Change(("run",), was[0] if was[1] == now[1] else " ".join(was), " ".join(now))
    for name in ("steps_per_epoch", "samples_per_step", "tokens_per_step"):
        if name in saved and name in own and saved[name] != own[name]:
            yield Change((name,), saved[name], own[name])


def _length(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the length of a run, and the unit."""
    if "total_time" in run:
        return f"{run['total_time']:g}", "seconds"
    return (str(run["total_steps"]), "steps") if "total_steps" in run else None


def _plan_of(
    own: SchedulePlan, config: Mapping[str, Any], run: Mapping[str, Any]
) -> SchedulePlan | str:
    """Return the plan of a saved schedule, or the reason why it cannot be built."""
    name = config.get("name", "")
    try:
        cls: Any = lr_scheduler_registry.find(name)
        if getattr(own.config, "name", None) == name:
            cls = type(own.config)  # a class from Python need not be registered
        if cls is None:
            return f"{name!r} is not registered here; import the module that registers it"
        if cls.is_curve != _is_curve(own):
            return f"a {name} is another kind of scheduler"
        return SchedulePlan(_lengths(own.run, run), cls.from_mapping(config))
    except (ConfigError, RegistryError) as error:
        return f"that of the checkpoint cannot be built: {error}"


def _lengths(own: RunLength, saved: Mapping[str, Any]) -> RunLength:
    """Return the saved lengths, and the current ones where none were saved."""
    ours = own.to_dict()
    # The saved schedule counted steps, so a time limit of this run must not make it a clock.
    if "total_steps" in saved:
        ours.pop("total_time", None)
    lengths = RunLength.from_dict({**ours, **saved})
    return lengths.replace(context=own.context, shortened=lengths.shortened)


def _is_curve(plan: SchedulePlan) -> bool:
    return plan.config is not None and plan.config.is_curve


# -- decisions -------------------------------------------------------------------------------------


def _decide(
    change: Change, policy: ResumeConfig, own: SchedulePlan, old: SchedulePlan | str
) -> Change:
    """Decide one change of a schedule, or of the length of its run."""
    if isinstance(old, str):
        return change.follow(f"taken from the config, since {old}")
    if change.is_of_run and policy.policy == "extend":
        return change.follow("the schedule is stretched")
    if change.is_of_run and policy.takes_schedule:
        return change.follow("the schedule is resolved again")
    if change.is_of_run:
        return change.keep(f"the schedule continues unchanged, for {change.saved}", SCHEDULE)
    if not _is_curve(own) and change.path[1] not in _CURVE_FIELDS:
        field = "" if policy.takes_schedule else SCHEDULE
        return change.keep("kept by the state of the metric's scheduler", field)
    where = f"{dotted(change.path)}."
    is_named = any(where.startswith(f"{name}.") for name in policy.schedule_fields())
    return change.follow() if policy.takes_schedule or is_named else change.keep(field=SCHEDULE)


def _followed(
    own: SchedulePlan, old: SchedulePlan, resolution: Resolution, policy: ResumeConfig
) -> SchedulePlan:
    """Return the plan for the decided changes."""
    followed = [change.is_followed for change in resolution.changes]
    if all(followed) or not any(followed):
        return own if all(followed) else old
    # Some fields from each: build a third config, in the run of the policy.
    lengths = own.run if policy.takes_schedule else old.run
    made = _plan_of(own, resolution.config or {}, lengths.to_dict())
    if isinstance(made, str):
        raise ScheduleError(f"resume: fields {', '.join(policy.schedule_fields())}: {made}")
    return made


def _jumps(
    old: tuple[SchedulePlan, int], new: tuple[SchedulePlan, int], groups: Based
) -> Iterator[str]:
    """Describe the first jump of the rate under the new plan, if there is one."""
    for group, base in groups:
        was, now = (_rate(plan, group, base, position) for plan, position in (old, new))
        if was != now:
            yield f"lr at step {old[1]}: {now:g} instead of {was:g}"
            return


def _rate(plan: SchedulePlan, group: Group, base: float, position: int) -> float:
    rates = (track for track in plan.tracks(group, base) if track.hyperparameter == "lr")
    track = next(rates, None)
    if track is None:
        return base
    return track.curve(position) * (base if track.kind == "factor" else 1.0)


# -- checks ----------------------------------------------------------------------------------------


def _check_fields(policy: ResumeConfig, own: SchedulePlan) -> None:
    data = as_data(own.config) or {}
    for name in policy.schedule_fields():
        _, *path = name.split(".")
        check_field(path, data, "field of the schedule", ScheduleError, f"{name}: ")
        if path and not _is_curve(own) and path[0] not in _CURVE_FIELDS:
            raise ScheduleError(
                f"resume: fields: {name} is kept by the state of the metric's scheduler; to "
                "change it, start a new schedule"
            )


def _check_run(policy: ResumeConfig, own: RunLength, old: RunLength, position: int) -> None:
    """Check that the positions of both runs are comparable, and that `extend` makes it longer."""
    if (own.total_time is None) != (old.total_time is None):
        raise ScheduleError(
            "resume: the schedule of the checkpoint and that of this run do not both count steps, "
            "or both a time; resume with the policy keep"
        )
    was, now = ((run.total_time or run.total_steps or 0) for run in (old, own))
    if policy.policy == "extend" and 0 < now < was:
        unit = "steps" if own.total_time is None else "seconds"
        raise ScheduleError(
            f"resume: extend is for a longer run, and this one has {now:g} {unit}, where that of "
            f"the checkpoint had {was:g} (it is at step {position}); keep continues the schedule "
            "as it was, and override with fields: [lr_scheduler] takes the shorter one"
        )
