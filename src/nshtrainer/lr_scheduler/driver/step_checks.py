"""Checks that a schedule moves once with each update: first steps, later ones, Accelerate."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from nshtrainer.exceptions import NshtrainerWarning, ScheduleError
from nshtrainer.lr_scheduler.driver.hyperparameters import Key

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan

__all__ = ["FirstSteps", "MovesOnceAnUpdate", "Rhythm"]

_UPDATES_WITHOUT_A_STEP = 5
"""More than warm-up iterations before the capture of a CUDA graph, which are 3."""

_UPDATES_FOR_TWO_STEPS = 4

_STEPS_OF_RHYTHM = 2


@dataclass(eq=False)
class FirstSteps:
    """Checks of the first two steps of a schedule, and of the optimizer updates before them.

    A learning-rate finder writes its value once, before the first scheduler step. Code that writes
    again is another schedule, and its first value was no base value. Such code may omit a step, so
    the third step is checked as well where a base value was replaced.

    Args:
        takes_values: Values that others write before the first step become base values.
        checks_rhythm: Warn where `step` is not called once for each optimizer update.
    """

    takes_values: bool
    checks_rhythm: bool
    steps: int = 0
    tried: dict[Key, tuple[float, float]] = field(default_factory=dict[Key, tuple[float, float]])
    """Values of other code and their scaled replacements before the first step."""
    rewritten: set[Key] = field(default_factory=set[Key])
    """Keys that other code wrote repeatedly before the first step, as a manual warm-up does."""
    left: set[Key] = field(default_factory=set[Key])
    """Keys that a PyTorch scheduler writes until the first step."""
    _checks_order: bool = True
    _updates: int = 0
    _all_updates: int = 0
    _is_early: bool = False

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
        grads = (p.grad for group in optimizer.param_groups for p in group["params"])
        # A `GradScaler` skips an update whose gradients are not finite.
        self._is_early = (is_moved and self._updates == self.steps == 0) and not any(
            grad is not None and not bool(grad.sum().isfinite()) for grad in grads
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


_WITHOUT_A_STEP = 5

_TOO_FAST = 10
"""More updates than the interval at which a `GradScaler` may skip one each time."""


class Rhythm:
    """A counter of consecutive updates at which a schedule had moved by none or by several."""

    def __init__(self) -> None:
        self._moves: list[int] = []
        self._position = -1

    def count(self, position: int, moved: int) -> str | None:
        """Count an update at which a schedule had not moved by one since the last update.

        Args:
            position: The position of the schedule.
            moved: The steps since the last update.

        Returns:
            A main clause that names the problem, after enough such updates.
        """
        moves = self._moves
        is_next = position - moved == self._position
        # A regular update in between, or the opposite fault, ends the series.
        if not is_next or (moves and (moves[-1] > 0) != (moved > 0)):
            moves.clear()
        moves.append(moved)
        self._position = position
        if moved == 0 and len(moves) + 1 == _WITHOUT_A_STEP:
            return f"the optimizer made {_WITHOUT_A_STEP} updates without one"
        if moved > 0 and len(moves) == _TOO_FAST:
            return f"the schedule made {sum(moves)} steps with the last {_TOO_FAST} updates"
        return None


class MovesOnceAnUpdate:
    """An attribute that raises when Accelerate asks whether a scheduler was prepared before.

    `Accelerator.prepare` wraps a scheduler so that each update moves it once for each process: two
    processes would reach the end of a schedule in half of the run. Accelerate reads the attribute
    first; reading it is an error with the remedy.
    """

    def __get__(self, scheduler: object, owner: type | None = None) -> NoReturn:
        raise ScheduleError(
            "Accelerator.prepare would move this scheduler once for each process at each update; "
            "write nshtrainer.integrations.accelerate.prepare(accelerator, ...) in the place of "
            "accelerator.prepare(...)"
        )
