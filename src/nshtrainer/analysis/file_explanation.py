"""Explanations of config files for a model: from code, from transformers, or from a list."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nshtrainer.analysis.advice import COMMAND_LINE
from nshtrainer.config.document import fail
from nshtrainer.config.messages import join_names
from nshtrainer.config.parts import parts_of
from nshtrainer.exceptions import ConfigError, OptimizerError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.project.find_configs import (
    lengths_in,
    optimizers_in,
    run_length,
    schedules_in,
    with_recorded_lengths,
)

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.analysis.explanation import Explanation
    from nshtrainer.config import Config
    from nshtrainer.project.user_code import UserCode

__all__ = ["ModelSource", "explain_config", "explain_module", "load_source", "read_config"]


class ModelSource(NamedTuple):
    """A model to explain.

    Args:
        name: The argument of the command line that names it.
        model: The model, or code whose model a file describes.
        notes: Facts that are missing.
    """

    name: str
    model: UserCode | Module
    notes: Sequence[str] = ()


def load_source(args: Namespace) -> ModelSource:
    """Load the model that the command line names.

    Raises:
        ConfigError: The command line names none or several, or its file is invalid.
    """
    given = [each for each in (args.code, args.parameters, args.transformers) if each]
    if len(given) != 1:
        found = f"got {join_names(given)}" if given else "got none"
        raise ConfigError(f"give one of train.py, --parameters and --transformers ({found})")
    if args.parameters:
        from nshtrainer.project.parameter_list import read_parameter_list

        return ModelSource(given[0], *read_parameter_list(args.parameters))
    if args.transformers:
        from nshtrainer.project.transformers_model import read_transformers_model

        return ModelSource(given[0], read_transformers_model(args.transformers))
    from nshtrainer.project.user_code import load_model

    return ModelSource(given[0], load_model(args.code))


def read_config(source: ModelSource, file: str, overrides: Sequence[str] = ()) -> Any:
    """Read a file for a model.

    Args:
        source: The model.
        file: A run file; unless the code has a `LightningModuleBase` also a file with an optimizer
            and a schedule, or the config of an optimizer.
        overrides: Values that take precedence over the file.

    Raises:
        ConfigError: The file is invalid; the message has the place.
    """
    from nshtrainer.config.io import read_document
    from nshtrainer.project.partial_check import read_loosely
    from nshtrainer.project.run_file import read_run
    from nshtrainer.project.user_code import UserCode

    if isinstance(source.model, UserCode):
        return read_run(read_document(file), source.model, overrides)
    return read_loosely(file, overrides)[0]


def explain_config(source: ModelSource, config: Any, file: str, args: Namespace) -> Explanation:
    """Explain the optimizer and the schedule of a file for a model.

    Args:
        source: The model.
        config: The file, as `read_config` returns it.
        file: The name of the file.
        args: The command line, with options for the length of the run.

    Raises:
        ConfigError: The file has no optimizer, or several.
        NshtrainerError: The optimizer does not fit the model.
    """
    from nshtrainer.project.user_code import UserCode

    args = with_recorded_lengths(args, file)
    if isinstance(source.model, UserCode):
        from nshtrainer.analysis.dry_run import dry_run

        return dry_run(source.model, config, lengths_in(args))
    from nshtrainer.analysis.explanation import explain_configs

    parts, run = _parts(config, file), run_length(config, args)
    notes = [*source.notes, *_unused(config)]
    try:
        return explain_configs(source.model, *parts, run, COMMAND_LINE, notes)
    except OptimizerError as error:
        raise OptimizerError("; ".join([str(error), *source.notes])) from error


def explain_module(source: ModelSource, args: Namespace) -> Explanation:
    """Explain the optimizers that a LightningModule builds in its `configure_optimizers`.

    Raises:
        ConfigError: The model has no optimizer of its own, or needs a file.
    """
    from lightning.pytorch import LightningModule

    from nshtrainer.analysis.dry_run import dry_run_module

    if not isinstance(source.model, LightningModule):
        fail(source.name, "the optimizer is unknown; give --config FILE")
    return dry_run_module(source.model, lengths_in(args))


def _parts(config: Config, file: str) -> tuple[OptimizerConfigBase, LRSchedulerConfigBase | None]:
    optimizers, schedules = optimizers_in(config), schedules_in(config)
    if len(optimizers) != 1 or len(schedules) > 1:
        found = f"{len(optimizers)} optimizers and {len(schedules)} schedules"
        fail(file, f"must have one optimizer and at most one schedule; it has {found}")
    return optimizers[0][1], schedules[0].schedule if schedules else None


def _unused(config: Config) -> Iterator[str]:
    """Yield a remark on hyperparameters in a run file: a model is built without them."""
    used = (LRSchedulerConfigBase, OptimizerConfigBase)
    keys = [
        key
        for key, part in parts_of(getattr(config, "model", None))
        if key and part is not None and not isinstance(part, used)
    ]
    if keys:
        yield f"model.{join_names(map(str, keys))}: not used, the code builds the model by itself"
