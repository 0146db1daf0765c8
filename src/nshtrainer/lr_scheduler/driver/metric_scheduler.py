"""The driver of a curve that a metric scales: a plateau times a curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import SGD
from typing_extensions import override

from nshtrainer.lr_scheduler.driver.base_values import Key
from nshtrainer.lr_scheduler.driver.saved_state import check_state, saved_bases
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan

__all__ = ["ObservingScheduler"]


class ObservingScheduler(CurveScheduler):
    """Writes `base * scale * curve(position)`, where a metric decides on the scale.

    The metric's scheduler is torch's own. It drives an optimizer of nothing, whose groups have the
    base rates of the real one: what it makes of them is the scale.

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
        self._shadow: Any = None
        super().__init__(optimizer, plan)
        self._shadow = _shadow(self.base_lrs)
        self._metric_scheduler: Any = make(self._shadow)

    def observe(self, value: Any) -> None:
        """Look at a value of the metric; the rates follow at once.

        Args:
            value: A number, or a tensor with one.
        """
        config: Any = self.plan.config
        if self.last_epoch < config.warmup_steps(self.plan.run):
            return
        self._extend()
        self._metric_scheduler.step(value)
        self._write()

    @property
    def observed(self) -> int:
        """The number of values that were looked at."""
        return self._metric_scheduler.last_epoch

    @override
    def _scaled(self, index: int, base: float) -> float:
        groups: list[dict[str, Any]] = self._shadow.param_groups if self._shadow else []
        rate = groups[index]["lr"] if index < len(groups) else None
        return base if rate is None else rate

    @override
    def _write(self, *, new_only: bool = False) -> None:
        shadows: list[dict[str, Any]] = self._shadow.param_groups if self._shadow else []
        if new_only:  # what the metric made of a group that was exchanged is not this one's
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
        """Scale what the metric has made of the base rates that were replaced."""
        groups = zip(self._shadow.param_groups, before, self.base_lrs, strict=False)
        for group, old, new in groups:
            if new != old:
                group["lr"] = new if group["lr"] == old else group["lr"] * new / (old or 1.0)
        super()._write()

    def _extend(self) -> None:
        """Groups that joined the real optimizer join the other one, too."""
        for base in self.base_lrs[len(self._shadow.param_groups) :]:
            self._shadow.add_param_group({"params": [torch.zeros(1)], "lr": base})

    # -- state ---------------------------------------------------------------------------------

    @override
    def state_dict(self) -> dict[str, Any]:
        """The position, and what the metric's scheduler has seen and made of the rates."""
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
        """Go to a saved position, and write its values at once; see the base."""
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
        """The base rates, each times what the metric had made of that of its group."""
        names = saved.get("groups", ())
        groups = zip(self.optimizer.param_groups, self._shadow.param_groups, strict=False)
        for place, (group, shadow) in enumerate(groups):
            name = group.get("name")
            was = names.index(name) if name and name in names else min(place, len(bases) - 1)
            rate, base = saved["rates"][was], self.base_lrs[place]
            shadow["lr"] = rate if base == bases[was] else base * rate / (bases[was] or 1.0)

    @override
    def after_loading(self) -> None:
        before = self.base_lrs
        super().after_loading()
        self._follow_bases(before)


def _shadow(rates: list[float]) -> Optimizer:
    return SGD([{"params": [torch.zeros(1)], "lr": rate} for rate in rates], lr=0.0)
