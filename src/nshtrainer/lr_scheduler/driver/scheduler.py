"""The one torch scheduler: it drives any curve, of any hyperparameter.

Its state is the position, the base values of each group, and what the curves are resolved from. A
value is always `base * curve(position)`; it is never inferred from what stands in a group.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from nshtrainer.lr_scheduler.driver.accelerate_guard import MovesOnceAnUpdate
from nshtrainer.lr_scheduler.driver.base_values import BaseValues
from nshtrainer.lr_scheduler.driver.clock import Clock, SuccessfulStepCounter
from nshtrainer.lr_scheduler.driver.first_steps import FirstSteps
from nshtrainer.lr_scheduler.driver.foreign_values import ForeignValues
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
from nshtrainer.lr_scheduler.driver.rhythm import Rhythm
from nshtrainer.lr_scheduler.driver.saved_state import check_state, has_own_rates, saved_bases
from nshtrainer.lr_scheduler.driver.scheduled_values import Group, refuse
from nshtrainer.optimizer_record import on_step_skipped, record_of
from nshtrainer.resume import Change, is_unheard
from nshtrainer.run_length import RunLength

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.track import Curve

__all__ = ["CurveScheduler"]


class CurveScheduler(ForeignValues, LRScheduler):
    """Writes `base * curve(position)` into every parameter group, for each scheduled value.

    The base of a rate is its `initial_lr` where a scheduler stood before, else its `lr`; that of
    another hyperparameter likewise. A value that somebody else writes before the first update (a
    finder, a tuner) becomes the base; a later one is overwritten, with a warning (of more than 4
    groups with the same base, the first 4 are watched for it). Groups that are added during the
    run are scheduled as well. A tensor-valued rate is filled in place. Steps that do not go
    together with the updates of the optimizer are told once.

    After an update that `skipping` left out the next `step` does not count. Whether it counts after
    one that a `GradScaler` left out is what `schedule_clock` of the run says.

    Args:
        optimizer: The optimizer to drive.
        plan: What each group has before it; or one curve for the rates of all groups.
        label: The name of that curve in checkpoints; a resumed run whose name differs is told so.

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
        # Not the base's `__init__`: it wraps `optimizer.step`, which a compiled step does not
        # survive, and scales from what stands in the group.
        self.optimizer = optimizer
        self.last_epoch = 0
        self._plan = (
            plan
            if isinstance(plan, SchedulePlan)
            else SchedulePlan.of_curve(plan, RunLength(), label)
        )
        self._bases = BaseValues()
        self._movements = []
        self._groups = []
        self._planned: list[Group] | None = None
        self._first: FirstSteps | None = None
        self._rhythm: Rhythm | None = None
        self._replaced = {}
        self._updated_at = -1
        self._is_nested = False
        self._is_noted = False
        self._stands_still = False
        self._untold: ResumedSchedule | None = None
        by_successes = self._plan.run.settings.schedule_clock == "successful_steps"
        self._successes = SuccessfulStepCounter() if by_successes else None
        others = rates_of_torch(optimizer)
        self._write()
        self._plan.check_names(optimizer.param_groups)
        self._clock = self._clock_of(self._plan)
        self._begin()
        if others:
            self._leave(others)
        self._listen()

    # -- moving --------------------------------------------------------------------------------

    @override
    def step(self, epoch: int | None = None) -> None:  # noqa: C901, PLR0912 - see below
        """Move to the next position, or to `epoch`, and write the values of it."""
        # Called with every update, so written out: a call of a function costs as much as a group.
        groups = self.optimizer.param_groups
        try:  # as in `_is_planned`
            is_planned = groups == self._planned
        except Exception:  # noqa: BLE001
            is_planned = False
        if not is_planned and not self._prepare(epoch):
            return
        if self._clock is not None and epoch is None:
            epoch = self._clock.position(groups, self.last_epoch)
        self.last_epoch = position = self.last_epoch + 1 if epoch is None else epoch
        for key, call, cohorts, place in self._movements:
            factor = call(position)
            if not 0.0 <= factor < inf:
                refuse(factor, position, place)
            for cohort in cohorts:
                written = cohort.written
                cohort.written = value = cohort.base * factor
                for group in cohort.watched:
                    if group[key] is written:
                        group[key] = value
                    else:
                        self._set(place, group, value, written)
                if cohort.has_more:
                    for group in cohort.others:
                        group[key] = value
                    for group, tensor in cohort.filled:
                        if group[key] is tensor:
                            tensor.fill_(value)
                        else:
                            self._set(place, group, value, written)

    def _prepare(self, epoch: int | None) -> bool:
        """Plan for the groups that are there; return False if this step does not count."""
        if self._is_left_out() and epoch is None:
            if self._first is not None:
                self._first.forget_updates()
            self._settle()
            return False
        self.catch_up()
        first = self._first
        if first is not None:
            if epoch is not None:
                first.stop_checks()
            first.count_step(self._plan, self.optimizer, is_moved=self._clock is None)
            if first.takes_values and not self._is_driven_by_another():
                self._take_values(first)
            if first.steps > (2 if self._replaced else 1):
                # From here on only the steps since the last update are counted.
                checks = first.checks_rhythm and self._clock is None
                self._first, self._rhythm = None, Rhythm() if checks else None
        self._settle()
        return True

    def _is_planned(self) -> bool:
        """Return True if the groups are those that a plan was made for, and the first steps over.

        A list finds the same dicts equal without a look into them. Where one was exchanged, its
        tensors may have no truth value.
        """
        try:
            return self.optimizer.param_groups == self._planned
        except Exception:  # noqa: BLE001
            return False

    def _settle(self) -> None:
        """Note the groups for which the next step needs no preparation."""
        self._planned = None if self._first is not None else self._groups

    def _stand_still(self) -> None:
        """The update that is under way changes nothing, and no plan is good enough for it."""
        self._stands_still, self._planned = True, None
        self._updated_at = self.last_epoch - 1  # as if it had moved, at the next update
        if self._first is not None:
            self._first.forget_updates()

    def _is_left_out(self) -> bool:
        """Whether that was so of the update before this step, which counts for no clock either."""
        still, self._stands_still = self._stands_still, False
        if still and self._clock is not None:
            self._clock.position(self.optimizer.param_groups, 0)
        return still

    # -- optimizer updates, and loading ----------------------------------------------------------

    def _listen(self) -> None:
        """Hear of updates and of loaded states, without keeping this scheduler alive."""
        on_step_skipped(self.optimizer, WeakMethod(self._stand_still))
        listen(self, after_updates=self._successes is not None)

    def _clock_of(self, plan: SchedulePlan) -> Clock | SuccessfulStepCounter | None:
        time = plan.run.total_time
        return self._successes if time is None else Clock(time)

    def _begin(self) -> None:
        """Watch the first steps, unless another scheduler says when this one moves."""
        checks, takes = not isinstance(self._clock, Clock), self.last_epoch == 0
        first = FirstSteps(takes_values=takes, checks_rhythm=checks)
        self._first, self._rhythm = None if self._is_idle() else first, None
        self._settle()

    @override
    def before_update(self) -> None:
        """Prepare an update: groups that joined get their values, and so does a found rate."""
        # With nearly every update this is all.
        moved, self._updated_at = self.last_epoch - self._updated_at, self.last_epoch
        if moved == 1 and self._is_planned():
            return
        if not self._is_idle():
            self._prepare_update(moved)

    def _prepare_update(self, moved: int) -> None:
        """Prepare an update that is not like the one before."""
        self.begin_loaded()
        # What a scaler has found it found in this update, of which the schedule has heard before.
        if self._stands_still and not getattr(self.optimizer, "found_inf", False):
            self._is_left_out()  # its step was never called
        if self._is_planned():
            self._count_rhythm(moved)
            return
        if isinstance(self._clock, Clock):
            self._clock.start()
        self.catch_up()
        first = self._first
        if first is not None and not self._is_driven_by_another():
            if has_moving_rival(self):
                first.stop_checks()
            first.count_update(self._plan)
            if first.left and not is_held_by_torch(self.optimizer):
                self._write()
                first.left.clear()
            if first.takes_values and first.steps == 0:
                self._try_values(first)

    def _count_rhythm(self, moved: int) -> None:
        """Warn where steps are missing or too many; once."""
        problem = self._rhythm.count(self.last_epoch, moved) if self._rhythm else None
        if problem is not None:
            self._rhythm = None
            if moved or self._is_missed():
                self._plan.warn_rhythm(problem)

    @override
    def after_update(self) -> None:
        """Note whether the update was made, where that is what moves the schedule."""
        if self._successes is not None:
            self._successes.note(self.optimizer)

    @override
    def after_loading(self) -> None:
        """The groups of an optimizer that has loaded a state note the bases that came with it."""
        self._is_noted = True
        self._groups = list(self.optimizer.param_groups)
        self._bases.reload(self._groups, keep=self.last_epoch > 0)
        self._write(new_only=self._is_idle())
        if self._first is not None:
            self._begin()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._listen()  # a copy hears of its own optimizer, not of this one's

    # -- within PyTorch's `SequentialLR` ---------------------------------------------------------

    def _is_idle(self) -> bool:
        """Return True if a `SequentialLR` says when this schedule writes.

        It takes 1 from the position of each of its schedulers, and starts one after the other.
        """
        return self._is_nested or self.last_epoch < 0

    @override
    def _initial_step(self) -> None:
        """Start as the first of a sequence."""
        self._update_lr(0)

    @override
    def _update_lr(self, epoch: int | None = None) -> None:
        """Start at a position, whatever was written before."""
        self._is_nested, self._first, self._rhythm = True, None, None
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write()

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> dict[str, Any]:
        """The position, the base of each group, and what the curves are: plain data."""
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
        """Go to a saved position, and write its values at once.

        The base values are those in the state, unless the optimizer has loaded its own: its groups
        know which they were, and may take theirs from the config. The state of a scheduler of
        torch's is taken for its position, and for the base rates that the optimizer began with; one
        without these leaves the rates of the config. Where the schedule has changed since, the
        `resume` of the run says which is followed, and a warning what has changed.

        Raises:
            ScheduleError: The state has no position, an entry has another form or is out of range,
                or it does not fit the policy; then nothing of it is taken.
        """
        self._check(state_dict)
        self._is_nested = self._is_idle()
        found = resolve_resume(self._plan, state_dict, self._based())
        found.plan.is_told |= self._plan.is_told
        self._plan, self.last_epoch = found.plan, found.position
        self._clock = self._clock_of(found.plan)
        count = len(self.optimizer.param_groups)
        self._bases.load(saved_bases(state_dict), count, keep=self._is_noted)
        hooks = record_of(self.optimizer).state_hooks
        if found.is_of_another and not (hooks is not None and hooks.keeps_rates):
            self._bases.restore(noted=has_own_rates(state_dict))
        if isinstance(self._clock, Clock):
            self._clock.elapsed = float(state_dict.get("elapsed", 0.0))
        self._write(new_only=self._is_nested)
        self._begin()
        self._untold = found
        if not is_unheard():
            self.begin_loaded()

    def begin_loaded(self, position: int | None = None) -> None:
        """Warn of what the state that was loaded last has changed; once.

        Args:
            position: The step of the trainer, from which it goes on after another scheduler.
        """
        found, self._untold = self._untold, None
        if found is None:
            return
        if found.is_of_another and position is not None:
            found, self.last_epoch = after_another(self._plan, position), position
            self._write()
            self._begin()
        found.tell()

    def changes(self, state_dict: dict[str, Any]) -> list[Change]:
        """What has changed since a state was saved, as far as the state says."""
        self._check(state_dict)
        return changes_of(self._plan, state_dict, self._based())

    def _check(self, state_dict: Any) -> None:
        check_state(state_dict)

    # -- looking -------------------------------------------------------------------------------

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The base rate of each group."""
        return self._bases.lrs

    @override
    def get_lr(self) -> list[float | Tensor]:
        """Return base times curve of this position for each group, whatever stands in it."""
        return [*self.rates_at(max(self.last_epoch, 0))]

    @override
    def get_last_lr(self) -> list[float | Tensor]:
        """The rates that stand in the groups."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def __repr__(self) -> str:
        return f"CurveScheduler({self._plan.label}, position={self.last_epoch})"
