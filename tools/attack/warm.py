"""What is the same for all attempts, done in the process that they are forked from.

Most of the time of a short run goes into the schema of its config. Here each has that of the
trainer, so that there are more attempts, and most of the signals come while something happens.
"""

from __future__ import annotations

from typing import Any

from nshtrainer import Config
from nshtrainer.cli.project.run_file import RunConfig
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig, TrainerConfig


class _Whole(Config):
    """Every class of a run."""

    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig
    trainer: TrainerConfig


_Whole.json_schema()
_SCHEMA = TrainerConfig.json_schema()


def _json_schema(_cls: type[Config]) -> dict[str, Any]:
    return _SCHEMA


setattr(RunConfig, "json_schema", classmethod(_json_schema))  # noqa: B010 - not for type checkers
