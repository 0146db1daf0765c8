"""The one torch scheduler: it drives any curve, of any hyperparameter.

Its state is the position, the base values of each group, and what the curves are resolved from. A
value is always `base * curve(position)`; it is never inferred from what stands in a group.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from functools import partial
from math import inf
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakMethod

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from nshtrainer.exceptions import NshtrainerWarning, ScheduleError
from nshtrainer.lr_scheduler.clock import Clock, Successes
from nshtrainer.lr_scheduler.guard import MovesOnceAnUpdate
from nshtrainer.lr_scheduler.hyperparameters import Place, find
from nshtrainer.lr_scheduler.movement import Cohort, Group, Movement
from nshtrainer.lr_scheduler.plan import Plan
from nshtrainer.lr_scheduler.resumption import changes_of, plan_data, succession
from nshtrainer.lr_scheduler.saved_state import saved_bases
from nshtrainer.optimizer_record import on_step_skipped
from nshtrainer.resume import Change
from nshtrainer.run_length import RunLength

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.base import Curve

__all__ = ["CurveScheduler"]


class CurveScheduler(LRScheduler):
    """Writes `base * curve(position)` into every parameter group, for each scheduled value.

    The base of a rate is its `initial_lr` where a scheduler stood before, else its `lr`; that of
    another hyperparameter likewise. A value that somebody else writes before the first update (a
    finder, a tuner) becomes the base; a later one is overwritten, with a warning (of more than 4
    groups with the same base, the first 4 are watched for it). Groups that are added during the
    run are scheduled as well. A tensor-valued rate is filled in place.

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
        self, optimizer: Optimizer, plan: Plan | Curve, *, label: str | None = None
    ) -> None:
        # Not the base's `__init__`: it wraps `optimizer.step`, which a compiled step does not
        # survive, and scales from what stands in the group.
        self.optimizer = optimizer
        self.last_epoch = 0
        self._plan = plan if isinstance(plan, Plan) else Plan.of_curve(plan, RunLength(), label)
        self._bases: dict[str, list[float | None]] = {"lr": []}
        self._movements: list[Movement] = []
        self._groups: list[Group] = []
        self._planned = 0
        self._is_noted = False
        self._stands_still = False
        by_successes = self._plan.run.schedule_clock == "successful_steps"
        self._successes = Successes() if by_successes else None
        self._write()
        self._plan.check_names(optimizer.param_groups)
        self._clock = self._clock_of(self._plan)
        self._listen()

    # -- moving --------------------------------------------------------------------------------

    @override
    def step(self, epoch: int | None = None) -> None:  # noqa: C901, PLR0912 - see below
        """Move to the next position, or to `epoch`, and write the values of it."""
        # Called with every update, so written out: a call of a function costs as much as a group.
        groups = self.optimizer.param_groups
        if groups is not self._groups or len(groups) != self._planned:
            if self._is_left_out() and epoch is None:
                return
            self._catch_up()
        if self._clock is not None and epoch is None:
            epoch = self._clock.position(groups, self.last_epoch)
        self.last_epoch = position = self.last_epoch + 1 if epoch is None else epoch
        for key, call, cohorts, place in self._movements:
            factor = call(position)
            if not 0.0 <= factor < inf:
                _refuse(factor, position, place)
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

    def _set(self, place: Place, group: Group, value: float, written: float) -> None:
        """Write where what stands is not ours: a tensor, a loaded copy, a foreign value."""
        standing = place.get(group)
        if not isinstance(standing, Tensor) and standing != written:
            warnings.warn(
                f"the {place} {standing!r} that was written into a parameter group during the run "
                f"is overwritten by the schedule ({self._plan.label}); to change it, change the "
                "config, or write it before the first update",
                NshtrainerWarning,
                stacklevel=3,
            )
        place.set(group, value)

    def _write(self) -> None:
        """Plan anew from the live groups, and write the values of this position."""
        groups = self.optimizer.param_groups
        self._plan.begin()
        movements: dict[Hashable, Movement] = {}
        cohorts: dict[Hashable, Cohort] = {}
        for index, group in enumerate(groups):
            for place, curve, base in self._tracks_of(index, group):
                key = place, _identity(curve)
                if key not in movements:
                    movements[key] = Movement(place.key, _callable(curve), [], place)
                if (key, base) not in cohorts:
                    movements[key].cohorts.append(cohorts.setdefault((key, base), Cohort(base)))
                cohorts[key, base].watched.append(group)
        self._movements = list(movements.values())
        for movement in self._movements:
            self._begin(movement)
        self._groups = groups
        # The first step has to look at what others wrote before it: no plan is good enough.
        self._planned = len(groups) if self.last_epoch else -1

    def _begin(self, movement: Movement) -> None:
        """Write the values of this position, whatever stands there."""
        factor = movement.call(self.last_epoch)
        if not 0.0 <= factor < inf:
            _refuse(factor, self.last_epoch, movement.place)
        for cohort in movement.cohorts:
            cohort.written = cohort.base * factor
            for group in cohort.watched:
                movement.place.set(group, cohort.written)
            cohort.settle(movement.place)

    def _tracks_of(self, index: int, group: Group) -> Iterator[tuple[Place, Curve, float]]:
        """What moves in a group, along which curve, and from which base."""
        base_lr = self._base(index, group, find(group, "lr"))
        for track in self._plan.tracks(group, base_lr):
            place = find(group, track.hyperparameter)
            base = 1.0 if track.kind == "value" else self._base(index, group, place)
            if place.key == "lr":
                base = self._scaled(index, base)
            yield place, track.curve, base

    def _base(self, index: int, group: Group, place: Place) -> float:
        """The value that a group began with, noted where torch notes it, too."""
        bases = self._bases.setdefault(str(place), [])
        bases.extend([None] * (index + 1 - len(bases)))
        noted = f"initial_{place}"
        base = bases[index]
        if base is None:
            base = bases[index] = float(group.get(noted, place.get(group)))
        group[noted] = base
        return base

    def _scaled(self, index: int, base: float) -> float:  # noqa: ARG002 - for those who scale
        """The base rate of a group as it is now; something beside the curve may scale it."""
        return base

    def _stand_still(self) -> None:
        """The update that is under way changes nothing, and no plan is good enough for it."""
        self._stands_still, self._planned = True, -1

    def _is_left_out(self) -> bool:
        """Whether that was so of the update before this step, which counts for no clock either."""
        still, self._stands_still = self._stands_still, False
        if still and self._clock is not None:
            self._clock.position(self.optimizer.param_groups, 0)
        return still

    def _catch_up(self) -> None:
        """Before the first step, after `load_state_dict`, and when a group was added."""
        if self.last_epoch == 0:
            self._take_first_values()
            self._before_update.remove()
        self._write()
        self._planned = len(self._groups)

    # -- the first update, and loading ---------------------------------------------------------

    def _listen(self) -> None:
        """Hear of the first update and of loaded states, without keeping this scheduler alive."""
        first, loaded = WeakMethod(self._before_first_update), WeakMethod(self._take_noted)
        on_step_skipped(self.optimizer, WeakMethod(self._stand_still))
        if self._successes is not None:
            self.optimizer.register_step_post_hook(self._successes.note)
        self._before_update = self.optimizer.register_step_pre_hook(partial(_call, first))
        self.optimizer.register_load_state_dict_post_hook(partial(_call, loaded))

    def _clock_of(self, plan: Plan) -> Clock | Successes | None:
        time = plan.run.total_time
        return self._successes if time is None else Clock(time)

    def _before_first_update(self) -> None:
        if isinstance(self._clock, Clock):
            self._clock.start()
        self._take_first_values()

    def _take_first_values(self) -> None:
        """A value that somebody else wrote before the first update is the new base.

        Where `initial_lr` changed as well, another scheduler drives the optimizer for now (a
        learning-rate finder does), and nothing is touched.
        """
        groups = self.optimizer.param_groups
        rates = self._bases["lr"]
        if self.last_epoch or any(
            g.get("initial_lr", b) != b for g, b in zip(groups, rates, strict=False)
        ):
            return
        for movement in self._movements:
            bases = self._bases.get(str(movement.place), [])
            written = {
                id(group): cohort.written
                for cohort in movement.cohorts
                for group in cohort.groups()
            }
            for index, group in enumerate(groups[: len(bases)]):
                standing = movement.place.get(group)
                # A tensor compares with a number in the tensor's own precision.
                if id(group) in written and standing != written[id(group)]:
                    bases[index] = float(standing)
        self._write()

    def _take_noted(self) -> None:
        """The groups of an optimizer that has loaded a state note the bases that came with it."""
        self._is_noted = True
        self._bases = {name: [] for name in self._bases}
        self._write()

    def __getstate__(self) -> dict[str, Any]:
        """A copy hears of its own optimizer, not of this one's."""
        return {key: value for key, value in vars(self).items() if key != "_before_update"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._listen()

    def resolve_again(self, run: RunLength) -> None:
        """Follow the same config in a run of another length; before the first step only."""
        assert self._plan.config is not None, "a schedule that a trainer gave its length has one"
        self._plan = Plan.of_config(self._plan.config, run)
        self._take_first_values()

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> dict[str, Any]:
        """The position, the base of each group, and what the curves are: plain data."""
        state: dict[str, Any] = {
            "last_epoch": self.last_epoch,
            "base_values": {name: list(bases) for name, bases in self._bases.items()},
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
        torch's is taken for its position and base rates. Where the schedule has changed since, the
        `resume` of the run says which is followed, and a warning what has changed.

        Raises:
            ScheduleError: The state has no position, or does not fit the policy; then nothing of it
                is taken.
        """
        found = succession(self._plan, state_dict, self._based())
        self._plan, self.last_epoch = found.plan, found.position
        self._clock = self._clock_of(found.plan)
        for name, bases in () if self._is_noted else saved_bases(state_dict).items():
            own = self._bases.setdefault(name, [])
            own[: len(bases)] = bases
            del own[len(self.optimizer.param_groups) :]
        if isinstance(self._clock, Clock):
            self._clock.elapsed = float(state_dict.get("elapsed", 0.0))
        self._write()
        found.tell(state_dict)

    def changes(self, state_dict: dict[str, Any]) -> list[Change]:
        """What has changed since a state was saved, as far as the state says."""
        return changes_of(self._plan, state_dict, self._based())

    def _based(self) -> list[tuple[Group, float]]:
        groups = self.optimizer.param_groups
        return [(group, self._base(k, group, find(group, "lr"))) for k, group in enumerate(groups)]

    # -- looking -------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """What is in store for each group."""
        return self._plan

    def moved_groups(self, key: str) -> list[list[Group]]:
        """Return the groups in which a hyperparameter moves, by the curve that moves it."""
        return [
            [group for cohort in movement.cohorts for group in cohort.groups()]
            for movement in self._movements
            if movement.key == key
        ]

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The base rate of each group."""
        return [float(base or 0.0) for base in self._bases["lr"]]

    @override
    def get_lr(self) -> list[float | Tensor]:
        """The rates of this position, one a group."""
        return self.get_last_lr()

    @override
    def get_last_lr(self) -> list[float | Tensor]:
        """The rates that stand in the groups."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def __repr__(self) -> str:
        return f"CurveScheduler({self._plan.label}, position={self.last_epoch})"


def _refuse(factor: object, position: int, place: Place) -> NoReturn:
    raise ScheduleError(
        f"the schedule of {place} gives {factor!r} at step {position}; a factor must be finite and "
        "not negative"
    )


def _callable(curve: Curve) -> Curve:
    """What is called for a value, without a detour over the class; what is no function fails."""
    if not callable(curve):
        raise ScheduleError(
            f"a curve is a function of the step, such as `lambda step: 1 / (1 + step)`, not "
            f"{curve!r}"
        )
    return curve if isinstance(curve, FunctionType) else curve.__call__


def _identity(curve: Curve) -> Hashable:
    """Curves that are equal are computed once."""
    try:
        hash(curve)
    except TypeError:
        return id(curve)
    return curve


def _call(method: WeakMethod[Any], *_: object) -> None:
    bound = method()
    if bound is not None:
        bound()
