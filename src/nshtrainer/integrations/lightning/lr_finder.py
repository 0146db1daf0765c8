"""Learning rates of parameter groups after a learning-rate finder."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.core.optimizer import (
    _init_optimizers_and_lr_schedulers,  # pyright: ignore[reportPrivateUsage]
)
from torch import Tensor
from typing_extensions import final, override

from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["FoundRates"]

_CLOSE = 1e-6


@final
class FoundRates(Callback):
    """Callback that gives each parameter group its own rate for a finder's suggestion.

    Lightning's `LearningRateFinder` sets the module's `lr`, and writes it into every parameter
    group, which would drop layer decay and the ratios of the groups. An optimizer that is created
    from its LightningModule attaches this callback automatically.
    """

    def __init__(self) -> None:
        self._finders: list[LearningRateFinder] = []
        self._applied: list[Any] = []

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look for finders that change the rate."""
        callbacks: list[Any] = getattr(trainer, "callbacks", [])
        finders = (each for each in callbacks if isinstance(each, LearningRateFinder))
        self._finders = [each for each in finders if each._update_attr]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._applied = []

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write the rates if a finder has made a suggestion since the last batch."""
        for finder in self._finders:
            found = finder.optimal_lr
            if found is not None and not any(found is each for each in self._applied):
                self._applied.append(found)
                rate = found.suggestion()
                if rate is not None:
                    _spread(rate, trainer, pl_module)


def _spread(rate: float, trainer: pl.Trainer, module: pl.LightningModule) -> None:
    (optimizer,) = trainer.optimizers  # a finder takes no more
    groups = optimizer.param_groups
    if any(float(group["lr"]) != rate for group in groups):
        return  # a checkpoint was loaded since
    made: Any = _init_optimizers_and_lr_schedulers(module)
    configured: list[dict[str, Any]] = made[0][0].param_groups
    bases = [float(group.get("initial_lr", group["lr"])) for group in configured]
    if len(bases) != len(groups) or not any(isclose(base, rate, rel_tol=_CLOSE) for base in bases):
        return  # the module takes its rate from elsewhere
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    ours = [each for each in schedulers if isinstance(each, CurveScheduler)]
    if not ours:
        _write([float(group["lr"]) for group in configured], groups)
    for scheduler in ours:
        if scheduler.last_epoch == 0:
            scheduler.rebase(bases)


def _write(rates: Sequence[float], groups: Sequence[dict[str, Any]]) -> None:
    for group, rate in zip(groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
