"""Validation of the entries of a loaded checkpoint before Lightning reads them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, cast

import lightning
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.connectors.checkpoint_connector import (
    _CheckpointConnector,  # pyright: ignore[reportPrivateUsage]
)
from packaging.version import InvalidVersion
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from typing_extensions import override

from nshtrainer.config.messages import dotted
from nshtrainer.exceptions import CheckpointError, NshtrainerError
from nshtrainer.lr_scheduler.driver.saved_state import find_faults, find_metric_faults, is_of_driver
from nshtrainer.structure import describe_form, find_misfits

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = [
    "check_checkpoints_of",
    "check_entries",
    "check_loaded",
    "check_scheduler_states",
    "refuse_entry",
]

Path = tuple[Any, ...]

_FORM: dict[str, Any] = {
    "epoch": 0,
    "global_step": 0,
    "pytorch-lightning_version": "",
    "state_dict": {},
    "loops": {},
    "callbacks": {},
    "hyper_parameters": {},
    "optimizer_states": [{}],
    "lr_schedulers": [{}],
}
"""The form of the entries that Lightning reads in every checkpoint."""

_MOST_OF_64_BITS = 2**63
"""Upper bound of numbers: larger ones exceed 64 bits and cannot be compared with tensors."""

_MOST = 2**53
"""Upper bound of counts."""

_STEPS = (
    ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total", "completed"),
    ("epoch_loop.manual_optimization.optim_step_progress", "total", "completed"),
)
"""The loop's counters of steps."""

_OF_LIGHTNING = ("lightning", "nshtrainer", "pytorch_lightning")
"""Packages of callbacks whose states keep their form during a run."""


def check_checkpoints_of(trainer: pl.Trainer) -> None:
    """Make a trainer check each checkpoint that it resumes from."""
    connector: Any = trainer._checkpoint_connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    connector.__class__ = _CheckingConnector


def check_loaded(trainer: pl.Trainer, checkpoint: Any) -> None:
    """Check a checkpoint that a trainer has loaded, unless the trainer checks it itself.

    Args:
        trainer: Any Lightning trainer; it checks later checkpoints itself.
        checkpoint: The loaded checkpoint, before any callback or loop has restored its state.

    Raises:
        CheckpointError: An entry is damaged; the message names it.
    """
    connector = trainer._checkpoint_connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if not isinstance(connector, _CheckingConnector):
        check_checkpoints_of(trainer)
        if trainer.state.fn == "fit":
            check_entries(trainer, checkpoint)


class _CheckingConnector(_CheckpointConnector):
    """Lightning's checkpoint connector, whose errors name the damaged entry."""

    @override
    def resume_start(self, checkpoint_path: Any = None, weights_only: bool | None = None) -> None:
        try:
            with _needed("pytorch-lightning_version"):
                super().resume_start(checkpoint_path, weights_only=weights_only)
        except (InvalidVersion, TypeError) as error:
            refuse_entry("pytorch-lightning_version", f"is not a version ({error})", error)
        if self._loaded_checkpoint and self.trainer.state.fn == "fit":
            check_entries(self.trainer, self._loaded_checkpoint)

    @override
    def restore_model(self) -> None:
        with _needed("state_dict"):
            super().restore_model()

    @override
    def restore_callbacks(self) -> None:
        with _named("callbacks"):
            super().restore_callbacks()

    @override
    def restore_loops(self) -> None:
        with _named("loops"):
            super().restore_loops()

    @override
    def restore_optimizers_and_schedulers(self) -> None:
        needed = ["lr_schedulers"]
        if self.trainer.strategy.lightning_restore_optimizer:
            needed.insert(0, "optimizer_states")
        for entry in needed:
            if self._loaded_checkpoint and entry not in self._loaded_checkpoint:
                refuse_entry(entry, "is missing, as in a weights-only checkpoint")
        super().restore_optimizers_and_schedulers()


@contextmanager
def _needed(entry: str) -> Generator[None]:
    """Name a missing entry for which Lightning raises a `KeyError`."""
    try:
        yield
    except KeyError as error:
        if error.args != (entry,):
            raise
        refuse_entry(entry, "is missing", error)


@contextmanager
def _named(entry: str) -> Generator[None]:
    """Add the name of an entry to an exception that Lightning raises when it loads the entry."""
    try:
        yield
    except NshtrainerError:  # more specific, and may be a `ValueError`
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        refuse_entry(entry, f"cannot be loaded ({type(error).__name__}: {error})", error)


def check_entries(trainer: pl.Trainer, checkpoint: Any) -> None:
    """Check that the entries of a checkpoint have the form of those that this run would save.

    Missing entries are left to Lightning, which reads checkpoints of older releases.

    Args:
        trainer: The trainer that resumes.
        checkpoint: The loaded checkpoint.

    Raises:
        CheckpointError: An entry has another form; the message names it.
    """
    fit_loop: Any = trainer.fit_loop
    loops: Any = {"fit_loop": fit_loop.state_dict()}
    found = [*_misfits(checkpoint, _FORM), *_misfits_of_loops(checkpoint, loops)]
    for path, problem in found:
        refuse_entry(dotted(path), problem)
    saved: dict[str, Any] = checkpoint.get("loops") or loops
    if "epoch_progress" not in saved.get("fit_loop", ()):  # Lightning would start again
        refuse_entry("loops.fit_loop", "has no epoch_progress")
    for path, count in _numbers(saved, ("loops",)):
        if not 0 <= count < _MOST or not float(count).is_integer():
            refuse_entry(dotted(path), f"is {count}, not a count")
    _check_steps(saved["fit_loop"], checkpoint.get("global_step"))
    _check_weights(trainer, checkpoint.get("state_dict", {}))
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    for callback in callbacks:
        if type(callback).__module__.partition(".")[0] in _OF_LIGHTNING:
            _check_callback(callback, checkpoint.get("callbacks", {}))


def _misfits_of_loops(checkpoint: Mapping[str, Any], own: Any) -> Iterator[tuple[Path, str]]:
    """Yield problems of the loops; other Lightning releases may save fewer entries."""
    saved: Any = checkpoint.get("loops")
    is_same = checkpoint.get("pytorch-lightning_version") == lightning.__version__
    if is_same and isinstance(saved, Mapping) and saved:
        return find_misfits(saved, own, ("loops",))
    return _misfits(saved, own, ("loops",))


def _check_steps(loop: Mapping[str, Any], step: int | None) -> None:
    """Check that the number of steps in the loop equals that of the checkpoint."""
    counts: list[int] = []
    for path in _STEPS:
        count: Any = loop
        for key in path:
            count = count.get(key, {})
        counts.append(count or 0)
    if step is not None and step not in {*counts, sum(counts)}:
        refuse_entry("loops.fit_loop", f"counts {max(counts)} steps, but global_step is {step}")


def _check_weights(trainer: pl.Trainer, saved: Mapping[str, Any]) -> None:
    """Check the dtypes and layouts of weights: PyTorch compares only shapes, and casts the rest."""
    for name, own in trainer.lightning_module.state_dict().items():
        value = saved.get(name, own)
        if isinstance(own, Tensor) and not isinstance(value, Tensor):
            refuse_entry(f"state_dict.{name}", f"is {describe_form(value)}, not a tensor")
        if isinstance(own, Tensor) and _kind_of(value) != _kind_of(own):
            problem = f"has {_kind_of(value)} numbers, not {_kind_of(own)} ones"
            refuse_entry(f"state_dict.{name}", problem)


def _kind_of(tensor: Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    return "float" if tensor.is_floating_point() else "whole"


def _check_callback(callback: Callback, states: Mapping[str, Any]) -> None:
    key = callback.state_key
    state, path = states.get(key, {}), ("callbacks", key)
    own = callback.state_dict()
    for where, problem in _misfits(state, own, path):
        refuse_entry(dotted(where), problem)
    given: Mapping[str, Any] = state or {}
    for entry, value in own.items():
        if isinstance(value, Tensor) and not isinstance(given.get(entry, value), Tensor):
            refuse_entry(dotted((*path, entry)), "is a number, not a tensor")
    for where, number in _numbers(given, path):
        if isinstance(number, int) and abs(number) >= _MOST_OF_64_BITS:
            refuse_entry(dotted(where), "is a number of more than 64 bits")
    if isinstance(callback, ModelCheckpoint) and state:
        _check_best(given, callback.save_top_k, path)


def _check_best(state: Mapping[str, Any], kept: int, path: Path) -> None:
    """Check that the scores of the best checkpoints are valid and contain the worst of them."""
    best: dict[str, Any] = state.get("best_k_models", {})
    for file, score in best.items():
        for where, problem in _misfits(score, 0.0, (*path, "best_k_models", file)):
            refuse_entry(dotted(where), problem)
    if (last := state.get("kth_best_model_path", "")) not in {"", *best}:
        refuse_entry(
            dotted((*path, "kth_best_model_path")), f"is {last!r}, which is not among the best"
        )
    if 0 < kept <= len(best) and not last:
        refuse_entry(dotted((*path, "kth_best_model_path")), "is missing")


def check_scheduler_states(schedulers: list[Any], states: Any) -> None:
    """Check that the states of schedulers have the form of those that the schedulers would save.

    Args:
        schedulers: The schedulers that load the states, or `None` if there is none of this kind.
        states: The states, in the same order.

    Raises:
        CheckpointError: An entry has another form; the message names it.
    """
    for place, (scheduler, state) in enumerate(zip(schedulers, states, strict=False)):
        own: dict[str, Any] = {"last_epoch": 0} if scheduler is None else scheduler.state_dict()
        here = ("lr_schedulers", place)
        for path, problem in _misfits(state, {**own, "config": {}, "run": {}}, here):
            refuse_entry(dotted(path), problem)
        for path, problem in find_faults(state) if is_of_driver(state) else ():
            refuse_entry(dotted((*here, *path)), problem)
        if isinstance(scheduler, ReduceLROnPlateau):
            for path, problem in find_metric_faults(scheduler, state, here):
                refuse_entry(dotted(path), problem)
        if state.get("last_epoch", 0) < 0:
            refuse_entry(f"lr_schedulers.{place}.last_epoch", f"is {state['last_epoch']}, below 0")


def _misfits(saved: Any, own: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    found = find_misfits({} if saved is None and path else saved, own, path)
    return (each for each in found if each[1] != "is missing")


def _numbers(value: Any, path: Path) -> Iterator[tuple[Path, float]]:
    if isinstance(value, Mapping):
        for key, part in cast("Mapping[Any, Any]", value).items():
            if key != "combined_loader":
                yield from _numbers(part, (*path, key))
    elif isinstance(value, (int, float)):
        yield path, value


def refuse_entry(entry: str, problem: str, error: Exception | None = None) -> NoReturn:
    """Raise an error that names a damaged entry of a checkpoint.

    Raises:
        CheckpointError: Always.
    """
    raise CheckpointError(
        f"the checkpoint is damaged: {entry} {problem}; resume from another checkpoint"
    ) from error
