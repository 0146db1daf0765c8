"""Warnings about parameters without updates, under transformers."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
from typing_extensions import final

from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.optimizer.unowned_parameters import ownership_problems
from nshtrainer.resume import tell_of

__all__ = ["OwnershipCheck"]


@final
class OwnershipCheck(TrainerCallback):  # pyright: ignore[reportUntypedBaseClass]
    """Callback that warns once an epoch of trainable parameters without an optimizer.

    Frozen parameters in an optimizer are reported too. `nshtrainer.create` attaches this callback
    automatically, and so does a schedule.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Reset the reports for another run."""
        self._reported.clear()

    def on_epoch_begin(self, *_: Any, **parts: Any) -> None:
        """Warn of problems that were not reported yet."""
        for problem in ownership_problems([parts["optimizer"]], parts["model"]):
            if problem not in self._reported:
                self._reported.add(problem)
                tell_of(problem, NshtrainerWarning)
