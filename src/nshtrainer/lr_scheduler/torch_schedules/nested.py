"""PyTorch's schedulers that combine others, or call a function."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.base import (
    LRSchedulerConfigBase,
    LRSchedulerMetadata,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.compose import CurveConfig, curve_of_part
from nshtrainer.lr_scheduler.curves import Product, Sequence
from nshtrainer.lr_scheduler.torch_schedules.base import (
    Milestones,
    TorchScheduleConfigBase,
    Unit,
    in_epochs,
    refusal,
)
from nshtrainer.lr_scheduler.track import Curve
from nshtrainer.run_length import RunLength, run_length_of

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

__all__ = [
    "ChainedSchedulerConfig",
    "LambdaLRConfig",
    "MultiplicativeLRConfig",
    "SequentialLRConfig",
]

Parts = Annotated[tuple[CurveConfig, ...], Field(min_length=1)]


@lr_scheduler_registry.register
class LambdaLRConfig(TorchScheduleConfigBase):
    """Torch's `LambdaLR`: a function of the count as the factor, here any schedule.

    A config file never contains code: register a custom function as a schedule.
    For the schedule a count is a step: with the unit `epoch`, `10 steps` are ten epochs.

    >>> config = LambdaLRConfig(lr_lambda={"name": "linear", "max_duration": "4 steps"})
    >>> list(map(config.curve(RunLength()), range(5)))
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    example = "lr_lambda: {name: linear}\nunit: epoch"
    name: Literal["lambda_lr"] = "lambda_lr"
    lr_lambda: CurveConfig
    """Schedule whose value is the factor."""

    def counted(self, run: RunLength) -> Curve:
        return curve_of_part(self.lr_lambda, run)


@lr_scheduler_registry.register
class MultiplicativeLRConfig(LRSchedulerConfigBase):
    """Torch's `MultiplicativeLR`: at count t the rate is multiplied by f(t), f any schedule.

    The rate is a running product, which has no closed form: this config builds torch's scheduler,
    which is no curve and cannot be a part of another.

    >>> MultiplicativeLRConfig(lr_lambda={"name": "constant"}, unit="epoch").metadata()
    {'interval': 'epoch'}
    """

    example = "lr_lambda: {name: constant, factor: 0.95}\nunit: epoch"
    name: Literal["multiplicative_lr"] = "multiplicative_lr"
    lr_lambda: CurveConfig
    """Schedule whose value is the factor f(t) of count t, from 1."""
    unit: Unit = "step"
    """Time between two factors: a step of the optimizer, or an epoch."""

    def metadata(self) -> LRSchedulerMetadata:
        return {"interval": self.unit}

    def create_scheduler_impl(self, optimizer: Optimizer, lightning_module: Any, /) -> LRScheduler:
        from torch.optim.lr_scheduler import MultiplicativeLR

        run = run_length_of(lightning_module)
        curve = curve_of_part(self.lr_lambda, in_epochs(run) if self.unit == "epoch" else run)
        # Torch saves the attributes of a callable object with its state, but nothing of a function.
        return MultiplicativeLR(optimizer, lambda count: curve(count))  # noqa: PLW0108


@lr_scheduler_registry.register
class SequentialLRConfig(TorchScheduleConfigBase):
    """Torch's `SequentialLR`, similar to `sequence`: schedules in a row, each from its count 0.

    Each begins at the base rate again, as in torch. `sequence` has durations instead of milestones,
    and can be continuous.

    >>> parts = [{"name": "constant_lr", "factor": 0.5}, {"name": "exponential_lr", "gamma": 0.5}]
    >>> config = SequentialLRConfig(schedulers=parts, milestones=(2,))
    >>> list(map(config.curve(RunLength()), range(6)))
    [0.5, 0.5, 1.0, 0.5, 0.25, 0.125]
    """

    example = """
schedulers:
  - {name: linear_lr, start_factor: 0.1, total_iters: 100}
  - {name: cosine_annealing_lr, T_max: 900}
milestones: [100]
"""
    name: Literal["sequential_lr"] = "sequential_lr"
    schedulers: Parts
    """Schedules that are curves, PyTorch's or others."""
    milestones: Milestones
    """Counts at which the next schedule begins: one fewer than there are schedules."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        needed, given = len(self.schedulers) - 1, len(self.milestones)
        counts_epochs = any(getattr(part, "unit", "step") == "epoch" for part in self.schedulers)
        if needed != given:
            text = "there must be one milestone fewer than schedulers: {needed} (got {given})"
            raise refusal(text, needed=needed, given=given)
        if self.unit == "step" and counts_epochs:
            raise refusal(
                "a part counts epochs where the whole counts steps; set unit: epoch of the whole "
                "instead, and its parts count epochs as well"
            )
        return self

    def counted(self, run: RunLength) -> Curve:
        starts = (0, *self.milestones)
        curves = [
            curve_of_part(part, run.slice(end - start, start))
            for part, (start, end) in zip(self.schedulers, pairwise(starts), strict=False)
        ]
        return Sequence((*curves, self._last_curve(run, starts[-1])), starts)

    def _last_curve(self, run: RunLength, start: int) -> Curve:
        part = self.schedulers[-1]
        try:
            return curve_of_part(part, run.slice(0, start))
        except RunLengthError:
            # Only a schedule that needs an end gets the end of the run.
            if run.total_steps is None or run.total_steps <= start:
                raise
            return curve_of_part(part, run.slice(run.total_steps - start, start))


@lr_scheduler_registry.register
class ChainedSchedulerConfig(TorchScheduleConfigBase):
    """Torch's `ChainedScheduler`, similar to `product`: schedules multiplied.

    Torch's scheduler is the product only if each part multiplies the current rate, which parts with
    a least rate (`eta_min`) do not. This one is always the product.

    >>> parts = [{"name": "constant_lr", "factor": 0.5}, {"name": "exponential_lr", "gamma": 0.5}]
    >>> list(map(ChainedSchedulerConfig(schedulers=parts).curve(RunLength()), range(4)))
    [0.5, 0.25, 0.125, 0.0625]
    """

    example = """
schedulers:
  - {name: linear_lr, start_factor: 0.1, total_iters: 100}
  - {name: exponential_lr, gamma: 0.998}
"""
    name: Literal["chained_scheduler"] = "chained_scheduler"
    schedulers: Parts
    """Schedules that are curves, PyTorch's or others."""

    def counted(self, run: RunLength) -> Curve:
        return Product(tuple(curve_of_part(part, run) for part in self.schedulers))
