"""Metric and limits of a transformers Trainer, read lazily."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from typing_extensions import override

from nshtrainer.metric import MetricConfig
from nshtrainer.run_context import RunContext

__all__ = ["TransformersContext", "metric_of"]

# Lazy attributes stand where the base declares plain ones:
# pyright: reportIncompatibleVariableOverride=false


class TransformersContext(RunContext):
    """The Trainer's metric, and limits of its loop.

    Args:
        trainer: A `transformers.Trainer` or an instance of a subclass.
    """

    _trainer: Any
    _args: Any

    interval_problem = (
        "the transformers Trainer steps a scheduler with every update; use a schedule in steps, "
        "such as step_lr with unit: epoch, or a custom curve"
    )

    loop_problem = (
        "it needs a closure or second derivatives, and the transformers Trainer calls step() "
        "without them; choose another optimizer, or train with Lightning or a custom loop"
    )

    def __init__(self, trainer: Any) -> None:
        # Not the base's `__init__`: it would set, and so read, every field.
        vars(self).update(_trainer=trainer, _args=trainer.args)

    @override
    def attach_check(self) -> None:
        """Add callbacks that compare the lengths and report forgotten parameters, once."""
        handler = self._trainer.callback_handler
        if not any(hasattr(callback, "checks_length") for callback in handler.callbacks):
            from nshtrainer.integrations.transformers.length_check import LengthCheck
            from nshtrainer.integrations.transformers.ownership_check import OwnershipCheck

            handler.add_callback(LengthCheck(self._trainer))
            handler.add_callback(OwnershipCheck())

    @cached_property
    def primary_metric(self) -> MetricConfig | None:
        """`metric_for_best_model`, with the direction in `greater_is_better`."""
        if self._args.metric_for_best_model is None:
            return None
        mode = "max" if self._args.greater_is_better else "min"
        return MetricConfig(monitor=metric_of(self._args), mode=mode)

    @cached_property
    def shown_metric(self) -> MetricConfig | None:
        """The primary metric: the Trainer passes no other metric to a scheduler."""
        return self.primary_metric

    @cached_property
    def plateau_problem(self) -> str | None:
        """The reason why the Trainer would not pass a metric, or would fail to."""
        if self._args.eval_strategy == "no":
            lacking = "eval_strategy='epoch' or 'steps'"
        elif self._args.metric_for_best_model is None:
            lacking = "metric_for_best_model, such as 'loss'"
        else:
            return None
        return (
            "the transformers Trainer passes metric_for_best_model to a scheduler after each "
            f"evaluation; set {lacking} in its TrainingArguments"
        )

    @cached_property
    def observer_problem(self) -> str | None:
        """The reason why a scheduler that the Trainer steps by the update would get no metric."""
        callbacks = self._trainer.callback_handler.callbacks
        if any(hasattr(callback, "shows_metric") for callback in callbacks):
            return self.plateau_problem
        return (
            "the transformers Trainer passes no metric to a scheduler that is stepped per update, "
            "such as a plateau schedule with a warm-up; give the Trainer "
            "callbacks=[nshtrainer.integrations.transformers.MetricCallback()]"
        )


def metric_of(args: Any) -> str:
    """Return the name of `metric_for_best_model` in the metrics of an evaluation."""
    name: str = args.metric_for_best_model or ""
    return f"eval_{name.removeprefix('eval_')}"
