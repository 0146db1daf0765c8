"""Every error that this package raises on purpose.

    NshtrainerError(Exception)
    ├── ConfigError(ValueError)         a file, an override or a command line that is no config
    ├── RegistryError(ValueError)       a class that cannot be registered
    ├── OptimizerError(ValueError)      an optimizer that cannot be built or used as it is
    │   └── BadUpdateError              … or whose update would spoil the weights
    ├── ScheduleError(ValueError)       a schedule that makes no sense for this run
    │   └── RunLengthError              … because nobody knows how long the run is
    ├── MetricError(ValueError)         a metric that is not named, or never logged
    └── CheckpointError(ValueError)     a checkpoint whose hyperparameters cannot be used

    NshtrainerWarning(UserWarning)      something that goes on, but that you should know
    ├── CheckpointWarning               … because part of a checkpoint is not used
    └── ConfigChangedWarning            … because the config is another than the checkpoint's

The constructor of a config and `model_validate` raise pydantic's own `ValidationError`.
`Config.from_*`, overrides and the command line turn it into a `ConfigError` with the place.
"""

from __future__ import annotations

from typing_extensions import override

from nshtrainer.escaping import printable_lines

__all__ = [
    "BadUpdateError",
    "CheckpointError",
    "CheckpointWarning",
    "ConfigChangedWarning",
    "ConfigError",
    "MetricError",
    "NshtrainerError",
    "NshtrainerWarning",
    "OptimizerError",
    "RegistryError",
    "RunLengthError",
    "ScheduleError",
]


class NshtrainerError(Exception):
    """The base of every error of this package; its message is safe to print."""

    @override
    def __str__(self) -> str:
        return printable_lines(super().__str__())


class ConfigError(NshtrainerError, ValueError):
    """A file, a string, an override or a command line does not describe a valid config.

    Each line of the message is `place: path.to.key: what is wrong; what to do`.
    """


class RegistryError(NshtrainerError, ValueError):
    """A class cannot be registered: its name is taken or no `Literal`, or it is abstract."""


class OptimizerError(NshtrainerError, ValueError):
    """An optimizer cannot be built of these parameters or with this torch, or trains nothing."""


class BadUpdateError(OptimizerError):
    """An update would spoil the weights: the loss or gradients are not finite, or far too large.

    It was not made.
    """


class ScheduleError(NshtrainerError, ValueError):
    """A schedule makes no sense for this run, as a warm-up that is longer than the whole."""


class RunLengthError(ScheduleError):
    """A schedule needs the length of the run, or of an epoch, and nobody knows it."""


class MetricError(NshtrainerError, ValueError):
    """A schedule looks at a metric that is not named anywhere, or that is never logged."""


class CheckpointError(NshtrainerError, ValueError):
    """The hyperparameters of a checkpoint cannot be read."""


class NshtrainerWarning(UserWarning):
    """Something goes on that you should know of; its message is safe to print."""

    @override
    def __str__(self) -> str:
        return printable_lines(super().__str__())


class CheckpointWarning(NshtrainerWarning):
    """A part of a checkpoint is not used; the message names the part and the reason."""


class ConfigChangedWarning(NshtrainerWarning):
    """A run goes on with another config than that of its checkpoint; the message says how."""
