"""The torch scheduler `GreedyLR`, which raises the rate while a metric improves."""

from __future__ import annotations

from typing import Any, Literal, SupportsFloat

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from typing_extensions import override

from nshtrainer.lr_scheduler.driver.saved_state import check_metric_state

__all__ = ["GreedyLR"]

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
