"""What a scheduler that loads a state goes on under: the schedule of the state, or its own.

A state holds the config of its schedule and the length of the run for which that was resolved, as
plain data. The schedule is built again from both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from nshtrainer.changes import (
    Change,
    all_of,
    as_data,
    differing,
    tell,
    tell_of,
    with_values,
)
from nshtrainer.exceptions import ConfigError, RegistryError, ScheduleError
from nshtrainer.lr_scheduler.base import TrackScheduleConfigBase, lr_scheduler_registry
from nshtrainer.lr_scheduler.plan import Plan
from nshtrainer.lr_scheduler.saved_state import saved_position
from nshtrainer.resume import SCHEDULE, ResumeConfig
from nshtrainer.run_length import TICKS, RunLength
from nshtrainer.text.problems import dotted, unknown

__all__ = ["Succession", "changes_of", "plan_data", "succession"]

Group: TypeAlias = Mapping[str, Any]
Based: TypeAlias = Sequence[tuple[Group, float]]
"""Parameter groups, each with its base rate."""

_CURVE_FIELDS = frozenset({"schedule", "warmup_duration"})
"""What of a schedule that looks at a metric is a curve; the rest is in its own state."""


class Succession(NamedTuple):
    """What a run goes on under.

    Args:
        plan: The plan to follow.
        position: Where the run stands in it.
        changes: What has changed, and what becomes of it.
        more: What else there is to say.
        is_known: Whether both configs are known, so that they could be compared.
    """

    plan: Plan
    position: int
    changes: Sequence[Change] = ()
    more: Sequence[str] = ()
    is_known: bool = True

    def tell(self, state: Mapping[str, Any]) -> None:
        """Say what has changed; of a state without its config only that its curve is another."""
        tell(self.changes, *self.more)
        saved, label, config = state.get("curve"), self.plan.label, self.plan.config
        if not self.is_known and saved not in (None, label):
            was = f"it was written under {saved}" if config is None else "it does not say how"
            own = label if config is None else f"the {config.name} schedule of the config"
            tell_of(
                f"the schedule has changed since the checkpoint: {was}, and the run goes on at "
                f"step {self.position} under {own}"
            )


def plan_data(plan: Plan) -> dict[str, Any]:
    """What a state holds of a plan, if its schedule has a config of plain values."""
    data = as_data(plan.config)
    return {} if data is None else {"config": data, "run": plan.run.to_dict()}


def changes_of(own: Plan, state: Mapping[str, Any], groups: Based) -> list[Change]:
    """What has changed since a state was saved; nothing where the curves are the same.

    Args:
        own: The plan of the config.
        state: The state of a scheduler.
        groups: The groups, for which the curves are compared.
    """
    return _changes(own, state, groups)[0]


def succession(own: Plan, state: Mapping[str, Any], groups: Based) -> Succession:
    """What the policy makes of a state.

    Args:
        own: The plan of the config.
        state: The state of a scheduler.
        groups: The groups that it drives.

    Raises:
        ScheduleError: The policy is `error` and something has changed; it is `extend` and the run
            is shorter than it was; it names a field that the schedule does not have, or that
            cannot be taken from the config.
    """
    policy, position = own.policy, saved_position(state)
    _check_fields(policy, own)
    if "config" not in state or as_data(own.config) is None:
        return Succession(own, position, is_known=False)
    found, old = _changes(own, state, groups)
    if found and policy.policy == "error":
        raise ScheduleError(all_of(found))
    if not found:
        return Succession(own, position)
    if isinstance(old, str):
        why = f"taken from the config, since {old}"
        return Succession(own, position, [each._replace(outcome=why) for each in found])
    if _takes_all(policy):
        _check_run(policy, own.run, old.run, position)
    decided = [_decided(each, policy, own) for each in found]
    plan = _followed(own, old, decided, policy)
    now = _position_in(plan.run, old.run, state)
    more = [*_jumps((old, position), (plan, now), groups), *_advice(decided, policy)]
    return Succession(plan, now, decided, more)


def _position_in(run: RunLength, old: RunLength, state: Mapping[str, Any]) -> int:
    """The position of a state; the same moment is another one in a run that takes another time."""
    if run.total_time == old.total_time or run.total_time is None:
        return saved_position(state)
    return int(state["elapsed"] / run.total_time * TICKS)


# -- what has changed ------------------------------------------------------------------------------


def _changes(own: Plan, state: Mapping[str, Any], groups: Based) -> tuple[list[Change], Plan | str]:
    """The changes, and the plan of the state or why there is none."""
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
    if _is_curve(own) and isinstance(old, Plan) and _agree(old, own, groups):
        return [], own
    return found, old


def _changes_of_run(saved: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Change]:
    """The lengths that both know, and that differ."""
    was, now = _length(saved), _length(own)
    if was and now and was != now:
        yield Change(("run",), was[0] if was[1] == now[1] else " ".join(was), " ".join(now))
    for name in ("steps_per_epoch", "samples_per_step", "tokens_per_step"):
        if name in saved and name in own and saved[name] != own[name]:
            yield Change((name,), saved[name], own[name])


def _length(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """How long a run is, and the unit."""
    if "total_time" in run:
        return f"{run['total_time']:g}", "seconds"
    return (str(run["total_steps"]), "steps") if "total_steps" in run else None


def _plan_of(own: Plan, config: Mapping[str, Any], run: Mapping[str, Any]) -> Plan | str:
    """The plan of a saved schedule, or why it cannot be built."""
    name = config.get("name", "")
    try:
        cls: Any = lr_scheduler_registry.find(name)
        if getattr(own.config, "name", None) == name:
            cls = type(own.config)  # it need not be registered
        if cls is None:
            return f"{name!r} is not registered here; import the module that registers it"
        if issubclass(cls, TrackScheduleConfigBase) != _is_curve(own):
            return f"a {name} is another kind of scheduler"
        return Plan.of_config(cls.from_mapping(config), _lengths(own.run, run))
    except (ConfigError, RegistryError) as error:
        return f"that of the checkpoint cannot be built: {error}"


def _lengths(own: RunLength, saved: Mapping[str, Any]) -> RunLength:
    """The saved lengths, and ours where there are none: the saved schedule asked for no more."""
    ours = own.to_dict()
    if "total_steps" in saved:
        ours.pop("total_time", None)
    return RunLength.from_dict({**ours, **saved}).but(resume=own.resume)


def _is_curve(plan: Plan) -> bool:
    return isinstance(plan.config, TrackScheduleConfigBase)


def _agree(old: Plan, own: Plan, groups: Based) -> bool:
    """Whether two plans have the same curves for each group, by the same clock."""
    return old.run.total_time == own.run.total_time and all(
        list(old.tracks(group, base)) == list(own.tracks(group, base)) for group, base in groups
    )


# -- what becomes of it ----------------------------------------------------------------------------


def _takes_all(policy: ResumeConfig) -> bool:
    return policy.policy == "extend" or SCHEDULE in policy.fields


def _decided(change: Change, policy: ResumeConfig, own: Plan) -> Change:
    """A change with what the policy makes of it."""
    if change.path[0] != SCHEDULE:
        outcome = _outcome_of_run(change, policy)
        return change._replace(outcome=outcome, is_followed=_takes_all(policy))
    if not _is_curve(own) and change.path[1] not in _CURVE_FIELDS:
        return change._replace(outcome="kept by the state of what looks at the metric")
    where = f"{dotted(change.path)}."
    named = any(where.startswith(f"{name}.") for name in policy.schedule_fields())
    if _takes_all(policy) or named:
        return change._replace(outcome="taken from the config", is_followed=True)
    return change


def _outcome_of_run(change: Change, policy: ResumeConfig) -> str:
    if policy.policy == "extend":
        return "the schedule is stretched"
    if _takes_all(policy):
        return "the schedule is resolved anew"
    return f"the schedule goes on as it was, for {change.saved}"


def _followed(own: Plan, old: Plan, changes: Sequence[Change], policy: ResumeConfig) -> Plan:
    """The plan of what was decided."""
    followed = [change for change in changes if change.is_followed]
    if len(followed) in {0, len(changes)}:
        return own if followed else old
    values = [(each.path[1:], each.own) for each in followed if each.path[0] == SCHEDULE]
    lengths = own.run if _takes_all(policy) else old.run
    made = _plan_of(own, with_values(as_data(old.config) or {}, values), lengths.to_dict())
    if isinstance(made, str):
        raise ScheduleError(f"resume: fields {', '.join(policy.schedule_fields())}: {made}")
    return made


def _advice(changes: Sequence[Change], policy: ResumeConfig) -> Iterator[str]:
    """How to follow the config, where it is not."""
    if not _takes_all(policy) and not all(change.is_followed for change in changes):
        fields = ", ".join([*policy.option_fields(), SCHEDULE])
        yield (
            "to follow the config: resume: {policy: extend} for a longer run, else "
            f"resume: {{policy: override, fields: [{fields}]}}"
        )


def _jumps(old: tuple[Plan, int], new: tuple[Plan, int], groups: Based) -> Iterator[str]:
    """What the new plan makes of the rate at once, where it is another one."""
    for group, base in groups:
        was, now = (_rate(plan, group, base, position) for plan, position in (old, new))
        if was != now:
            yield f"lr at step {old[1]}: {now:g} instead of {was:g}"
            return


def _rate(plan: Plan, group: Group, base: float, position: int) -> float:
    rates = (track for track in plan.tracks(group, base) if track.hyperparameter == "lr")
    track = next(rates, None)
    if track is None:
        return base
    return track.curve(position) * (base if track.kind == "factor" else 1.0)


# -- what is wrong ---------------------------------------------------------------------------------


def _check_fields(policy: ResumeConfig, own: Plan) -> None:
    data = as_data(own.config) or {}
    for name in policy.schedule_fields():
        _, *path = name.split(".")
        _check_field(name, path, data)
        if path and not _is_curve(own) and path[0] not in _CURVE_FIELDS:
            raise ScheduleError(
                f"resume: fields: {name} is kept by the state of what looks at the metric; to "
                "change it, start the schedule anew"
            )


def _check_field(name: str, path: Sequence[str], data: Any) -> None:
    for key in path:
        known = _parts(data)
        if key not in known or key == "name":
            text = unknown("field of the schedule", key, [k for k in known if k != "name"])
            raise ScheduleError(f"resume: fields: {name}: {text}")
        data = known[key]


def _parts(data: Any) -> dict[str, Any]:
    """What is within a value of a config, by what a field calls it."""
    if isinstance(data, Mapping):
        return dict(cast("Mapping[str, Any]", data))
    items = cast("list[Any]", data) if isinstance(data, list) else []
    return {str(place): item for place, item in enumerate(items)}


def _check_run(policy: ResumeConfig, own: RunLength, old: RunLength, position: int) -> None:
    """Positions of one run must mean the same in the other, which `extend` makes longer."""
    if (own.total_time is None) != (old.total_time is None):
        raise ScheduleError(
            "resume: the schedule of the checkpoint and that of this run do not both count steps, "
            "or both a time; go on with the policy keep"
        )
    was, now = ((run.total_time or run.total_steps or 0) for run in (old, own))
    if policy.policy == "extend" and 0 < now < was:
        unit = "steps" if own.total_time is None else "seconds"
        raise ScheduleError(
            f"resume: extend is for a longer run, and this one has {now:g} {unit}, where that of "
            f"the checkpoint had {was:g} (it stands at step {position}); keep goes on under the "
            "schedule as it was, and override with fields: [lr_scheduler] takes the shorter one"
        )
