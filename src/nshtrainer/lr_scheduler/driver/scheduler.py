"""`CurveScheduler`: the torch scheduler that applies any curve to any hyperparameter.

Its state is the position, the base values of each group, and the data from which the curves are
resolved. A value is always `base * curve(position)`; it is never computed from the current value.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from nshtrainer.lr_scheduler.driver.clock import Clock, SuccessfulStepCounter
from nshtrainer.lr_scheduler.driver.foreign_values import ForeignValues
from nshtrainer.lr_scheduler.driver.hyperparameters import BaseValues
from nshtrainer.lr_scheduler.driver.optimizer_hooks import (
    has_moving_rival,
    is_held_by_torch,
    listen,
    rates_of_torch,
)
from nshtrainer.lr_scheduler.driver.plan import SchedulePlan
from nshtrainer.lr_scheduler.driver.resume import (
    ResumedSchedule,
    after_another,
    changes_of,
    plan_data,
    resolve_resume,
)
from nshtrainer.lr_scheduler.driver.saved_state import check_state, has_own_rates, saved_bases
from nshtrainer.lr_scheduler.driver.scheduled_groups import Group, refuse
from nshtrainer.lr_scheduler.driver.step_checks import FirstSteps, MovesOnceAnUpdate, Rhythm
from nshtrainer.optimizer_record import record_of
from nshtrainer.resume import Change, drops_warnings
from nshtrainer.run_length import RunLength

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.track import Curve

__all__ = ["CurveScheduler"]


class CurveScheduler(ForeignValues, LRScheduler):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A torch scheduler that writes `base * curve(position)` into every parameter group.

    The base of a rate is its `initial_lr` if another scheduler has noted one, else its `lr`; other
    hyperparameters likewise. A value that other code writes before the first update (a finder, a
    tuner) becomes the base; a later one is overwritten, with a warning (of more than 4 groups with
    the same base, the first 4 are checked). Groups that are added during the run are scheduled as
    well. A tensor-valued rate is filled in place. A schedule that does not move once with each
    update of the optimizer causes one warning.

    After an update that a skipping wrapper left out, the next `step` does not count. After one that
    a `GradScaler` left out, the run's `schedule_clock` decides.

    Args:
        optimizer: The optimizer to drive.
        plan: The plan of each group; or one curve for the rates of all groups.
        label: The name of that curve in checkpoints; resuming under another name causes a warning.

    Raises:
        ScheduleError: The plan names a group or a hyperparameter that the optimizer does not have.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    >>> scheduler = CurveScheduler(optimizer, lambda step: 1 / (1 + step), label="hyperbola")
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    _is_accelerate_prepared = MovesOnceAnUpdate()

    @override
    def __init__(
        self, optimizer: Optimizer, plan: SchedulePlan | Curve, *, label: str | None = None
    ) -> None:
        # Not the base's `__init__`: it wraps `optimizer.step`, which breaks a compiled step, and
        # scales the current value of the group.
        self.optimizer = optimizer
        self.last_epoch = 0
        self._plan = (
            plan
            if isinstance(plan, SchedulePlan)
            else SchedulePlan(RunLength(), curve=plan, label=label)
        )
        self._bases = BaseValues()
        self._scheduled = []
        self._groups = []
        self._planned: list[Group] | None = None
        self._first: FirstSteps | None = None
        self._rhythm: Rhythm | None = None
        self._replaced = {}
        self._updated_at = -1
        self._is_nested = False
        self._is_noted = False
        self._skips_next = False
        self._loaded: ResumedSchedule | None = None
        by_successes = self._plan.run.context.schedule_clock == "successful_steps"
        self._successes = SuccessfulStepCounter() if by_successes else None
        # Read before `_write` replaces them.
        others = rates_of_torch(optimizer)
        self._write()
        self._plan.check_names(optimizer.param_groups)
        self._clock = self._clock_of(self._plan)
        self._begin()
        if others:
            self._keep_rates(others)
        listen(self, after_updates=self._successes is not None)

    # -- moving --------------------------------------------------------------------------------

    @override
    def step(self, epoch: int | None = None) -> None:  # noqa: C901, PLR0912 - see below
        """Move to the next position, or to `epoch`, and write its values."""
        # Called with every update, so written inline: a function call costs as much as a group.
        groups = self.optimizer.param_groups
        try:  # as in `_is_planned`
            is_planned = groups == self._planned
        except Exception:  # noqa: BLE001
            is_planned = False
        if not is_planned and not self._prepare(epoch):
            return
        # An explicit position overrides the clock.
        if self._clock is not None and epoch is None:
            epoch = self._clock.position(groups, self.last_epoch)
        self.last_epoch = position = self.last_epoch + 1 if epoch is None else epoch
        for key, call, batches, place in self._scheduled:
            factor = call(position)
            if not 0.0 <= factor < inf:
                refuse(factor, position, place)
            for batch in batches:
                written = batch.written
                batch.written = value = batch.base * factor
                for group in batch.watched:
                    # The object written last is still there: no one else has written.
                    if group[key] is written:
                        group[key] = value
                    else:
                        self._set(place, group, value, written)
                if batch.has_more:
                    for group in batch.others:
                        group[key] = value
                    for group, tensor in batch.filled:
                        if group[key] is tensor:
                            tensor.fill_(value)
                        else:
                            self._set(place, group, value, written)

    def _prepare(self, epoch: int | None) -> bool:
        """Update the plan for the current groups; return False if this step does not count."""
        if self._consume_skip() and epoch is None:
            if self._first is not None:
                self._first.forget_updates()
            self._note_planned()
            return False
        self.catch_up()
        first = self._first
        if first is not None:
            if epoch is not None:
                # Code that sets positions itself has a rhythm of its own.
                first.stop_checks()
            first.count_step(self._plan, self.optimizer, is_moved=self._clock is None)
            # A rate finder's scheduler writes at each update: its values are no bases.
            if first.takes_values and not self._is_driven_by_another():
                self._take_values(first)
            if first.steps > (2 if self._replaced else 1):
                # Later steps are compared with the updates one by one.
                checks = first.checks_rhythm and self._clock is None
                self._first, self._rhythm = None, Rhythm() if checks else None
        self._note_planned()
        return True

    def _is_planned(self) -> bool:
        """Return True if the groups are the planned ones, and the first steps are over.

        A list compares identical dicts without looking into them. Where one was exchanged, its
        tensors may have no truth value.
        """
        try:
            return self.optimizer.param_groups == self._planned
        except Exception:  # noqa: BLE001
            return False

    def _note_planned(self) -> None:
        """Record the groups for which the next step needs no preparation."""
        self._planned = None if self._first is not None else self._groups

    @override
    def skip_next_step(self) -> None:
        """Skip the next step: the update in progress changes nothing."""
        # No plan, so that the next step takes the slow path, which sees the flag.
        self._skips_next, self._planned = True, None
        self._updated_at = self.last_epoch - 1  # as if it had moved, at the next update
        if self._first is not None:
            self._first.forget_updates()

    def _consume_skip(self) -> bool:
        """Return True if the next step is to be skipped, and clear the flag."""
        skips, self._skips_next = self._skips_next, False
        # The clock has seen the update as well, and would count it with the next one.
        if skips and self._clock is not None:
            self._clock.position(self.optimizer.param_groups, 0)
        return skips

    # -- optimizer updates, and loading ----------------------------------------------------------

    def _clock_of(self, plan: SchedulePlan) -> Clock | SuccessfulStepCounter | None:
        time = plan.run.total_time
        return self._successes if time is None else Clock(time)

    def _begin(self) -> None:
        """Check the first steps, unless another scheduler decides when this one moves."""
        checks, takes = not isinstance(self._clock, Clock), self.last_epoch == 0
        # A clock's position follows the time, so missing steps do no harm.
        first = FirstSteps(takes_values=takes, checks_rhythm=checks)
        self._first, self._rhythm = None if self._is_idle() else first, None
        self._note_planned()

    @override
    def before_update(self) -> None:
        """Prepare an update: write the values of groups that joined, and scale a found rate."""
        # The usual update ends here.
        moved, self._updated_at = self.last_epoch - self._updated_at, self.last_epoch
        if moved == 1 and self._is_planned():
            return
        if not self._is_idle():
            self._prepare_update(moved)

    def _prepare_update(self, moved: int) -> None:
        """Prepare an update that differs from the one before."""
        self.begin_loaded()
        # `found_inf` is of the update in progress, whose skip was reported before this hook.
        if self._skips_next and not getattr(self.optimizer, "found_inf", False):
            self._consume_skip()  # its step was never called
        if self._is_planned():
            self._count_rhythm(moved)
            return
        if isinstance(self._clock, Clock):
            self._clock.start()
        self.catch_up()
        first = self._first
        if first is not None and not self._is_driven_by_another():
            # Another schedule of this value may be the one that the loop steps.
            if has_moving_rival(self):
                first.stop_checks()
            first.count_update(self._plan)
            # The PyTorch scheduler is gone, so no one computes from its rates any more.
            if first.left and not is_held_by_torch(self.optimizer):
                self._write()
                first.left.clear()
            if first.takes_values and first.steps == 0:
                self._try_values(first)

    def _count_rhythm(self, moved: int) -> None:
        """Warn if steps are missing or too many; once."""
        problem = self._rhythm.count(self.last_epoch, moved) if self._rhythm else None
        if problem is not None:
            self._rhythm = None
            # Missing steps matter only if they would change a value.
            if moved or self._would_move():
                self._plan.warn_rhythm(problem)

    @override
    def after_update(self) -> None:
        """Record the outcome of an update, if skipped updates do not move the schedule."""
        if self._successes is not None:
            self._successes.note(self.optimizer)

    @override
    def after_loading(self) -> None:
        """Read the base values that came with the state that an optimizer has loaded."""
        self._is_noted = True
        # Loading replaces the dicts of the groups: their identity is new, their order is not.
        self._groups = list(self.optimizer.param_groups)
        self._bases.reload(self._groups, keep=self.last_epoch > 0)
        self._write(new_only=self._is_idle())
        if self._first is not None:
            self._begin()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # A copy registers with its own optimizer, not with the original's.
        listen(self, after_updates=self._successes is not None)

    # -- within PyTorch's `SequentialLR` ---------------------------------------------------------

    def _is_idle(self) -> bool:
        """Return True if a `SequentialLR` decides when this schedule writes.

        PyTorch's `SequentialLR` takes 1 from the position of each of its schedulers, and starts
        them one after the other.
        """
        return self._is_nested or self.last_epoch < 0

    @override
    def _initial_step(self) -> None:
        """Start as the first of a sequence."""
        self._update_lr(0)

    @override
    def _update_lr(self, epoch: int | None = None) -> None:
        """Start at a position, whatever the current values are."""
        self._is_nested, self._first, self._rhythm = True, None, None
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write()

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the position, the base of each group and the plan, as plain data."""
        state: dict[str, Any] = {
            "last_epoch": self.last_epoch,
            "base_values": self._bases.to_dict(),
            "curve": self._plan.label,
            **plan_data(self._plan),
        }
        if isinstance(self._clock, Clock):
            state["elapsed"] = self._clock.elapsed
        return state

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Move to a saved position, and write its values at once.

        The base values are the saved ones, unless the optimizer has loaded its own state: its
        groups have their base values then, and may take them from the config. From a state of a
        PyTorch scheduler the position is taken, and the optimizer's base rates; a state without
        these keeps the rates of the config. Where the schedule has changed since, the run's
        `resume` decides which one is followed, and a warning lists the changes.

        Raises:
            ScheduleError: The state has no position, an entry has a wrong form or is out of range,
                or the state does not fit the policy; then nothing is loaded.
        """
        self._check(state_dict)
        self._is_nested = self._is_idle()
        found = resolve_resume(self._plan, state_dict, self._based())
        # A warning that was given under the old plan is not repeated under the new one.
        found.plan.is_warned |= self._plan.is_warned
        self._plan, self.last_epoch = found.plan, found.position
        self._clock = self._clock_of(found.plan)
        count = len(self.optimizer.param_groups)
        self._bases.load(saved_bases(state_dict), count, keep=self._is_noted)
        hooks = record_of(self.optimizer).state_hooks
        # The loaded groups have the other scheduler's rates: go back to the rates before, unless
        # the optimizer's own resume policy has decided about them.
        if found.is_of_another and not (hooks is not None and hooks.keeps_rates):
            self._bases.restore(noted=has_own_rates(state_dict))
        if isinstance(self._clock, Clock):
            self._clock.elapsed = float(state_dict.get("elapsed", 0.0))
        self._write(new_only=self._is_nested)
        self._begin()
        self._loaded = found
        # The Trainer of transformers drops warnings while it loads: the next update warns.
        if not drops_warnings():
            self.begin_loaded()

    def begin_loaded(self, position: int | None = None) -> None:
        """Warn once of the changes since the last loaded state.

        Args:
            position: The step of the trainer, from which a state of another scheduler is continued.
        """
        found, self._loaded = self._loaded, None
        if found is None:
            return
        if found.is_of_another and position is not None:
            # The other scheduler may have counted epochs; the trainer knows the step.
            found, self.last_epoch = after_another(self._plan, position), position
            self._write()
            self._begin()
        found.warn()

    def changes(self, state_dict: dict[str, Any]) -> list[Change]:
        """Return the changes since a state was saved, as far as the state has them."""
        self._check(state_dict)
        return changes_of(self._plan, state_dict, self._based())

    def _check(self, state_dict: Any) -> None:
        check_state(state_dict)

    # -- looking -------------------------------------------------------------------------------

    @override
    def get_lr(self) -> list[float | Tensor]:
        """Return base times curve of this position for each group, whatever its current rate."""
        return [*self.rates_at(max(self.last_epoch, 0))]

    def __repr__(self) -> str:
        return f"CurveScheduler({self._plan.label}, position={self.last_epoch})"
