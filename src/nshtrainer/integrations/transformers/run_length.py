"""Run length of a transformers Trainer, computed by the Trainer itself, and limits of its loop."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from typing_extensions import override

from nshtrainer.exceptions import ScheduleError
from nshtrainer.metric import MetricConfig
from nshtrainer.run_context import RunContext
from nshtrainer.run_length import LazyRunLength

__all__ = ["TrainerRunLength", "TransformersContext", "run_length_of"]

# Trainers are looked at by their attributes alone, so that nothing of transformers is imported.
# Lazy attributes stand where the base declares plain ones:
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false


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
            from nshtrainer.integrations.transformers.callbacks import LengthCheck, OwnershipCheck

            handler.add_callback(LengthCheck(self._trainer))
            handler.add_callback(OwnershipCheck())

    @cached_property
    def primary_metric(self) -> MetricConfig | None:
        """`metric_for_best_model`, with the direction in `greater_is_better`."""
        if self._args.metric_for_best_model is None:
            return None
        from nshtrainer.integrations.transformers.callbacks import metric_of

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


_IN_A_SUBCLASS = (
    "create them in a subclass of the Trainer: def create_optimizer(self, model=None): "
    "self.optimizer, self.lr_scheduler = nshtrainer.create(..., model or self.model, self); "
    "return self.optimizer"
)


class TrainerRunLength(LazyRunLength):
    """Run length of a transformers Trainer; each attribute is read on first access.

    Lengths are computed as the Trainer does at the start of training, with its data loader, which
    is created for that and not read. With `max_steps` in the arguments no data loader is needed.

    Args:
        trainer: A `transformers.Trainer` or an instance of a subclass.
    """

    _trainer: Any
    _args: Any

    def __init__(self, trainer: Any) -> None:
        context = TransformersContext(trainer)
        super().__init__(_trainer=trainer, _args=trainer.args, context=context)

    @cached_property
    def unknown_because(self) -> str | None:
        """The reason for unknown lengths of the data."""
        if self._args.auto_find_batch_size:
            return (
                "with auto_find_batch_size the number of updates is unknown before the Trainer "
                "has found a batch size; set max_steps, or per_device_train_batch_size instead, "
                "or give durations in steps"
            )
        if not self._has_data:
            return (
                "the Trainer has no train_dataset; give it one, set max_steps in its "
                "TrainingArguments, or pass RunLength(total_steps=..., steps_per_epoch=...)"
            )
        if self._counted is None:
            return (
                "the data of the Trainer has no length; set max_steps in its TrainingArguments, "
                "give durations in steps, or pass RunLength(steps_per_epoch=...)"
            )
        return None

    @cached_property
    def total_steps(self) -> int | None:
        """`max_steps`, else the updates in `num_train_epochs`; at least 1."""
        if self._args.max_steps > 0:
            return self._args.max_steps
        return None if self._counted is None else max(1, self._counted[1])

    @cached_property
    def steps_per_epoch(self) -> int | None:
        """Updates in one epoch, including one for the last, smaller accumulation."""
        return None if self._counted is None else self._counted[0]

    @cached_property
    def samples_per_step(self) -> int:
        """Samples per update of all devices and accumulated batches."""
        return self._trainer.get_total_train_batch_size(self._args)

    @cached_property
    def shortened(self) -> str | None:
        """The setting that leaves no update in the run."""
        if self._args.max_steps == 0:
            return "max_steps=0"
        return "num_train_epochs=0" if self._args.num_train_epochs == 0 else None

    @property
    def _has_data(self) -> bool:
        where: str = self._trainer.get_train_dataloader.__module__
        return self._trainer.train_dataset is not None or not where.startswith("transformers.")

    @cached_property
    def _counted(self) -> tuple[int, int] | None:
        """Updates in an epoch and in the run; `None` if they cannot be counted."""
        if self._args.auto_find_batch_size or not self._has_data:
            return None
        loader = self._loader()
        if not _has_length(loader):
            return None
        _, per_epoch, *_, total = self._trainer.set_initial_training_values(self._args, loader)
        return per_epoch, total

    def _loader(self) -> Any:
        import torch

        random: Any = torch.random
        # Accelerate draws a seed for the order of the data, which a look must not change.
        with random.fork_rng(devices=()):
            return self._trainer.get_train_dataloader()


def _has_length(loader: Any) -> bool:
    try:
        return len(loader) >= 0
    except (AttributeError, RuntimeError, TypeError):  # the Trainer's own rule
        return False


def run_length_of(source: Any) -> TrainerRunLength:
    """Return the run length of a transformers Trainer.

    Args:
        source: The Trainer.

    Raises:
        ScheduleError: The source is another transformers object, or the Trainer would drop an
            optimizer that is created before training.
    """
    if not hasattr(source, "set_initial_training_values"):
        raise ScheduleError(
            f"the run length of a {type(source).__qualname__} is unknown; pass the Trainer, which "
            "knows its data as well, or RunLength(total_steps=..., steps_per_epoch=...)"
        )
    reason = _too_early(source)
    if reason is not None:
        raise ScheduleError(f"{reason}; {_IN_A_SUBCLASS}")
    return TrainerRunLength(source)


def _too_early(trainer: Any) -> str | None:
    """Return the reason why an optimizer created now would not train the Trainer's parameters."""
    if trainer.is_in_train:
        return None
    if trainer.model_init is not None:
        return "with model_init the Trainer drops model, optimizer and scheduler in train()"
    if trainer.is_fsdp_enabled or trainer.is_fsdp_xla_enabled:
        return "with FSDP the Trainer replaces the parameters in train()"
    return None
