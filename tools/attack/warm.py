"""Preparation of the process from which all runs are forked."""

from __future__ import annotations

from typing import Any

from nshtrainer import Config
from nshtrainer.cli.project.run_file import RunConfig
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig, TrainerConfig

__all__ = ["write_small_schemas"]


class _Whole(Config):
    """A model, data and trainer that use every class of a run."""

    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig
    trainer: TrainerConfig


_Whole.json_schema()
_SCHEMA = TrainerConfig.json_schema()


def write_small_schemas() -> None:
    """Put the schema of the trainer beside each run of this process, in place of its own.

    Most of the time of a short run goes into the schema of its config. Without it there are more
    attempts, and most of the signals come while something happens.
    """

    def json_schema(_cls: type[Config]) -> dict[str, Any]:
        return _SCHEMA

    setattr(RunConfig, "json_schema", classmethod(json_schema))  # noqa: B010 - not for type checkers
