"""The one torch scheduler: it drives any curve.

Its state is the position, the base value of each group, and the name of the curve. A value is
always `base * curve(position)`; it is never inferred from what stands in a group.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from nshtrainer.exceptions import NshtrainerWarning, ScheduleError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.base import Curve

__all__ = ["CurveScheduler"]

Group = dict[str, Any]

_WATCHED = 32
"""Of more groups than this with the same base, the rest is written without looking."""


@dataclass(slots=True)
class _Cohort:
    """The groups of one base value: they share the product, and the very object written last."""

    base: float
    written: float
    watched: list[Group]
    others: list[Group]


class CurveScheduler(LRScheduler):
    """Writes `base * curve(position)` into the `lr` of every parameter group.

    The base of a group is its `initial_lr` where a scheduler stood before, else its `lr`. A rate
    that somebody else writes before the first update (a finder, a tuner) becomes the base; a later
    one is overwritten, with a warning (of more than 32 groups with the same base, the first 32 are
    watched for it). Groups that are added during the run are scheduled as well. A tensor-valued
    rate is filled in place.

    Args:
        optimizer: The optimizer to drive.
        curve: Index of the update, from 0 -> factor.
        label: The name of the curve in checkpoints; a resumed run whose name differs is told so.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    >>> scheduler = CurveScheduler(optimizer, lambda step: 1 / (1 + step), label="hyperbola")
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    @override
    def __init__(self, optimizer: Optimizer, curve: Curve, *, label: str | None = None) -> None:
        # Not the base's `__init__`: it wraps `optimizer.step`, which a compiled step does not
        # survive, and scales from what stands in the group.
        self.optimizer = optimizer
        self.last_epoch = 0
        self._call = curve if isinstance(curve, FunctionType) else curve.__call__
        self._label = label or repr(curve)
        self._bases: list[float] = []
        self._cohorts: list[_Cohort] = []
        self._groups: list[Group] = []
        self._planned = 0
        self._write()
        self._listen()

    # -- moving --------------------------------------------------------------------------------

    @override
    def step(self, epoch: int | None = None) -> None:
        """Move to the next position, or to `epoch`, and write the values of it."""
        groups = self.optimizer.param_groups
        if groups is not self._groups or len(groups) != self._planned:
            self._catch_up()
        self.last_epoch = position = self.last_epoch + 1 if epoch is None else epoch
        factor = self._call(position)
        for cohort in self._cohorts:
            written = cohort.written
            cohort.written = value = cohort.base * factor
            for group in cohort.watched:
                if group["lr"] is written:
                    group["lr"] = value
                else:
                    self._set(group, value, written)
            for group in cohort.others:
                group["lr"] = value

    def _set(self, group: Group, value: float, written: float) -> None:
        """Write where what stands is not ours: a tensor, a loaded copy, a foreign value."""
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
            return
        if group["lr"] != written:
            warnings.warn(
                f"the learning rate {group['lr']!r} that was written into a parameter group during "
                f"the run is overwritten by the schedule ({self._label}); to change the rate, "
                "change the config, or write it before the first update",
                NshtrainerWarning,
                stacklevel=3,
            )
        group["lr"] = value

    def _write(self) -> None:
        """Plan anew from the live groups, and write the values of this position."""
        groups = self.optimizer.param_groups
        for index, group in enumerate(groups):
            if index == len(self._bases):
                self._bases.append(float(group.get("initial_lr", group["lr"])))
            group["initial_lr"] = self._bases[index]
        factor = self._call(self.last_epoch)
        self._cohorts = list(_cohorts(groups, self._bases, factor))
        for cohort in self._cohorts:
            for group in cohort.watched + cohort.others:
                self._set(group, cohort.written, group["lr"])
        self._groups = groups
        # The first step has to look at what others wrote before it: no plan is good enough.
        self._planned = len(groups) if self.last_epoch else -1

    def _catch_up(self) -> None:
        """Before the first step, after `load_state_dict`, and when a group was added."""
        if self.last_epoch == 0:
            self._take_first_rates()
            self._before_update.remove()
        self._write()
        self._planned = len(self._groups)

    # -- the first update, and loading ---------------------------------------------------------

    def _listen(self) -> None:
        """Hear of the first update and of loaded states, without keeping this scheduler alive."""
        first, loaded = WeakMethod(self._take_first_rates), WeakMethod(self._write)
        self._before_update = self.optimizer.register_step_pre_hook(partial(_call, first))
        self.optimizer.register_load_state_dict_post_hook(partial(_call, loaded))

    def _take_first_rates(self) -> None:
        """A rate that somebody else wrote before the first update is the new base.

        Where `initial_lr` changed as well, another scheduler drives the optimizer for now (a
        learning-rate finder does), and nothing is touched.
        """
        groups = self.optimizer.param_groups
        if self.last_epoch or any(
            g.get("initial_lr", b) != b for g, b in zip(groups, self._bases, strict=False)
        ):
            return
        factor = self._call(0)
        for index, (group, base) in enumerate(zip(groups, self._bases, strict=False)):
            # A tensor compares with a number in the tensor's own precision.
            if group["lr"] != base * factor:
                self._bases[index] = float(group["lr"])
        self._write()

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> dict[str, Any]:
        """The position, the base of each group and the name of the curve: plain data."""
        return {
            "last_epoch": self.last_epoch,
            "base_values": list(self._bases),
            "curve": self._label,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a saved position, and write its values at once.

        The state of one of torch's own schedulers is taken for its position and base rates. A
        curve with another name is followed, with a warning that names both.

        Raises:
            ScheduleError: The state has no position.
        """
        self.last_epoch = _position(state_dict)
        bases = state_dict.get("base_values", state_dict.get("base_lrs", ()))
        self._bases[: len(bases)] = map(float, bases)
        del self._bases[len(self.optimizer.param_groups) :]
        saved = state_dict.get("curve", self._label)
        if saved != self._label:
            warnings.warn(
                f"the schedule has changed: the checkpoint was written under {saved}, and the run "
                f"goes on at step {self.last_epoch} under {self._label}",
                NshtrainerWarning,
                stacklevel=2,
            )
        self._write()

    # -- looking -------------------------------------------------------------------------------

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The base rate of each group."""
        return list(self._bases)

    @override
    def get_lr(self) -> list[float | Tensor]:
        """The values of this position, one a group."""
        factor = self._call(self.last_epoch)
        return [base * factor for base in self._bases]

    @override
    def get_last_lr(self) -> list[float | Tensor]:
        """The rates that stand in the groups."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def __repr__(self) -> str:
        return f"CurveScheduler({self._label}, position={self.last_epoch})"


def _cohorts(groups: list[Group], bases: list[float], factor: float) -> Iterator[_Cohort]:
    by_base: dict[float, list[Group]] = {}
    for group, base in zip(groups, bases, strict=True):
        by_base.setdefault(base, []).append(group)
    for base, members in by_base.items():
        # Tensors are filled in place, so they have to be looked at.
        members.sort(key=lambda group: not isinstance(group["lr"], Tensor))
        watched = max(_WATCHED, sum(isinstance(group["lr"], Tensor) for group in members))
        yield _Cohort(base, base * factor, members[:watched], members[watched:])


def _call(method: WeakMethod[Any], *_: object) -> None:
    bound = method()
    if bound is not None:
        bound()


def _position(state: dict[str, Any]) -> int:
    for part in (state, *state.get("_schedulers", ())):
        if "last_epoch" in part:
            return int(part["last_epoch"])
    raise ScheduleError(
        f"this state of a scheduler has no position (last_epoch): its keys are {sorted(state)}"
    )
