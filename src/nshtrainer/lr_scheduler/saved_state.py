"""What is read from the state of a scheduler, ours or one of torch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nshtrainer.exceptions import ScheduleError
from nshtrainer.forms import find_misfits, find_odd_values
from nshtrainer.run_length import RunLength

__all__ = ["find_faults", "has_own_rates", "is_of_driver", "saved_bases", "saved_position"]

_PLAN: dict[str, dict[str, Any]] = {
    "config": {"name": ""},
    "run": dict.fromkeys(("total_steps", "total_time", "samples_per_step", "tokens_per_step"), 0),
}
"""The form of what a state holds of a schedule and of its run."""

_OF_TORCH = frozenset({"_last_lr", "_schedulers", "_step_count", "num_bad_epochs"})
"""Keys in the states of PyTorch's schedulers."""


def is_of_driver(state: Any) -> bool:
    """Return True for a state that a scheduler of this package saved."""
    return isinstance(state, Mapping) and "last_epoch" in state and not _OF_TORCH & state.keys()


def find_faults(state: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield where the config, the run and the base values in a state are none, and why."""
    bases: Mapping[str, Any] = state.get("base_values") or {}
    wanted = {name: [0.0] for name in bases}
    found = find_misfits(bases, wanted, ("base_values",))
    yield from (each for each in found if not each[1].startswith("is none"))
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
    """The position.

    Raises:
        ScheduleError: There is none.
    """
    for part in (state, *state.get("_schedulers", ())):
        if "last_epoch" in part:
            return int(part["last_epoch"])
    raise ScheduleError(
        f"this state of a scheduler has no position (last_epoch): its keys are {sorted(state)}"
    )


def saved_bases(state: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """The base values in a state: ours, or the optimizer's rates in that of PyTorch's."""
    if "base_values" in state:
        return state["base_values"]
    rates = () if has_own_rates(state) else state.get("base_lrs", ())
    return {"lr": [float(rate) for rate in rates]}


def has_own_rates(state: Mapping[str, Any]) -> bool:
    """Return True for PyTorch's `OneCycleLR` and `CyclicLR`, which begin at rates of their own."""
    return "_schedule_phases" in state or "max_lrs" in state
