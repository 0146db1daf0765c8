"""Hyperparameters of a resumed run with the values that were kept from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pydantic import ValidationError

from nshtrainer.config import Config
from nshtrainer.config.files import kind_of
from nshtrainer.config.parts import find_fields
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer_record import record_of
from nshtrainer.resume import as_data, differing, with_values

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["adopt_kept_values"]

_ADOPTED = "_adopted_values"
"""Attribute of a module: the config of the optimizer whose values it has."""

T = TypeVar("T", bound=Config)
Data = dict[str, Any]


def adopt_kept_values(trainer: pl.Trainer, module: pl.LightningModule) -> bool:
    """Set the hyperparameters of a module to the values that train it, once they are loaded.

    A resume policy may keep values of a checkpoint that the hyperparameters do not have.
    Checkpoints and records of the run would otherwise contain what was not run.

    Args:
        trainer: The trainer, at the start of training or later.
        module: Its module; only hyperparameters with one optimizer are compared.

    Returns:
        True if a value has changed.
    """
    hparams = cast("Any", module).hparams
    if not isinstance(hparams, Config):
        return False
    changed: dict[str, Config] = {}
    for name, config in _only(hparams, OptimizerConfigBase, trainer.optimizers):
        changed[name] = _of_optimizer(config, trainer.optimizers[0], module)
    schedulers = [each.scheduler for each in trainer.lr_scheduler_configs]
    for name, config in _only(hparams, LRSchedulerConfigBase, schedulers):
        changed[name] = _of_schedule(config, schedulers[0])
    if all(getattr(hparams, name) == config for name, config in changed.items()):
        return False
    try:
        vars(module)["_config"] = hparams.replace(**changed)
    except ValidationError:  # the field does not take the kept class
        return False
    _log_again(trainer, changed)
    return True


def _log_again(trainer: pl.Trainer, changed: Mapping[str, Config]) -> None:
    """Log the changed hyperparameters again with loggers that can replace values."""
    for logger in trainer.loggers:
        if not isinstance(logger, (CSVLogger, TensorBoardLogger, WandbLogger)):
            continue
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
            # Lightning does not replace the file.
            file = Path(logger.log_dir, logger.NAME_HPARAMS_FILE)
            if kind_of(file) == "file":
                file.unlink()
        logger.log_hyperparams({name: config.to_dict() for name, config in changed.items()})
        logger.save()


def _only(hparams: Config, kind: type[T], built: list[Any]) -> list[tuple[str, T]]:
    """Return the field of a kind if there is one, and one object was built."""
    found = find_fields(hparams, kind)
    return [*found.items()] if len(found) == len(built) == 1 else []


def _of_optimizer(
    config: OptimizerConfigBase, optimizer: Any, module: pl.LightningModule
) -> OptimizerConfigBase:
    hooks = record_of(getattr(optimizer, "optimizer", optimizer)).state_hooks
    own, saved = as_data(config), hooks and hooks.in_force
    if own is None or not saved or vars(module).get(_ADOPTED) is saved:
        return config
    vars(module)[_ADOPTED] = saved
    built = as_data(hooks.config) or own
    if built["name"] != saved["name"]:  # another class takes over the options that it has
        common = own.keys() & saved.keys() - {"name"}
        return _rebuilt(config, {**own, **{key: saved[key] for key in common}})
    changes = [(each.path, each.own) for each in differing(built, saved)]
    # Which groups there are is the config's; those that the checkpoint knows keep their options.
    kept = [each for each in changes if "groups" not in each[0] or "options" in each[0]]
    values = [(path, _unscaled(own, built, path, value)) for path, value in kept]
    return _rebuilt(config, with_values(own, values))


def _unscaled(own: Any, built: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a value in the units of the file: `lr_scaling` multiplies the rates by a factor."""
    for key in path:
        own, built = own[key], built[key]
    is_scaled = own != built and isinstance(own, float) and isinstance(value, float)
    return value * own / built if is_scaled else value


def _of_schedule(config: LRSchedulerConfigBase, scheduler: Any) -> LRSchedulerConfigBase:
    if isinstance(scheduler, CurveScheduler):
        return scheduler.plan.config or config
    # Other schedulers have restored the options in their own state.
    own, state = as_data(config) or {}, scheduler.state_dict()
    kept = {key: state[key] for key in own.keys() & state.keys()}
    return _rebuilt(config, {**own, **{k: v for k, v in kept.items() if type(v) is type(own[k])}})


def _rebuilt(config: T, data: Data) -> T:
    try:
        return config if data == as_data(config) else type(config).from_mapping(data)
    except ConfigError:  # the values of the checkpoint do not fit each other here
        return config
