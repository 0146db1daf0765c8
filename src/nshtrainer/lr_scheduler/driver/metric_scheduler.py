"""Schedulers that look at a metric: reduce-on-plateau times a curve, and GreedyLR."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from typing_extensions import override

from nshtrainer.lr_scheduler.driver.hyperparameters import Key
from nshtrainer.lr_scheduler.driver.saved_state import check_metric_state, check_state, saved_bases
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan

__all__ = ["GreedyLR", "ObservingScheduler"]


class ObservingScheduler(CurveScheduler):
    """A scheduler that writes `base * scale * curve(position)`, where a metric sets the scale.

    The metric's scheduler is torch's own. It drives an optimizer without a model, whose groups have
    the base rates of the real one: its rates divided by these are the scale.

    Args:
        optimizer: The optimizer to drive.
        plan: The curve of each group.
        make: Builds the metric's scheduler for an optimizer.
    """

    @override
    def __init__(
        self,
        optimizer: Optimizer,
        plan: SchedulePlan,
        make: Callable[[Optimizer], ReduceLROnPlateau],
    ) -> None:
        # Read by the base's constructor, which writes the first values.
        self._shadow: Any = None
        super().__init__(optimizer, plan)
        self._shadow = _shadow(self.base_lrs)
        self._metric_scheduler: Any = make(self._shadow)

    def observe(self, value: Any) -> None:
        """Pass a value of the metric to its scheduler; the rates change at once.

        Args:
            value: A number, or a tensor with one.
        """
        config: Any = self.plan.config
        # The rate is still rising, so the metric is no sign of a plateau.
        if self.last_epoch < config.warmup_steps(self.plan.run):
            return
        self._extend()
        self._metric_scheduler.step(value)
        self._write()

    @property
    def observed(self) -> int:
        """The number of values that `observe` has used."""
        return self._metric_scheduler.last_epoch

    @override
    def _scaled(self, index: int, base: float) -> float:
        groups: list[dict[str, Any]] = self._shadow.param_groups if self._shadow else []
        rate = groups[index]["lr"] if index < len(groups) else None
        return base if rate is None else rate

    @override
    def _write(self, *, new_only: bool = False) -> None:
        shadows: list[dict[str, Any]] = self._shadow.param_groups if self._shadow else []
        if new_only:  # a group that was exchanged starts again from its base rate
            live = self.optimizer.param_groups
            for shadow, old, new in zip(shadows, self._groups, live, strict=False):
                shadow["lr"] = shadow["lr"] if new is old else None
        super()._write(new_only=new_only)
        for shadow, base in zip(shadows, self.base_lrs, strict=False):
            shadow["lr"] = base if shadow["lr"] is None else shadow["lr"]

    @override
    def _rebase(self, changes: Mapping[Key, float]) -> None:
        before = self.base_lrs
        super()._rebase(changes)
        self._follow_bases(before)

    def _follow_bases(self, before: Sequence[float]) -> None:
        """Scale the metric's rates with base rates that were replaced."""
        groups = zip(self._shadow.param_groups, before, self.base_lrs, strict=False)
        for group, old, new in groups:
            if new != old:
                # An untouched rate becomes the new base exactly; the product would be rounded.
                group["lr"] = new if group["lr"] == old else group["lr"] * new / (old or 1.0)
        super()._write()

    def _extend(self) -> None:
        """Add groups that joined the real optimizer to the metric's optimizer."""
        for base in self.base_lrs[len(self._shadow.param_groups) :]:
            self._shadow.add_param_group({"params": [torch.zeros(1)], "lr": base})

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the position, and the state of the metric's scheduler with its rates."""
        self._extend()
        shadows = zip(self._shadow.param_groups, self.base_lrs, strict=False)
        metric = {
            "groups": [group.get("name") for group in self.optimizer.param_groups],
            "rates": [shadow["lr"] for shadow, _ in shadows],
            "scheduler": self._metric_scheduler.state_dict(),
        }
        return {**super().state_dict(), "metric": metric}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Move to a saved position, and write its values at once; see the base."""
        self._check(state_dict)
        saved = state_dict.get("metric")
        if saved is not None:
            self._metric_scheduler.load_state_dict(saved["scheduler"])
        before = self.base_lrs
        super().load_state_dict(state_dict)
        if saved is None:
            self._follow_bases(before)
        else:
            self._load_rates(saved, saved_bases(state_dict)["lr"])
            self._write()

    @override
    def _check(self, state_dict: Any) -> None:
        check_state(state_dict, self._metric_scheduler)

    def _load_rates(self, saved: Mapping[str, Any], bases: Sequence[float | None]) -> None:
        """Set each rate to its group's base rate, scaled as in the saved state."""
        names = saved.get("groups", ())
        groups = zip(self.optimizer.param_groups, self._shadow.param_groups, strict=False)
        for place, (group, shadow) in enumerate(groups):
            name = group.get("name")
            # By name where groups have names; else by index, the last one for further groups.
            was = names.index(name) if name and name in names else min(place, len(bases) - 1)
            rate, base = saved["rates"][was], self.base_lrs[place]
            # Equal bases keep the saved rate to the bit, which division and product would not.
            shadow["lr"] = rate if base == bases[was] else base * rate / (bases[was] or 1.0)

    @override
    def after_loading(self) -> None:
        before = self.base_lrs
        super().after_loading()
        self._follow_bases(before)


def _shadow(rates: list[float]) -> Optimizer:
    return SGD([{"params": [torch.zeros(1)], "lr": rate} for rate in rates], lr=0.0)


# torch does not annotate all attributes of its class that are used here:
# pyright: reportUnknownMemberType=false


class GreedyLR(ReduceLROnPlateau):
    """A `ReduceLROnPlateau` that also raises the rate while the metric improves.

    An improvement and the least rate are defined as in torch's `ReduceLROnPlateau`.

    Reference: S. Subramanian et al., "GreedyLR", arXiv 2512.14527.

    Args:
        optimizer: The optimizer to drive.
        mode: `min` if a smaller metric is better, else `max`.
        max_lr: The largest rate that the scheduler sets.
        warmup: Values to wait after the rate was raised.
        window_size: The metric is averaged over this many values.
        reset_start: Reductions with every rate at its minimum before the schedule restarts.
        **plateau: Arguments of `ReduceLROnPlateau`.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> scheduler = GreedyLR(optimizer, max_lr=1.0, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 1.0, 1.0, 1.0):
    ...     scheduler.step(loss)
    ...     print(optimizer.param_groups[0]["lr"])
    0.1
    0.2
    0.2
    0.2
    0.1
    """

    @override
    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        *,
        max_lr: float,
        warmup: int = 0,
        window_size: int = 1,
        reset_start: int = 500,
        **plateau: Any,
    ) -> None:
        super().__init__(optimizer, mode, **plateau)
        self.max_lr = max_lr
        self.warmup = warmup
        self.window_size = window_size
        self.reset_start = reset_start
        self.first_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._begin()

    def _begin(self) -> None:
        self._reset()
        self.warmup_counter = self.num_good_epochs = 0
        self.resets_in = self.reset_start
        self.window: list[float] = []

    @override
    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:
        """Record a value of the metric, and change the rates if it is time."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self.window = [*self.window, float(metrics)][-self.window_size :]
        current = sum(self.window) / len(self.window)
        # While waiting, values count neither as good nor as bad.
        if self.cooldown_counter or self.warmup_counter:
            waiting = "cooldown_counter" if self.cooldown_counter else "warmup_counter"
            setattr(self, waiting, getattr(self, waiting) - 1)
            self.num_bad_epochs = self.num_good_epochs = 0
        else:
            self._count(current)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, after a check that its entries have the form of this scheduler's own."""
        check_metric_state(self, state_dict)
        super().load_state_dict(state_dict)

    def _count(self, current: float) -> None:
        if self._improves(current):
            self.best = current
            self.num_good_epochs, self.num_bad_epochs = self.num_good_epochs + 1, 0
        else:
            self.num_good_epochs, self.num_bad_epochs = 0, self.num_bad_epochs + 1
        if self.num_good_epochs > self.patience:
            self._raise_lr()
            self.warmup_counter, self.num_good_epochs = self.warmup, 0
        elif self.num_bad_epochs > self.patience:
            self._lower_lr()

    def _improves(self, current: float) -> bool:
        # PyTorch's own method for this has a private name, which is not the same in all releases.
        own: Any = self
        least: float = -own.threshold if own.mode == "min" else own.threshold
        bound: float = own.best * (1 + least) if own.threshold_mode == "rel" else own.best + least
        return current < bound if self.mode == "min" else current > bound

    def _raise_lr(self) -> None:
        for group in self.optimizer.param_groups:
            old = float(group["lr"])
            new = min(old / self.factor, self.max_lr)
            if new - old > self.eps:  # as in PyTorch, a change below eps is not made
                _write(group, new)
        self.resets_in = self.reset_start

    def _lower_lr(self) -> None:
        self._reduce_lr(self.last_epoch)
        groups = self.optimizer.param_groups
        # PyTorch makes no reduction below eps, so a rate that close to min_lr is at its minimum.
        above = (float(g["lr"]) - least for g, least in zip(groups, self.min_lrs, strict=True))
        if max(above) <= self.eps:
            self.resets_in -= 1
        if self.resets_in <= 0:
            # Groups that joined later have no first rate, and keep their rate.
            for group, first in zip(groups, self.first_lrs, strict=False):
                _write(group, first)
            self._begin()
        self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0


def _write(group: dict[str, Any], rate: float) -> None:
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
