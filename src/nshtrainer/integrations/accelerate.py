"""Accelerate integration: one scheduler step per update on any number of processes, and run length.

The module does not import accelerate; it reads public attributes of accelerate's objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from typing_extensions import final

from nshtrainer.exceptions import ScheduleError
from nshtrainer.run_length import RunLength

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler

__all__ = ["UpdateScheduler", "prepare", "run_length", "run_length_of"]


# -- the length of a run ---------------------------------------------------------------------------


def run_length(
    accelerator: Any, loader: Any, *, num_epochs: int | None = None, max_steps: int | None = None
) -> RunLength:
    """Return the length of a run over a data loader that an `Accelerator` has prepared.

    An epoch has the batches of the loader in this process, divided by the accelerator's
    `gradient_accumulation_steps` and rounded up: the end of the loader is the end of an
    accumulation. Only with `sync_with_dataloader=False` it continues in the next epoch.

    Args:
        accelerator: The `Accelerator`.
        loader: The training data as `accelerator.prepare` returned it.
        num_epochs: The number of epochs, 1 or more, if it limits the loop.
        max_steps: The number of updates, 1 or more, if it limits the loop.

    Raises:
        ScheduleError: The loader was not prepared; a length is not a positive number.
    """
    if not getattr(loader, "_is_accelerate_prepared", False):
        raise ScheduleError(
            "a data loader changes its length when it is prepared for several processes; pass "
            "what accelerator.prepare(loader) returned"
        )
    limits = [] if max_steps is None else [max_steps]
    steps_per_epoch = _updates(accelerator, loader, 1)
    if num_epochs is not None and steps_per_epoch is not None:
        limits.append(int(_updates(accelerator, loader, num_epochs) or 0))
    # Accelerate counts the samples of all processes where the loader is shared by them.
    size: int | None = getattr(loader, "total_batch_size", None)
    is_shared = hasattr(loader.batch_sampler, "num_processes") or accelerator.num_processes == 1
    return RunLength(
        min(limits, default=None),
        steps_per_epoch,
        samples_per_step=(
            size * accelerator.gradient_accumulation_steps if size and is_shared else None
        ),
    )


def _updates(accelerator: Any, loader: Any, num_epochs: int) -> float | None:
    """Return the updates in some epochs; `None` for a stream of unknown length."""
    try:
        batches = len(loader)
    except TypeError:
        return None
    every = accelerator.gradient_accumulation_steps
    if accelerator.gradient_state.sync_with_dataloader:
        return -(-batches // every) * num_epochs
    return batches * num_epochs / every


def run_length_of(source: Any) -> NoReturn:
    """Refuse objects of Accelerate, none of which knows the length of a run.

    Raises:
        ScheduleError: Always; the message names the object to pass.
    """
    raise ScheduleError(
        f"{_with_article(source)} does not know the length of the run; pass "
        "nshtrainer.integrations.accelerate.run_length(accelerator, loader, num_epochs=...), or "
        "RunLength(total_steps=..., steps_per_epoch=...)"
    )


# -- moving a scheduler ----------------------------------------------------------------------------


@final
class UpdateScheduler:
    """A scheduler for Accelerate loops: one step per update, on any number of processes.

    Like Accelerate's own wrapper, `step` does nothing within an accumulation and after a skipped
    optimizer step. Accelerate's wrapper also steps the scheduler once for each process.

    Args:
        scheduler: The scheduler; other attributes are forwarded to it.
        optimizer: The scheduler's optimizer, as `accelerator.prepare` returned it.
    """

    _is_accelerate_prepared = True

    def __init__(self, scheduler: LRScheduler, optimizer: Any) -> None:
        self.scheduler = scheduler
        self.optimizer = optimizer

    def step(self, *args: Any) -> None:
        """Step the scheduler if the optimizer has made an update.

        Args:
            *args: The value of the metric, for a scheduler that monitors one.
        """
        if self.optimizer.gradient_state.sync_gradients and not self.optimizer.step_was_skipped:
            self.scheduler.step(*args)

    def __getattr__(self, name: str) -> Any:
        # A copy has no scheduler at first. By a special method of the scheduler (`__getstate__` in
        # Python 3.10) `copy` and `pickle` would take its state for the one of this object.
        if name == "scheduler" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.scheduler, name)


def prepare(accelerator: Any, *objects: Any) -> Any:
    """Prepare objects as `accelerator.prepare` does, with schedulers that step once per update.

    The state of the schedulers is part of what `accelerator.save_state` saves.

    Args:
        accelerator: The `Accelerator`.
        *objects: Models, optimizers, data loaders and schedulers, in any order; a scheduler
            together with its optimizer.

    Returns:
        The prepared objects in the same order; a single object without a tuple.

    Raises:
        ScheduleError: A scheduler is passed without its optimizer.
    """
    others = [each for each in objects if not _is_scheduler(each)]
    # Accelerate returns a tuple for several objects only.
    together = accelerator.prepare(*others) if len(others) > 1 else map(accelerator.prepare, others)
    prepared = iter(together)
    result = [each if _is_scheduler(each) else next(prepared) for each in objects]
    for place, each in enumerate(result):
        if _is_scheduler(each):
            scheduler = UpdateScheduler(each, _optimizer_of(each, result))
            result[place] = accelerator.prepare_scheduler(scheduler)
    return tuple(result) if len(result) > 1 else result[0]


def _is_scheduler(each: Any) -> bool:
    from torch.optim.lr_scheduler import LRScheduler

    return isinstance(each, LRScheduler)


def _optimizer_of(scheduler: Any, prepared: Sequence[Any]) -> Any:
    for each in prepared:
        if hasattr(each, "step_was_skipped") and each.optimizer is scheduler.optimizer:
            return each
    raise ScheduleError(
        f"{_with_article(scheduler)} was passed without its optimizer; prepare both together: "
        "nshtrainer.integrations.accelerate.prepare(accelerator, optimizer, scheduler)"
    )


def _with_article(thing: object) -> str:
    name = type(thing).__name__
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"
