"""Shows schedulers that move by the update the metric that the Trainer shows others."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
from typing_extensions import final

from nshtrainer.integrations.transformers.trainer_settings import metric_of

__all__ = ["MetricCallback"]


@final
class MetricCallback(TrainerCallback):  # pyright: ignore[reportUntypedBaseClass]
    """Shows the metric to a scheduler with a method `observe`, after each evaluation.

    The Trainer of transformers does that for a plateau scheduler of torch's alone. One with a
    warm-up or a schedule beside its metric is moved with each update, and this shows it the
    `metric_for_best_model`. What is evaluated before the first update is passed over, as the
    Trainer does.
    """

    shows_metric = True

    def on_evaluate(self, args: Any, state: Any, *_: Any, **parts: Any) -> None:
        """Show the value to the scheduler; the Trainer says if there is no such metric."""
        scheduler, metrics = parts["lr_scheduler"], parts["metrics"]
        name = metric_of(args)
        if state.global_step and hasattr(scheduler, "observe") and name in metrics:
            scheduler.observe(metrics[name])
