"""Number of samples per update of the run, for learning rates that follow the batch size."""

from __future__ import annotations

from typing import Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.run_length import RunLength, known_run_length

__all__ = ["batch_size_of"]


def batch_size_of(run: RunLength | None, module: Any) -> float:
    """Return the samples per update, from the run if it is given, else from the module's trainer.

    Raises:
        OptimizerError: The number is unknown; the message has the remedy.
    """
    found = run or known_run_length(module)
    known = found and found.samples_per_step
    if known is None:
        reason = found and found.unknown_because
        # The reason has a remedy for other callers after its semicolon.
        because = f" ({reason.partition(';')[0]})" if reason else ""
        raise OptimizerError(
            f"lr_scaling: the batch of one update is unknown{because}; in a loop of your own give "
            "create_optimizer(module, run=RunLength(samples_per_step=...)); under Lightning create "
            "the optimizer from the module in configure_optimizers, with data loaders that have a "
            "batch_size, or with a samples_per_step in the hyperparameters"
        )
    return known
