"""Warnings of parameters that no update reaches, or that wait in vain."""

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
    """Name parameters that are trainable and in no optimizer, or in one and frozen, once an epoch.

    `nshtrainer.create` attaches this callback by itself, and so does a schedule.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Warn again, in another run."""
        self._reported.clear()

    def on_epoch_begin(self, *_: Any, **parts: Any) -> None:
        """Warn of what was not named yet."""
        for problem in ownership_problems([parts["optimizer"]], parts["model"]):
            if problem not in self._reported:
                self._reported.add(problem)
                tell_of(problem, NshtrainerWarning)
