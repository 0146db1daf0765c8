"""The config class that the table of bad input is read as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import field_validator

from nshtrainer.config import Config
from nshtrainer.config.io import read_text
from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry
from nshtrainer.duration import DurationConfig, StepsConfig
from nshtrainer.project.parameter_list import tensors_in
from nshtrainer.types import Beta, NonNegative, NonNegativeInt


class OptimizerBase(NamedConfig):
    pass


registry = Registry(OptimizerBase, kind="optimizer", entry_point_group="nshtrainer.no_plugins")
AnOptimizer = Annotated[OptimizerBase, registry]


@registry.register
class AdamW(OptimizerBase):
    name: Literal["adamw"] = "adamw"
    lr: NonNegative = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    amsgrad: bool = False


@registry.register
class SGD(OptimizerBase):
    name: Literal["sgd"] = "sgd"
    lr: NonNegative = 1e-2
    momentum: float = 0.0


class Data(Config):
    path: str
    """A folder."""
    workers: int = 0

    @field_validator("workers")
    @classmethod
    def _check(cls, value: int) -> int:
        if value > 16:
            raise ValueError(f"{value} workers are more than this machine has; give 16 or fewer")
        return value


class Run(Config):
    """A run."""

    optimizer: AnOptimizer = AdamW(lr=5e-4, amsgrad=True)
    """How."""
    other: AnOptimizer | None = None
    warmup: DurationConfig = StepsConfig(value=0)
    steps: NonNegativeInt = 10
    note: str = ""
    mode: Literal["min", "max"] = "min"
    data: Data | None = None
    stages: tuple[AdamW, ...] = ()

    @classmethod
    def from_parameters(cls, text: str, *, overrides: Sequence[str] = ()) -> object:
        """Read text as a list of parameters."""
        return dict(tensors_in(read_text(text, "json", "<json>")))
