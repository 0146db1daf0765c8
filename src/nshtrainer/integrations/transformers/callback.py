"""Callback that feeds the Trainer's metric to schedulers that are stepped per update."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
from typing_extensions import final

from nshtrainer.integrations.transformers.run_context import metric_of

__all__ = ["MetricCallback"]


@final
class MetricCallback(TrainerCallback):  # pyright: ignore[reportUntypedBaseClass]
    """Callback that passes the metric of each evaluation to a scheduler with a method `observe`.

    The transformers Trainer does so only for torch's `ReduceLROnPlateau`. A plateau scheduler with
    a warm-up or another schedule is stepped with each update, and gets the `metric_for_best_model`
    from this callback. Evaluations before the first update are ignored, as by the Trainer.
    """

    shows_metric = True

    def on_evaluate(self, args: Any, state: Any, *_: Any, **parts: Any) -> None:
        """Pass the value to the scheduler; the Trainer reports a missing metric."""
        scheduler, metrics = parts["lr_scheduler"], parts["metrics"]
        name = metric_of(args)
        if state.global_step and hasattr(scheduler, "observe") and name in metrics:
            scheduler.observe(metrics[name])
