"""Dry run: build the optimizers of a run without data or training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from nshtrainer.analysis.advice import COMMAND_LINE
from nshtrainer.analysis.explanation import Explanation, with_batch
from nshtrainer.analysis.summary import Sources, summarize
from nshtrainer.config.messages import dotted
from nshtrainer.exceptions import ConfigError, RunLengthError
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.integrations.lightning.trainer import Trainer
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.project.find_configs import optimizers_in
from nshtrainer.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.project.run_file import RunConfig
    from nshtrainer.project.user_code import UserCode
    from nshtrainer.run_length import RunLength

__all__ = ["build_trainer", "dry_run", "dry_run_module"]

_SUPPOSED = 1000
"""Assumed updates in an epoch if the number is unknown, so that the optimizers can be built."""


def dry_run(code: UserCode, config: RunConfig, lengths: RunLength) -> Explanation:
    """Build the module and its optimizers, and explain them.

    Schedules that need an unknown length are left out, with advice.

    Args:
        code: The user's classes.
        config: The file of the run.
        lengths: The lengths given on the command line.

    Raises:
        ConfigError: The trainer refuses its options.
        NshtrainerError: The optimizers cannot be built.
    """
    told = lengths.samples_per_step or getattr(config.model, "samples_per_step", None)
    missing: list[str] = []
    if told is None:
        lengths, missing = with_batch(config.model, lengths, COMMAND_LINE)
    trainer = _trainer(config.trainer, lengths)  # it sets the seed, so it comes first
    module = code.module(config.model)
    configs = [(dotted(path), each) for path, each in optimizers_in(config.model)]
    return _explained(trainer, module, config.trainer, lengths, missing, configs)


def dry_run_module(module: LightningModule, lengths: RunLength) -> Explanation:
    """Explain the optimizers that a module's own `configure_optimizers` builds.

    Args:
        module: The module.
        lengths: The lengths given on the command line.
    """
    options = TrainerConfig()
    return _explained(_trainer(options, lengths), module, options, lengths, [], [])


def _explained(
    trainer: Trainer,
    module: LightningModule,
    options: TrainerConfig,
    lengths: RunLength,
    missing: list[str],
    configs: Sequence[tuple[str, OptimizerConfigBase]],
) -> Explanation:
    known = True
    module = _built(trainer, module)
    try:
        _set_up(trainer, module, lengths.steps_per_epoch)
    except RunLengthError as error:
        problem = f"the schedule: {str(error).partition(';')[0]}"
        missing.append(f"{problem}; {COMMAND_LINE.steps}")
        known = False
        trainer = _trainer(options, lengths)
        _set_up(trainer, module, _SUPPOSED)
    schedulers = trainer.lr_scheduler_configs if known else ()
    sources = Sources(inventory(module), trainer.optimizers, schedulers, configs, module)
    found = summarize(
        sources,
        total_steps=run_length_of(trainer).total_steps if known else None,
        missing=missing,
        on_cpu=_on_cpu(options.accelerator),
    )
    return Explanation(**vars(found))


def _built(trainer: Trainer, module: LightningModule) -> LightningModule:
    """Return the module after `configure_model`, in the precision of the run."""
    module.trainer = trainer
    module.configure_model()
    trainer.strategy.precision_plugin.convert_module(module)
    return module


def _set_up(trainer: Trainer, module: LightningModule, steps_per_epoch: Any) -> None:
    """Build the optimizers of a module for a given number of updates per epoch."""
    loader = _Endless()
    if steps_per_epoch is not None:
        loader = _Batches(steps_per_epoch, _accumulation(trainer))
    vars(trainer.fit_loop)["_data_source"].instance = loader  # in place of `fit`
    module.trainer = trainer
    trainer.strategy.connect(module)
    trainer.strategy.setup_optimizers(trainer)


def _accumulation(trainer: Trainer) -> int:
    """Return the batches in one update of the first epoch."""
    callbacks: list[Any] = getattr(trainer, "callbacks", [])
    for each in callbacks:
        if isinstance(each, GradientAccumulationScheduler):
            return each.get_accumulate_grad_batches(0)
    return trainer.accumulate_grad_batches


def _trainer(options: TrainerConfig, lengths: RunLength) -> Trainer:
    """Return the file's trainer, on a CPU and without loggers and checkpoints."""
    changed: dict[str, Any] = {
        **_ELSEWHERE,
        "precision": options.precision if "true" in str(options.precision) else None,
    }
    if lengths.total_steps is not None:
        changed["max_steps"] = lengths.total_steps
    trainer = build_trainer(options, **changed)
    for name in ("samples_per_step", "tokens_per_step"):
        if getattr(lengths, name) is not None:
            setattr(trainer, name, getattr(lengths, name))
    return trainer


def build_trainer(options: TrainerConfig, **changes: Any) -> Trainer:
    """Build the trainer of a file.

    Args:
        options: The options in the file.
        **changes: Arguments of the trainer that override the options.

    Raises:
        ConfigError: Lightning refuses them.
    """
    try:
        return Trainer(options, **changes)
    except (ValueError, MisconfigurationException) as error:
        raise ConfigError(f"invalid trainer options: {error}") from error
    except RuntimeError as error:
        if not str(error).startswith("Found more than one stateful callback"):
            raise
        what = str(error).partition("`")[2].partition("`")[0]
        text = f"trainer.callbacks: several of {what} cannot be told apart in a checkpoint"
        raise ConfigError(f"{text}; remove one of them, or let them differ") from error


_ELSEWHERE = {
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1,
}
"""Trainer options that choose hardware and logging and do not affect the optimizers."""


class _Endless:
    """Data of unknown length."""

    def __iter__(self) -> Iterator[None]:
        return iter(())


class _Batches(_Endless):
    """Data with a given number of updates."""

    def __init__(self, steps: float, accumulation: int) -> None:
        self._number = round(steps * accumulation)

    def __len__(self) -> int:
        return self._number


def _on_cpu(accelerator: Any) -> bool:
    """Return True if a run with this setting trains on a CPU."""
    if accelerator == "auto":
        return not (CUDAAccelerator.is_available() or MPSAccelerator.is_available())
    return accelerator == "cpu"
