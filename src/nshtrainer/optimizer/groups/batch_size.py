"""How many samples one update of the run takes, for rates that follow the batch."""

from __future__ import annotations

from typing import Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.run_length import RunLength, known_run_length

__all__ = ["batch_size_of"]


def batch_size_of(run: RunLength | None, module: Any) -> float:
    """Samples in one update: of the run, if it is given, else as the module's trainer knows.

    Raises:
        OptimizerError: Nobody knows; it says what to do.
    """
    found = run or known_run_length(module)
    known = found and found.samples_per_step
    if known is None:
        reason = found and found.unknown_because
        because = f" ({reason.partition(';')[0]})" if reason else ""
        raise OptimizerError(
            f"lr_scaling: the batch of one update is unknown{because}; in a loop of your own give "
            "create_optimizer(module, run=RunLength(samples_per_step=...)); under Lightning create "
            "the optimizer from the module in configure_optimizers, with data loaders that have a "
            "batch_size, or with a samples_per_step in the hyperparameters"
        )
    return known
