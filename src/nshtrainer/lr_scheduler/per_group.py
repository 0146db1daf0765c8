"""Schedules of several hyperparameters, for all parameter groups or for named ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from nshtrainer.config import Config
from nshtrainer.lr_scheduler.base import (
    LRSchedulerConfigBase,
    LRSchedulerMetadata,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.compose import CurveConfig, curve_of_part
from nshtrainer.lr_scheduler.curve_schedule import METADATA, build_driver
from nshtrainer.lr_scheduler.track import Track
from nshtrainer.run_length import RunLength
from nshtrainer.types import FrozenDict, Label

__all__ = ["HyperparameterScheduleConfig", "SchedulesConfig"]


class HyperparameterScheduleConfig(Config):
    """Schedule of one hyperparameter: a factor, a value, or tied to another hyperparameter.

    >>> from nshtrainer.configs import LinearScheduleConfig
    >>> HyperparameterScheduleConfig(value=LinearScheduleConfig()).value.name
    'linear'
    """

    factor: CurveConfig | None = None
    """A schedule that multiplies the initial value of the group."""

    value: CurveConfig | None = None
    """A schedule that sets the value itself."""

    follows: str | None = None
    """Another hyperparameter whose factor this one shares: weight decay that follows `lr`."""

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        given = [name for name, value in dict(self).items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of factor, value and follows; got {', '.join(given) or 'none'}"
            )
        return self


def _kind_of_entry(value: Any) -> str:
    """Return the kind of an entry: a schedule is a name or has one, a motion has none."""
    if isinstance(value, Mapping):
        return "schedule" if "name" in value else "motion"
    return "motion" if isinstance(value, HyperparameterScheduleConfig) else "schedule"


Motion: TypeAlias = Annotated[
    Annotated[CurveConfig, Tag("schedule")]
    | Annotated[HyperparameterScheduleConfig, Tag("motion")],
    Discriminator(_kind_of_entry),
]
"""A schedule, which is then a factor, or a `HyperparameterScheduleConfig`."""

Motions: TypeAlias = Annotated[Mapping[Label, Motion], AfterValidator(FrozenDict)]
"""Hyperparameter -> its schedule."""


@lr_scheduler_registry.register
class SchedulesConfig(LRSchedulerConfigBase):
    """Schedules of any hyperparameters, for all parameter groups or for some of them by name.

    A hyperparameter is a key of the optimizer's groups, such as `lr`, `weight_decay` or `momentum`;
    `betas.0` is the first of a pair. A schedule multiplies the initial value of a group. Under
    `value` it sets the value itself, and `follows: lr` scales a weight decay like the rate.

    All of them move with each update, by one torch scheduler. Torch schedules the rate alone, and
    momentum in two of its classes.

    Raises:
        ScheduleError: The optimizer has no such hyperparameter, or no group with such a name.

    >>> from nshtrainer.configs import AdamWConfig, CosineScheduleConfig, LinearScheduleConfig
    >>> import torch
    >>> config = SchedulesConfig(
    ...     default={
    ...         "lr": CosineScheduleConfig(),
    ...         "weight_decay": HyperparameterScheduleConfig(follows="lr"),
    ...         "betas.0": LinearScheduleConfig(min_factor=0.9),
    ...     }
    ... )
    >>> optimizer = AdamWConfig(lr=0.1, weight_decay=0.2).create_optimizer([torch.zeros(1)])
    >>> config.create_scheduler(optimizer, RunLength(total_steps=4))["scheduler"].step(2)
    >>> [round(optimizer.param_groups[0][key], 3) for key in ("lr", "weight_decay")]
    [0.05, 0.1]
    >>> optimizer.param_groups[0]["betas"]
    (0.855, 0.999)
    """

    example = """
default:
  lr: {name: cosine, warmup_duration: 10%}
  weight_decay: {follows: lr}
groups:
  backbone:
    lr: {name: linear, warmup_duration: 30%}
"""

    is_curve: ClassVar[bool] = True

    name: Literal["schedules"] = "schedules"

    default: Motions = Field(default_factory=dict)
    """Schedules for every group; `groups` overrides them for named ones."""

    groups: Annotated[Mapping[Label, Motions], AfterValidator(FrozenDict)] = Field(
        default_factory=dict
    )
    """Name of a parameter group -> its schedules, which override `default`."""

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not self.default and not any(self.groups.values()):
            raise ValueError("nothing is scheduled; write a hyperparameter below default or groups")
        for where, motions in self._by_group():
            for name, motion in motions.items():
                leader = getattr(motion, "follows", None)
                if leader is not None and _factor(motions.get(leader)) is None:
                    place = f"groups.{where}" if where else "default"
                    raise ValueError(
                        f"{place}.{name} follows {leader!r}, which has no schedule there that is a "
                        "factor; give it one"
                    )
        return self

    def metadata(self) -> LRSchedulerMetadata:
        """Return the interval of a curve: every update, without a metric."""
        return LRSchedulerMetadata(METADATA)

    def create_scheduler_impl(self, optimizer: Any, lightning_module: Any, /) -> Any:
        """Resolve the curves for this run, and build the scheduler that applies them."""
        return build_driver(self, optimizer, lightning_module)

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        """Return the tracks: first of each named group, then of the rest."""
        return tuple(
            _track(name, motion, motions, group, run)
            for group, motions in self._by_group()
            for name, motion in motions.items()
        )

    def _by_group(self) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
        """Yield the schedules of each group: its own ones override the default."""
        for group, motions in self.groups.items():
            yield group, {**self.default, **motions}
        yield None, self.default


def _track(
    name: str, motion: Any, motions: Mapping[str, Any], group: str | None, run: RunLength
) -> Track:
    value = getattr(motion, "value", None)
    if value is not None:
        return Track(name, curve_of_part(value, run), "value", group)
    leader = getattr(motion, "follows", None)
    factor = _factor(motions[leader] if leader else motion)
    assert factor is not None, "the leader is a factor: it was validated"
    return Track(name, curve_of_part(factor, run), "factor", group)


def _factor(motion: Any) -> LRSchedulerConfigBase | None:
    """Return the schedule of a motion that is a factor."""
    return motion.factor if isinstance(motion, HyperparameterScheduleConfig) else motion
