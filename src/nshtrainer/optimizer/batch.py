"""How many samples one update of the run takes, for rates that follow the batch."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from nshtrainer.exceptions import OptimizerError

__all__ = ["Run", "batch_size_of"]

_ADAPTERS = {
    "lightning": "nshtrainer.lightning_.run_length:run_length_of",
    "pytorch_lightning": "nshtrainer.lightning_.run_length:run_length_of",
}
"""Package that defines the class of a module -> what reads its run. It stands on an upper floor."""


class Run(Protocol):
    """What a rate has to know of a run; a `RunLength` does."""

    @property
    def samples_per_step(self) -> float | None:
        """Samples in one update, over all devices and accumulated batches."""


def batch_size_of(run: Run | None, module: Any) -> float:
    """Samples in one update: of the run, if it is given, else as the module's trainer knows.

    Raises:
        OptimizerError: Nobody knows; it says what to do.
    """
    found = run or _run_of(module)
    known = getattr(found, "samples_per_step", None)
    if known is None:
        reason = getattr(found, "unknown_because", None)
        because = f" ({reason.partition(';')[0]})" if reason else ""
        raise OptimizerError(
            f"lr_scaling: the batch of one update is unknown{because}; in a loop of your own give "
            "create_optimizer(module, run=RunLength(samples_per_step=...)); under Lightning create "
            "the optimizer from the module in configure_optimizers, with data loaders that have a "
            "batch_size, or with a samples_per_step in the hyperparameters"
        )
    return known


def _run_of(module: Any) -> Any:
    """What the trainer of a module knows of its run; None where it has no trainer."""
    for cls in type(module).__mro__:
        adapter = _ADAPTERS.get(cls.__module__.partition(".")[0])
        if adapter is not None:
            home, _, function = adapter.partition(":")
            return getattr(import_module(home), function)(module)
    return None
