"""Callbacks of a transformers Trainer: the metric, the run length, parameters without updates."""

from __future__ import annotations

from typing import Any
from weakref import ref

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
from typing_extensions import final

from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.parameter_checks import ownership_problems
from nshtrainer.resume import tell_of
from nshtrainer.run_length import run_length_of

__all__ = ["LengthCheck", "MetricCallback", "OwnershipCheck", "metric_of"]


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


@final
class LengthCheck(TrainerCallback):  # pyright: ignore[reportUntypedBaseClass]
    """Callback that compares the assumed run length at the start, each epoch, and the end.

    A schedule without steps is resolved again if a length has changed since it was created;
    otherwise a difference is a warning, the first time and at the end. A schedule attaches this
    callback automatically.

    Args:
        trainer: The Trainer; the callback does not keep it alive.
    """

    checks_length = True

    def __init__(self, trainer: Any) -> None:
        self._trainer = ref(trainer)

    def on_train_begin(self, _: Any, state: Any, __: Any, **parts: Any) -> None:
        """Resolve the schedule again, or warn if it has taken steps in an earlier run.

        The Trainer drops warnings of a schedule that loads its state, so they are repeated here.
        """
        if isinstance(parts["lr_scheduler"], CurveScheduler):
            parts["lr_scheduler"].begin_loaded(state.global_step)
        scheduler = _of_trainer(parts["lr_scheduler"])
        if scheduler is None:
            return
        plan, position = scheduler.plan, scheduler.last_epoch
        plan.begin_run()
        run = run_length_of(self._trainer())
        if position == 0 and plan.differs_from(run):
            scheduler.resolve_again(run)
        elif position > state.global_step:  # fewer steps are those of skipped updates
            plan.warn_used(position, run, state.global_step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Compare the number of steps so far with the assumed one."""
        scheduler = _of_trainer(parts["lr_scheduler"])
        if scheduler is None or control.should_training_stop or args.ignore_data_skip:
            return
        epochs, made = round(state.epoch), state.global_step
        assumed = scheduler.plan.run.steps_in_epochs(epochs)
        if assumed not in (None, made):
            text = f"{assumed} steps before epoch {epochs}, but there were {made}"
            scheduler.plan.warn_difference(text)

    def on_train_end(self, _: Any, state: Any, control: Any, **parts: Any) -> None:
        """Compare the number of steps with the assumed one, allowing for an early stop."""
        scheduler = _of_trainer(parts["lr_scheduler"])
        if scheduler is not None:
            stopped = control.should_training_stop
            scheduler.plan.check_end(state.global_step, was_stopped=stopped)


def _of_trainer(scheduler: Any) -> CurveScheduler | None:
    """Return a schedule whose run length was read from the Trainer."""
    if isinstance(scheduler, CurveScheduler) and scheduler.plan.is_of_trainer:
        return scheduler
    return None


def metric_of(args: Any) -> str:
    """Return the name of `metric_for_best_model` in the metrics of an evaluation."""
    name: str = args.metric_for_best_model or ""
    return f"eval_{name.removeprefix('eval_')}"
