"""What is read from the state of a scheduler, ours or one of torch's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nshtrainer.exceptions import ScheduleError

__all__ = ["is_of_driver", "saved_bases", "saved_position"]


_OF_TORCH = frozenset({"_last_lr", "_schedulers", "_step_count", "num_bad_epochs"})
"""Keys in the states of PyTorch's schedulers."""


def is_of_driver(state: Any) -> bool:
    """Return True for a state that a scheduler of this package saved."""
    return isinstance(state, Mapping) and "last_epoch" in state and not _OF_TORCH & state.keys()


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
    """The base values in a state: ours, or the rates in that of a scheduler of torch's."""
    if "base_values" in state:
        return state["base_values"]
    return {"lr": [float(rate) for rate in state.get("base_lrs", ())]}
