"""Import of optimizer classes from the targets of their configs."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from nshtrainer.exceptions import OptimizerError

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["arguments_of", "target_class", "version_of"]


@cache
def target_class(target: str) -> type[Optimizer]:
    """Import the class that a target names.

    Raises:
        OptimizerError: The installed package cannot be imported, or does not have the class.
    """
    module, _, name = target.partition(":")
    try:
        cls = getattr(import_module(module), name, None)
    except Exception as error:  # a package that is too new for PyTorch raises anything
        raise OptimizerError(
            f"{version_of(target)} cannot be imported beside {version_of('torch')}: {error!r}. "
            "Install releases that go together."
        ) from error
    if cls is None:
        raise OptimizerError(
            f"{version_of(target)} has no {module}.{name}; install a newer release"
        )
    return cls


@cache
def arguments_of(cls: type[Optimizer]) -> frozenset[str]:
    """Return the names of the constructor's arguments."""
    return frozenset(inspect.signature(cls).parameters)


def version_of(target: str) -> str:
    """Return the name and version of a target's package, for messages."""
    from importlib.metadata import PackageNotFoundError, version

    package = target.partition(":")[0].partition(".")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # the distribution has another name, or is not installed
        return package
