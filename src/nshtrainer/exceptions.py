"""Exceptions and warnings of this package.

    NshtrainerError(Exception)
    ├── ArgumentError(TypeError)        an argument of another kind than the function takes
    ├── ConfigError(ValueError)         a file, override or command line that is not valid
    ├── RegistryError(ValueError)       a class that cannot be registered
    ├── OptimizerError(ValueError)      an optimizer that cannot be built or used as it is
    │   └── BadUpdateError              … or whose update would spoil the weights
    ├── ScheduleError(ValueError)       a schedule that does not fit this run
    │   └── RunLengthError              … because the length of the run is unknown
    ├── MetricError(ValueError)         a metric that is not named, or never logged
    └── CheckpointError(ValueError)     a checkpoint whose hyperparameters cannot be used

    NshtrainerWarning(UserWarning)      a problem that does not stop the run
    ├── CheckpointWarning               … because part of a checkpoint is not used
    └── ConfigChangedWarning            … because the config differs from the checkpoint's

The constructor of a config and `model_validate` raise pydantic's own `ValidationError`, with the
messages of a `ConfigError`. `Config.from_*`, overrides and the command line raise a `ConfigError`,
which has the place in front of each message.
"""

from __future__ import annotations

from typing_extensions import override

from nshtrainer.escaping import printable_lines

__all__ = [
    "ArgumentError",
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

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show: lines of the user's code, and the message."""
        from nshtrainer.short_traceback import short_traceback

        return short_traceback(self)


class ArgumentError(NshtrainerError, TypeError):
    """An argument of another kind than the function takes, such as a model in place of a config."""


class ConfigError(NshtrainerError, ValueError):
    """A file, a string, an override or a command line that does not describe a valid config.

    Each line of the message is `place: path.to.key: problem; remedy`.
    """


class RegistryError(NshtrainerError, ValueError):
    """A class that cannot be registered: its name is taken or no `Literal`, or it is abstract."""


class OptimizerError(NshtrainerError, ValueError):
    """An optimizer that cannot be built for these parameters or this torch, or trains nothing."""


class BadUpdateError(OptimizerError):
    """An update that would spoil the weights: the loss or gradients are NaN, Inf, or far too large.

    The update was not made.
    """


class ScheduleError(NshtrainerError, ValueError):
    """A schedule that does not fit this run, such as a warm-up that is longer than the whole."""


class RunLengthError(ScheduleError):
    """A schedule that needs the length of the run, or of an epoch, which is unknown."""


class MetricError(NshtrainerError, ValueError):
    """A schedule whose metric is not named anywhere, or is never logged."""


class CheckpointError(NshtrainerError, ValueError):
    """A checkpoint whose hyperparameters cannot be read."""


class NshtrainerWarning(UserWarning):
    """A problem that does not stop the run; its message is safe to print."""

    @override
    def __str__(self) -> str:
        return printable_lines(super().__str__())


class CheckpointWarning(NshtrainerWarning):
    """A part of a checkpoint that is not used; the message names the part and the reason."""


class ConfigChangedWarning(NshtrainerWarning):
    """A config that differs from the checkpoint's; the message lists the differences."""
