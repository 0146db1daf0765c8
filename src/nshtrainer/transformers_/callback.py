"""Shows schedulers that move by the update the metric that the Trainer shows others."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
from typing_extensions import final

from nshtrainer.exceptions import MetricError
from nshtrainer.transformers_.run_length import metric_of

__all__ = ["MetricCallback"]


@final
class MetricCallback(TrainerCallback):  # pyright: ignore[reportUntypedBaseClass]
    """Shows the metric to a scheduler with a method `observe`, after each evaluation.

    The Trainer of transformers does that for a plateau scheduler of torch's alone. One with a
    warm-up or a schedule beside its metric is moved with each update, and this shows it the
    `metric_for_best_model`. What is evaluated before the first update is passed over, as the
    Trainer does.

    Raises:
        MetricError: An evaluation is over, and had no such metric.
    """

    shows_metric = True

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def on_evaluate(self, args: Any, state: Any, *_: Any, **parts: Any) -> None:
        """Show the value to the scheduler."""
        scheduler, metrics = parts["lr_scheduler"], parts["metrics"]
        if state.global_step == 0 or not hasattr(scheduler, "observe"):
            return
        self._seen.update(metrics)
        if metric_of(args) in metrics:
            scheduler.observe(metrics[metric_of(args)])

    def on_step_begin(self, args: Any, *_: Any, **_parts: Any) -> None:
        """Refuse a metric that an evaluation, of all its data sets, did not have."""
        if self._seen and metric_of(args) not in self._seen:
            raise MetricError(
                f"the scheduler looks at {metric_of(args)}, and the evaluation had no such metric "
                f"({', '.join(sorted(self._seen))}); set metric_for_best_model to one of these"
            )
