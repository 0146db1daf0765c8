"""First steps of a schedule: how the training loop calls it, and values that others write."""

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
    """Watches the first two steps of a schedule, and the optimizer updates before them.

    A learning-rate finder writes its value once, before the first scheduler step. Code that writes
    again is another schedule, and its first value was no base value; since it may leave a step out,
    the third step is watched as well where a base value was replaced.

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
        """What others wrote, and the scaled value that replaced it for the updates before the
        first step."""
        self.rewritten: set[Key] = set()
        """Where others wrote one value after another before the first step: an old warm-up."""
        self.left: set[Key] = set()
        """Where a PyTorch scheduler writes until the first step."""
        self._updates = self._all_updates = 0
        self._is_early: bool = False

    def note_tried(self, key: Key, value: float, scaled: float) -> None:
        """Note what another wrote before the first step, and what replaced it."""
        if key in self.tried and self.tried[key][0] != value:
            self.rewritten.add(key)
        self.tried[key] = value, scaled

    def base_of(self, key: Key, standing: float) -> float:
        """Return what another wrote, of which the value that stands there may be a multiple."""
        written, scaled = self.tried.get(key, (standing, standing))
        return written if standing == scaled else float(standing)

    def count_update(self, plan: SchedulePlan) -> None:
        """Count an optimizer update.

        Args:
            plan: The plan of the schedule, which takes down what was told.
        """
        self._updates += 1
        if self._is_early:
            self._warn_of_order(plan.name)
        if self._updates == _UPDATES_WITHOUT_A_STEP:
            self._warn_of_rhythm(plan)

    def forget_updates(self) -> None:
        """Count anew after an update that was skipped: its step is left out, or not called."""
        self._updates = 0

    def count_step(self, plan: SchedulePlan, optimizer: Optimizer, *, is_moved: bool) -> None:
        """Count a step of the schedule, and compare it with the updates since the last one.

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
        """Warn no more of how `step` is called."""
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
