"""Torch's schedulers that are made of others, or of a function."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
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


@lr_scheduler_registry.register
class LambdaLRConfig(TorchScheduleConfigBase):
    """Torch's `LambdaLR`: a function of the count as the factor, here any schedule.

    A file names components, and never code: a function of your own is a schedule that you register.
    For the schedule a count is a step: with the unit `epoch`, `10 steps` are ten epochs.

    >>> from nshtrainer import RunLength
    >>> from nshtrainer.configs import LinearScheduleConfig
    >>> config = LambdaLRConfig(lr_lambda=LinearScheduleConfig(max_duration="4 steps"))
    >>> [config.curve(RunLength())(step) for step in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    example = """
lr_lambda: {name: linear}
unit: epoch
"""

    name: Literal["lambda_lr"] = "lambda_lr"

    lr_lambda: CurveConfig
    """The schedule."""

    def counted(self, run: RunLength) -> Curve:
        """The schedule itself."""
        return curve_of_part(self.lr_lambda, run)


@lr_scheduler_registry.register
class MultiplicativeLRConfig(LRSchedulerConfigBase):
    """Torch's `MultiplicativeLR`: at count t the rate is multiplied by f(t), f any schedule.

    The rate is a running product, which has no closed form: this one builds torch's own scheduler,
    which is no curve and cannot be a part of another.

    >>> from nshtrainer.configs import ConstantScheduleConfig
    >>> config = MultiplicativeLRConfig(lr_lambda=ConstantScheduleConfig(factor=0.95), unit="epoch")
    >>> config.metadata()
    {'interval': 'epoch'}
    """

    example = """
lr_lambda: {name: constant, factor: 0.95}
unit: epoch
"""

    name: Literal["multiplicative_lr"] = "multiplicative_lr"

    lr_lambda: CurveConfig
    """The schedule that gives the factor f(t) of count t, from 1."""

    unit: Unit = "step"
    """When the rate is multiplied: with each update of the optimizer, or with each epoch."""

    def metadata(self) -> LRSchedulerMetadata:
        """It moves with each count."""
        return {"interval": self.unit}

    def create_scheduler_impl(self, optimizer: Optimizer, lightning_module: Any, /) -> LRScheduler:
        """Build torch's scheduler around the curve."""
        from torch.optim.lr_scheduler import MultiplicativeLR

        run = run_length_of(lightning_module)
        curve = curve_of_part(self.lr_lambda, in_epochs(run) if self.unit == "epoch" else run)

        def plain(count: int) -> float:
            # Torch keeps nothing of a function in its state; of an object it keeps the attributes.
            return curve(count)

        return MultiplicativeLR(optimizer, plain)


@lr_scheduler_registry.register
class SequentialLRConfig(TorchScheduleConfigBase):
    """Torch's `SequentialLR`: one schedule after the other, each from its own count 0.

    Each begins at the base rate again, as torch's do. `sequence` says durations instead of
    milestones, and can be continuous.

    >>> from nshtrainer import RunLength
    >>> config = SequentialLRConfig.from_yaml('''
    ... name: sequential_lr
    ... schedulers:
    ...   - {name: constant_lr, factor: 0.5, total_iters: 2}
    ...   - {name: exponential_lr, gamma: 0.5}
    ... milestones: [2]
    ... ''')
    >>> [config.curve(RunLength())(step) for step in range(6)]
    [0.5, 0.5, 1.0, 0.5, 0.25, 0.125]
    """

    example = """
schedulers:
  - {name: linear_lr, start_factor: 0.1, total_iters: 100}
  - {name: cosine_annealing_lr, T_max: 900}
milestones: [100]
"""

    name: Literal["sequential_lr"] = "sequential_lr"

    schedulers: Annotated[tuple[CurveConfig, ...], Field(min_length=1)]
    """The schedules, torch's or any other that is a curve."""

    milestones: Milestones
    """Counts at which the next one begins: one fewer than there are schedules."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.milestones) != len(self.schedulers) - 1:
            raise PydanticCustomError(
                "milestones",
                "there must be one milestone fewer than schedulers: {needed} (got {given})",
                {"needed": len(self.schedulers) - 1, "given": len(self.milestones)},
            )
        if self.unit == "step" and any(map(_counts_epochs, self.schedulers)):
            raise PydanticCustomError(
                "unit",
                "a part counts epochs where the whole counts steps; set unit: epoch of the whole "
                "instead, and its parts count epochs as well",
            )
        return self

    def counted(self, run: RunLength) -> Sequence:
        """The schedules, joined."""
        starts = (0, *self.milestones)
        curves = [
            curve_of_part(part, run.part(end - start, start))
            for part, (start, end) in zip(self.schedulers, pairwise(starts), strict=False)
        ]
        last = _last_curve(self.schedulers[-1], run, starts[-1])
        return Sequence((*curves, last), starts)


def _counts_epochs(part: LRSchedulerConfigBase) -> bool:
    return getattr(part, "unit", "step") == "epoch"


def _last_curve(part: LRSchedulerConfigBase, run: RunLength, start: int) -> Curve:
    """The last part; only where it needs an end, the run is asked for it."""
    try:
        return curve_of_part(part, run.part(0, start))
    except RunLengthError:
        if run.total_steps is None or run.total_steps <= start:
            raise
        return curve_of_part(part, run.part(run.total_steps - start, start))


@lr_scheduler_registry.register
class ChainedSchedulerConfig(TorchScheduleConfigBase):
    """Torch's `ChainedScheduler`: schedules multiplied.

    Torch's is the product only where each of its schedulers multiplies what it finds; with a least
    rate (`eta_min`) it is something between. This one is the product.

    >>> from nshtrainer import RunLength
    >>> config = ChainedSchedulerConfig(schedulers=(
    ...     {"name": "constant_lr", "factor": 0.5, "total_iters": 2},
    ...     {"name": "exponential_lr", "gamma": 0.5},
    ... ))
    >>> [config.curve(RunLength())(step) for step in range(4)]
    [0.5, 0.25, 0.25, 0.125]
    """

    example = """
schedulers:
  - {name: linear_lr, start_factor: 0.1, total_iters: 100}
  - {name: exponential_lr, gamma: 0.998}
"""

    name: Literal["chained_scheduler"] = "chained_scheduler"

    schedulers: Annotated[tuple[CurveConfig, ...], Field(min_length=1)]
    """The schedules, torch's or any other that is a curve."""

    def counted(self, run: RunLength) -> Product:
        """The product."""
        return Product(tuple(curve_of_part(part, run) for part in self.schedulers))
