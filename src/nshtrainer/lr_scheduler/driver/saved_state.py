"""Validation and reading of scheduler states, of this package and of PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, TypeAlias, cast

from nshtrainer.config.messages import dotted
from nshtrainer.exceptions import ScheduleError
from nshtrainer.run_length import RunLength
from nshtrainer.structure import find_misfits, find_odd_values
from nshtrainer.types import GREATEST

__all__ = [
    "check_metric_state",
    "check_state",
    "find_faults",
    "find_metric_faults",
    "has_own_rates",
    "is_of_driver",
    "saved_bases",
    "saved_position",
]

Path: TypeAlias = tuple[Any, ...]
Fault: TypeAlias = tuple[Path, str]

_PLAN: dict[str, dict[str, Any]] = {
    "config": {"name": ""},
    "run": dict.fromkeys(("total_steps", "total_time", "samples_per_step", "tokens_per_step"), 0),
}
"""The form of a plan and its run in a state."""

_READ: dict[str, Any] = {
    "last_epoch": 0,
    "base_values": {},
    "base_lrs": [0.0],
    "elapsed": 0.0,
    "_schedulers": [{}],
}
"""The form of the other entries that are read from a state."""

_METRIC: dict[str, Any] = {"groups": [""], "rates": [0.0], "scheduler": {}}
"""The form of the entries about a metric in a state."""

_CHOICES = {"mode": ("min", "max"), "threshold_mode": ("rel", "abs")}
"""Allowed words in the state of a metric's scheduler."""

_RANGES = {
    **dict.fromkeys(("best", "mode_worse", "window"), (-inf, inf)),
    "factor": (0.0, 1.0),
}
"""Ranges of numbers in that state; the ranges of all others begin at 0."""

_OF_TORCH = frozenset({"_last_lr", "_schedulers", "_step_count", "num_bad_epochs"})
"""Keys in the states of PyTorch's schedulers."""


def is_of_driver(state: Any) -> bool:
    """Return True for a state that a scheduler of this package saved."""
    return isinstance(state, Mapping) and "last_epoch" in state and not _OF_TORCH & state.keys()


def check_state(state: Any, metric_scheduler: Any = None) -> None:
    """Check the state of a scheduler, before anything is loaded from it.

    Args:
        state: The state, of a scheduler of this package or of PyTorch.
        metric_scheduler: The metric's scheduler that will load its part of the state.

    Raises:
        ScheduleError: An entry has a wrong form or is out of range; the message names it.
    """
    # The form of the whole first: the next checks look entries up by key.
    _refuse_first(find_misfits(state, {}))
    _refuse_first(find_faults(state))
    if metric_scheduler is not None and state.get("metric") is not None:
        scheduler = state["metric"]["scheduler"]
        _refuse_first(find_metric_faults(metric_scheduler, scheduler, ("metric", "scheduler")))


def check_metric_state(scheduler: Any, state: Any) -> None:
    """Check the state of a metric's scheduler.

    Raises:
        ScheduleError: An entry has a wrong form or is out of range; the message names it.
    """
    _refuse_first(find_metric_faults(scheduler, state))


def _refuse_first(faults: Iterable[Fault]) -> None:
    for path, problem in faults:
        raise ScheduleError(
            f"the saved state does not fit: {dotted(path) or 'it'} {problem}; load a state that a "
            "scheduler has saved"
        )


def find_faults(state: Mapping[str, Any], path: Path = ()) -> Iterator[Fault]:
    """Yield the path and the problem of each wrong entry of a state."""
    held = {key: state[key] for key in _READ if key in state}
    forms = [*find_misfits(held, {key: _READ[key] for key in held}, path)]
    # Values are compared only in a state of the right form.
    yield from forms or _faults_of_values(state, held, path)


def _faults_of_values(
    state: Mapping[str, Any], held: Mapping[str, Any], path: Path
) -> Iterator[Fault]:
    """Yield the values of a well-formed state that are out of range, or no plan."""
    for place, part in enumerate(held.get("_schedulers", ())):
        yield from find_faults(part, (*path, "_schedulers", place))
    if "last_epoch" in held:
        yield from _out_of_range(held["last_epoch"], (*path, "last_epoch"), -1, is_count=True)
    for key in held.keys() & {"base_lrs", "elapsed"}:
        yield from _out_of_range(held[key], (*path, key))
    yield from _faults_of_bases(held.get("base_values", {}), (*path, "base_values"))
    if state.get("metric") is not None:
        yield from _faults_of_metric(state)
    yield from _faults_of_plan(state)


def _faults_of_bases(bases: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    found = find_misfits(bases, {name: [0.0] for name in bases}, path)
    # None stands for a group without a base value of that hyperparameter.
    faults = [each for each in found if not each[1].startswith("is none, not a number")]
    yield from faults
    for name, values in () if faults else bases.items():
        yield from _out_of_range(values, (*path, name), 0.0 if name == "lr" else -GREATEST)


def _faults_of_metric(state: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults in the entries about a metric, and in the rates that it set."""
    metric: Any = state["metric"]
    found = find_misfits(metric, _METRIC, ("metric",))
    faults = [each for each in found if each[1] != "is none, not text"]  # groups without names
    yield from faults
    if not faults:
        path, count = ("metric", "rates"), len(state.get("base_values", {}).get("lr", ()))
        yield from _out_of_range(metric["rates"], path)
        if len(metric["rates"]) != count:
            yield path, f"has {len(metric['rates'])} items, and base_values.lr {count}"


def find_metric_faults(scheduler: Any, state: Any, path: Path = ()) -> Iterator[Fault]:
    """Yield the path and the problem of each wrong entry of a metric's scheduler.

    Args:
        scheduler: A `ReduceLROnPlateau`, or one derived from it.
        state: The state that it loads.
        path: The path of the state.
    """
    own = {**scheduler.state_dict(), "window": [0.0]}
    unbound = ((*path, "default_min_lr"), "is none, not a number")  # each group has a bound
    found = find_misfits(state, own, path)
    # Only GreedyLR saves a window, and releases of PyTorch save different entries.
    faults = [each for each in found if each[1] != "is missing" and each != unbound]
    yield from faults
    for key, value in () if faults else state.items():
        if key in _CHOICES and value not in _CHOICES[key]:
            yield (*path, key), f"is {value!r}, not {' or '.join(_CHOICES[key])}"
        if isinstance(own.get(key), (int, float, list)):
            least, most = _RANGES.get(key, (0.0, GREATEST))
            yield from _out_of_range(value, (*path, key), least, most)


def _out_of_range(
    value: Any,
    path: Path,
    least: float = 0.0,
    most: float = GREATEST,
    *,
    is_count: bool = False,
) -> Iterator[Fault]:
    """Yield each number that is not finite or out of range; `None` stands for no number."""
    if isinstance(value, (list, tuple)):
        for place, part in enumerate(cast("Sequence[Any]", value)):
            yield from _out_of_range(part, (*path, place), least, most, is_count=is_count)
    elif value is not None:
        number = float(value)
        if not least <= number <= most:
            yield path, f"is {number:g}, which is not from {least:g} to {most:g}"
        elif is_count and not number.is_integer():
            yield path, f"is {number:g}, which is no count"


def _faults_of_plan(state: Mapping[str, Any]) -> Iterator[Fault]:
    held = {key: state[key] for key in _PLAN if state.get(key) is not None}
    faults = [*find_odd_values(held), *find_misfits(held, {key: _PLAN[key] for key in held})]
    faults = [each for each in faults if each[1] != "is missing"]
    yield from faults
    if not faults:
        try:
            RunLength.from_dict(held.get("run", {}))
        except ScheduleError as error:
            yield ("run",), f"is that of no run ({error})"


def saved_position(state: Mapping[str, Any]) -> int:
    """Return the saved position.

    Raises:
        ScheduleError: The state has no position.
    """
    # A `ChainedScheduler` has no position of its own, but its parts have.
    for part in (state, *state.get("_schedulers", ())):
        if "last_epoch" in part:
            return int(part["last_epoch"])
    raise ScheduleError(
        f"this state of a scheduler has no position (last_epoch): its keys are {sorted(state)}"
    )


def saved_bases(state: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Return the base values in a state; from PyTorch's schedulers, the optimizer's base rates."""
    if "base_values" in state:
        return state["base_values"]
    rates = () if has_own_rates(state) else state.get("base_lrs", ())
    return {"lr": [float(rate) for rate in rates]}


def has_own_rates(state: Mapping[str, Any]) -> bool:
    """Return True for PyTorch's `OneCycleLR` and `CyclicLR`, whose base rates are their own."""
    return "_schedule_phases" in state or "max_lrs" in state
