"""Build an optimizer from any optimizer config, and import its class."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import OptimizerConfigBase

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

__all__ = ["arguments_of", "attach_checks", "build_optimizer", "target_class", "version_of"]


def build_optimizer(
    config: OptimizerConfigBase, params: Any, /, run: RunLength | None = None
) -> Optimizer:
    """Build an optimizer of a module or of a part of one, from any config.

    The configs of nshtrainer get the module and the run. A `create_optimizer` that a user wrote
    gets what torch's optimizers take.
    """
    create: Any = config.create_optimizer
    # The method decides, not the class: a user may override the method of a built-in config.
    if create.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return create(params, run=run)
    from nshtrainer.optimizer.groups.parameters import for_torch

    optimizer = create(for_torch(params))
    if optimizer is None:  # Lightning would train nothing then, with no more than a warning
        name = type(config).__name__
        raise OptimizerError(f"{name}.create_optimizer returned None; add a `return`")
    attach_checks(optimizer, params)
    return optimizer


def attach_checks(optimizer: Any, params: Any) -> None:
    """Add the checks of parameters and loaded states to an optimizer that user code has built."""
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.optimizer.checkpoint.hooks import resume_by_name
    from nshtrainer.optimizer.parameter_checks import watch_parameters

    watch_parameters(optimizer, params)
    if isinstance(optimizer, Optimizer):
        resume_by_name(optimizer, params if isinstance(params, Module) else None)


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
