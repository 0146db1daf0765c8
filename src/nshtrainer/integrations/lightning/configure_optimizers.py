"""Optimizer and scheduler from the fields of a module's hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info

from nshtrainer.config.parts import find_fields
from nshtrainer.exceptions import OptimizerError, ScheduleError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
from nshtrainer.optimizer.base import OptimizerConfigBase, innermost
from nshtrainer.optimizer.build import build_optimizer
from nshtrainer.optimizer.groups.scaling import batch_size_of
from nshtrainer.optimizer.routed_config import RoutingConfigBase
from nshtrainer.optimizer.wrappers.config import WrappingConfigBase

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from nshtrainer.config import Config

__all__ = ["configure_optimizers", "current_rate", "with_rate"]


def configure_optimizers(module: LightningModule, hparams: Config) -> OptimizerLRScheduler:
    """Create the optimizer and the scheduler of the hyperparameters, in Lightning's form.

    The fields are found by the type of their values, not by their names.

    Raises:
        OptimizerError: Not exactly one field holds an optimizer config, or it has no parameters.
        ScheduleError: More than one field holds a scheduler config.
    """
    config = _find_optimizer(hparams)
    optimizer = build_optimizer(config, module)
    within = innermost(config)
    if isinstance(within, RoutingConfigBase):
        rank_zero_info("\n".join(["Optimizers and their parameters:", within.describe(module)]))
    scheduler = _find_scheduler(hparams)
    if scheduler is None:
        return optimizer
    return {"optimizer": optimizer, "lr_scheduler": scheduler.create_scheduler(optimizer, module)}


def current_rate(hparams: Config, module: LightningModule | None = None) -> float:
    """Return the learning rate in the optimizer's config, else in the hyperparameters' field `lr`.

    Args:
        hparams: The hyperparameters.
        module: The module of the hyperparameters; `lr_scaling` is applied if its batch is known.

    Raises:
        AttributeError: There is no learning rate, or more than one optimizer.
    """
    config = innermost(_rate_holder(hparams)[1])
    return config.lr * _batch_factor(config, module)


def with_rate(hparams: Any, rate: float, module: LightningModule | None = None) -> Any:
    """Return the hyperparameters with another learning rate.

    Args:
        hparams: The hyperparameters.
        rate: The rate.
        module: The module of the hyperparameters; if its batch is known, `rate` is the rate of the
            updates, and the config gets the rate before `lr_scaling`.

    Raises:
        AttributeError: The hyperparameters have no learning rate.
        ValidationError: The rate is out of range.
    """
    name, holder = _rate_holder(hparams)
    changed = _at_rate(holder, rate / _batch_factor(innermost(holder), module))
    return hparams.replace(**{name: changed}) if name else changed


def _at_rate(config: Any, rate: float) -> Any:
    if isinstance(config, WrappingConfigBase):
        return config.replace(optimizer=_at_rate(config.optimizer, rate))
    return config.replace(lr=float(rate))


def _batch_factor(config: Any, module: LightningModule | None) -> float:
    """Return the factor of `lr_scaling` on the rate; 1 while the batch is unknown."""
    scaling = getattr(config, "lr_scaling", None)
    if scaling is None or module is None:
        return 1.0
    try:
        return scaling.factor(batch_size_of(None, module))
    except OptimizerError:
        return 1.0


def _rate_holder(hparams: Config) -> tuple[str, Config]:
    """Return the config with a field `lr`, and its key ("" for the hyperparameters themselves)."""
    found = find_fields(hparams, OptimizerConfigBase)
    holders: list[Config] = [innermost(each) for each in found.values()]
    if len(holders) == 1 and "lr" in type(holders[0]).model_fields:
        return next(iter(found.items()))
    if not found and "lr" in type(hparams).model_fields:
        return "", hparams
    for name, config in ((name, innermost(config)) for name, config in found.items()):
        if isinstance(config, RoutingConfigBase):
            routes = ", ".join(route.name for route in config.all_routes())
            raise AttributeError(  # noqa: TRY004 - what `hasattr` understands
                f"{type(config).__name__} has one learning rate per route ({routes}), so a finder "
                f"cannot set one for all; set them under {name!r}"
            )
    raise AttributeError(
        f"{type(hparams).__name__} has no single learning rate; add exactly one field with an "
        "optimizer that has an lr, or a field lr (fields with an optimizer: "
        f"{', '.join(found) or 'none'})"
    )


def _find_optimizer(hparams: Config) -> OptimizerConfigBase:
    found = find_fields(hparams, OptimizerConfigBase)
    if len(found) == 1:
        return next(iter(found.values()))
    problem = (
        "the choice is ambiguous;"
        if found
        else "no optimizer is configured; add a field `optimizer: OptimizerConfig`, or"
    )
    raise OptimizerError(
        f"{type(hparams).__name__} has {len(found)} fields with an optimizer config "
        f"({', '.join(found) or 'none'}), so {problem} write configure_optimizers in the module"
    )


def _find_scheduler(hparams: Config) -> LRSchedulerConfigBase | None:
    found = find_fields(hparams, LRSchedulerConfigBase)
    if len(found) > 1:
        raise ScheduleError(
            f"{type(hparams).__name__} has {len(found)} fields with a scheduler config "
            f"({', '.join(found)}), so the choice is ambiguous; write configure_optimizers in the "
            "module"
        )
    return next(iter(found.values()), None)
