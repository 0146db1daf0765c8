"""Parameters of lazy modules, which have no shape before the first batch."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from nshtrainer.exceptions import OptimizerError

__all__ = ["NO_SHAPE", "check_no_lazy", "is_lazy", "shapes_needed"]

NO_SHAPE = "has no shape yet: it is lazy. Run a batch through the model first"
"""End of a message about a lazy parameter."""


def is_lazy(param: Any) -> bool:
    """Return True for a parameter of a lazy module (`nn.LazyLinear`) before its first batch.

    The `ndim` of such a parameter is 1, and everything else that depends on a shape raises.
    """
    from torch.nn.parameter import is_lazy as is_torchs

    return is_torchs(param)


def check_no_lazy(name: str, params: Iterable[Any]) -> None:
    """Check that all parameters have a shape, where a lazy one would be taken for a vector.

    Raises:
        OptimizerError: A parameter is lazy.
    """
    if any(map(is_lazy, params)):
        raise OptimizerError(f"{name}: parameters are told apart by shape, and one {NO_SHAPE}.")


@contextmanager
def shapes_needed(name: str, params: Iterable[Any]) -> Generator[None]:
    """Replace PyTorch's error about a lazy parameter by one with the remedy.

    Args:
        name: The name of the optimizer or hook that needs the shapes.
        params: All parameters that it gets.
    """
    lazy = any(map(is_lazy, params))
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not lazy or isinstance(error, OptimizerError):
            raise
        raise OptimizerError(
            f"{name} needs the shapes of all parameters, and one {NO_SHAPE}."
        ) from error
