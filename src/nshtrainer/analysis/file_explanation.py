"""Explanations of config files for a model: from code, from transformers, or from a list."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nshtrainer.config.document import fail
from nshtrainer.config.messages import join_names
from nshtrainer.exceptions import ConfigError, OptimizerError
from nshtrainer.project.find_configs import lengths_in, optimizers_in, run_length, schedules_in

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.analysis.explanation import Explanation
    from nshtrainer.config import Config
    from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase
    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.project.user_code import UserCode

__all__ = ["ModelSource", "explain_file", "load_source"]


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


def explain_file(
    source: ModelSource, file: str | None, args: Namespace, overrides: Sequence[str] = ()
) -> Explanation:
    """Explain the optimizer and the schedule of a file for a model.

    Args:
        source: The model.
        file: A run file, a file with an optimizer and a schedule, or the config of an optimizer;
            None for the `configure_optimizers` of a LightningModule.
        args: The command line, with options for the length of the run.
        overrides: Values that take precedence over the file.

    Raises:
        ConfigError: The file is invalid, or has no optimizer or several.
        NshtrainerError: The optimizer does not fit the model.
    """
    from nshtrainer.project.user_code import UserCode

    if isinstance(source.model, UserCode):
        return _of_run(source.model, file, args, overrides)
    if file is None:
        return _of_itself(source, source.model, args)
    from nshtrainer.analysis.dry_run import COMMAND_LINE
    from nshtrainer.analysis.explanation import explain_configs
    from nshtrainer.project.partial_check import read_loosely

    config, _ = read_loosely(file, overrides)
    parts = _parts(config, file)
    try:
        return explain_configs(
            source.model, *parts, run_length(config, args), COMMAND_LINE, source.notes
        )
    except OptimizerError as error:
        raise OptimizerError("; ".join([str(error), *source.notes])) from error


def _of_run(
    code: UserCode, file: str | None, args: Namespace, overrides: Sequence[str]
) -> Explanation:
    from nshtrainer.analysis.dry_run import dry_run
    from nshtrainer.config.io import read_document
    from nshtrainer.project.run_file import read_run

    if file is None:
        name = code.module.__name__
        fail(str(code.path), f"{name} is built from a run file; give --config FILE")
    return dry_run(code, read_run(read_document(file), code, overrides), lengths_in(args))


def _of_itself(source: ModelSource, model: Module, args: Namespace) -> Explanation:
    from lightning.pytorch import LightningModule

    from nshtrainer.analysis.dry_run import dry_run_module

    if not isinstance(model, LightningModule):
        fail(source.name, "has no optimizer of its own; give --config FILE")
    return dry_run_module(model, lengths_in(args))


def _parts(config: Config, file: str) -> tuple[OptimizerConfigBase, LRSchedulerConfigBase | None]:
    optimizers, schedules = optimizers_in(config), schedules_in(config)
    if len(optimizers) != 1 or len(schedules) > 1:
        found = f"{len(optimizers)} optimizers and {len(schedules)} schedules"
        fail(file, f"must have one optimizer and at most one schedule; it has {found}")
    return optimizers[0][1], schedules[0].schedule if schedules else None
