"""First steps of a schedule: the rhythm of the training loop, and values of other code."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.lr_scheduler.driver.base_values import Key

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan

__all__ = ["FirstSteps"]

_UPDATES_WITHOUT_A_STEP = 5
"""More than warm-up iterations before the capture of a CUDA graph, which are 3."""

_UPDATES_FOR_TWO_STEPS = 4

_STEPS_OF_RHYTHM = 2


class FirstSteps:
    """Checks of the first two steps of a schedule, and of the optimizer updates before them.

    A learning-rate finder writes its value once, before the first scheduler step. Code that writes
    again is another schedule, and its first value was no base value. Such code may omit a step, so
    the third step is checked as well where a base value was replaced.

    Args:
        takes_values: Values that others write before the first step become base values.
        checks_rhythm: Warn where `step` is not called once for each optimizer update.
    """

    def __init__(self, *, takes_values: bool, checks_rhythm: bool) -> None:
        self.takes_values = takes_values
        self._checks_order = True
        self.checks_rhythm = checks_rhythm
        self.steps: int = 0
        self.tried: dict[Key, tuple[float, float]] = {}
        """Values of other code and their scaled replacements before the first step."""
        self.rewritten: set[Key] = set()
        """Keys that other code wrote repeatedly before the first step, as a manual warm-up does."""
        self.left: set[Key] = set()
        """Keys that a PyTorch scheduler writes until the first step."""
        self._updates = self._all_updates = 0
        self._is_early: bool = False

    def note_tried(self, key: Key, value: float, scaled: float) -> None:
        """Record a value of other code before the first step, and its scaled replacement."""
        # A second, different value: a hand-written schedule, not a finder.
        if key in self.tried and self.tried[key][0] != value:
            self.rewritten.add(key)
        self.tried[key] = value, scaled

    def base_of(self, key: Key, standing: float) -> float:
        """Return the value of other code that the current value is a multiple of, if any."""
        written, scaled = self.tried.get(key, (standing, standing))
        # The current value is the scaled one: the base is the value before scaling.
        return written if standing == scaled else float(standing)

    def count_update(self, plan: SchedulePlan) -> None:
        """Count an optimizer update.

        Args:
            plan: The plan of the schedule, which records warnings.
        """
        self._updates += 1
        # A step before the first update is wrong only if an update follows.
        if self._is_early:
            self._warn_of_order(plan.name)
        if self._updates == _UPDATES_WITHOUT_A_STEP:
            self._warn_of_rhythm(plan)

    def forget_updates(self) -> None:
        """Restart the count after a skipped update: its step is skipped as well, or not called."""
        self._updates = 0

    def count_step(self, plan: SchedulePlan, optimizer: Optimizer, *, is_moved: bool) -> None:
        """Count a step of the schedule, and compare it with the updates since the last step.

        Args:
            plan: The plan of the schedule.
            optimizer: The optimizer.
            is_moved: The step moves the schedule even if there was no update.
        """
        # Other code may make an update of its own, such as PyTorch's `get_optimizer_state_dict`,
        # which creates the state of the optimizer that way, and a loop may leave out a step.
        self._all_updates += self._updates
        if self.steps < _STEPS_OF_RHYTHM and self._all_updates >= _UPDATES_FOR_TWO_STEPS:
            self._warn_of_rhythm(plan)
        self._is_early = (
            is_moved and self._updates == self.steps == 0 and not _is_skipped(optimizer)
        )
        self.steps += 1
        self._updates = 0

    def stop_checks(self) -> None:
        """Disable further warnings about the calls of `step`."""
        self._checks_order = self.checks_rhythm = False

    def _warn_of_rhythm(self, plan: SchedulePlan) -> None:
        if self.checks_rhythm:
            self.stop_checks()
            plan.warn_rhythm(f"the optimizer made {self._updates} updates without one")

    def _warn_of_order(self, label: str) -> None:
        if self._checks_order:
            self.stop_checks()
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value "
                f"of the schedule is not used ({label}). Call `optimizer.step()` first.",
                NshtrainerWarning,
                stacklevel=7,
            )


def _is_skipped(optimizer: Optimizer) -> bool:
    """Return True if a gradient is not finite, for which a `GradScaler` skips the update."""
    grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
    return any(grad is not None and not bool(grad.sum().isfinite()) for grad in grads)
