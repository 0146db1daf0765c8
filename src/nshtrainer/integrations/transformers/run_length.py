"""The run length of a Trainer of transformers, counted by that Trainer itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from typing_extensions import override

from nshtrainer.exceptions import ScheduleError
from nshtrainer.metric import MetricConfig
from nshtrainer.run_length import LazyRunLength

__all__ = ["TrainerRunLength", "metric_of", "run_length_of"]

# Trainers are looked at by their attributes alone, so that nothing of transformers is imported.
# Lazy attributes stand where the base declares plain ones:
# pyright: reportIncompatibleVariableOverride=false

_IN_A_SUBCLASS = (
    "create them in a subclass of the Trainer: def create_optimizer(self, model=None): "
    "self.optimizer, self.lr_scheduler = nshtrainer.create(..., model or self.model, self); "
    "return self.optimizer"
)


class TrainerRunLength(LazyRunLength):
    """What a Trainer of transformers knows of its run; each attribute is read when asked for.

    Lengths are what the Trainer computes when it begins to train, with its data loader, which is
    made for that and not read. With `max_steps` in its arguments the length of the run needs none.

    Args:
        trainer: A `transformers.Trainer`, or one of a class that derives from it.
    """

    _trainer: Any
    _args: Any

    interval_problem = (
        "the Trainer of transformers moves a scheduler with every update; write the schedule as "
        "one of steps, such as step_lr with unit: epoch, or as a curve of your own"
    )

    loop_problem = (
        "it needs a closure, or the graph of the gradients, and the Trainer of transformers calls "
        "a bare step(); choose another optimizer, or train in a loop of your own or with Lightning"
    )

    def __init__(self, trainer: Any) -> None:
        super().__init__(_trainer=trainer, _args=trainer.args)

    @override
    def attach_check(self) -> None:
        """Add callbacks that compare the lengths and look for forgotten parameters, once."""
        handler = self._trainer.callback_handler
        if not any(hasattr(callback, "checks_length") for callback in handler.callbacks):
            from nshtrainer.integrations.transformers.length_check import LengthCheck
            from nshtrainer.integrations.transformers.ownership_check import OwnershipCheck

            handler.add_callback(LengthCheck(self._trainer, TrainerRunLength))
            handler.add_callback(OwnershipCheck())

    @cached_property
    def unknown_because(self) -> str | None:
        """Why nothing is known of the data."""
        if self._args.auto_find_batch_size:
            return (
                "with auto_find_batch_size the number of updates is not known before the Trainer "
                "has found a batch size; set max_steps, or per_device_train_batch_size instead, or "
                "give durations in steps"
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
        """`max_steps`, else the updates in `num_train_epochs`; a run of none counts as one of 1."""
        if self._args.max_steps > 0:
            return self._args.max_steps
        return None if self._counted is None else max(1, self._counted[1])

    @cached_property
    def steps_per_epoch(self) -> int | None:
        """Updates in one epoch, the one of the last batches, which may be fewer, included."""
        return None if self._counted is None else self._counted[0]

    @cached_property
    def samples_per_step(self) -> int:
        """The batch of all devices and all batches that are accumulated."""
        return self._trainer.get_total_train_batch_size(self._args)

    @cached_property
    def shortened(self) -> str | None:
        """The setting that leaves nothing of the run."""
        if self._args.max_steps == 0:
            return "max_steps=0"
        return "num_train_epochs=0" if self._args.num_train_epochs == 0 else None

    @cached_property
    def primary_metric(self) -> MetricConfig | None:
        """`metric_for_best_model`, with the direction in `greater_is_better`."""
        if self._args.metric_for_best_model is None:
            return None
        mode = "max" if self._args.greater_is_better else "min"
        return MetricConfig(monitor=metric_of(self._args), mode=mode)

    @cached_property
    def shown_metric(self) -> MetricConfig | None:
        """The same: no other metric is shown to a scheduler."""
        return self.primary_metric

    @cached_property
    def plateau_problem(self) -> str | None:
        """Why the Trainer would not show a metric, or fail when it is to."""
        if self._args.eval_strategy == "no":
            lacking = "eval_strategy='epoch' or 'steps'"
        elif self._args.metric_for_best_model is None:
            lacking = "metric_for_best_model, such as 'loss'"
        else:
            return None
        return (
            "the Trainer of transformers shows a scheduler its metric_for_best_model after each "
            f"evaluation; set {lacking} in its TrainingArguments"
        )

    @cached_property
    def observer_problem(self) -> str | None:
        """Why nobody would show its metric to a scheduler that the Trainer moves by the update."""
        callbacks = self._trainer.callback_handler.callbacks
        if any(hasattr(callback, "shows_metric") for callback in callbacks):
            return self.plateau_problem
        return (
            "the Trainer of transformers shows no metric to a scheduler that moves by the step, as "
            "one with a warm-up or a schedule beside its metric does; give the Trainer "
            "callbacks=[nshtrainer.integrations.transformers.MetricCallback()]"
        )

    @property
    def _has_data(self) -> bool:
        where: str = self._trainer.get_train_dataloader.__module__
        return self._trainer.train_dataset is not None or not where.startswith("transformers.")

    @cached_property
    def _counted(self) -> tuple[int, int] | None:
        """Updates in an epoch and in the run; `None` where they cannot be counted."""
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


def metric_of(args: Any) -> str:
    """The name under which an evaluation has the `metric_for_best_model`."""
    name: str = args.metric_for_best_model or ""
    return f"eval_{name.removeprefix('eval_')}"


def run_length_of(source: Any) -> TrainerRunLength:
    """The run length of a Trainer of transformers.

    Args:
        source: The Trainer.

    Raises:
        ScheduleError: It is something else of transformers; or the Trainer would drop an optimizer
            that is made before it trains.
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
    """Why an optimizer that is made now would not train what the Trainer trains."""
    if trainer.is_in_train:
        return None
    if trainer.model_init is not None:
        return "with model_init the Trainer drops model, optimizer and scheduler in train()"
    if trainer.is_fsdp_enabled or trainer.is_fsdp_xla_enabled:
        return "with FSDP the Trainer puts other parameters in the place of these in train()"
    return None
