"""What a run says at its start and after each epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast, final

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from nshtrainer.cli.differences import leaves
from nshtrainer.cli.explained import explained, print_explained
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer.grouping import GroupingConfigBase
from nshtrainer.run_length import run_length_of
from nshtrainer.text.files import write_file
from nshtrainer.text.json_format import write_json
from nshtrainer.text.problems import dotted

if TYPE_CHECKING:
    from pathlib import Path

    from nshtrainer.config import Config
    from nshtrainer.resume import ResumeConfig

__all__ = ["EpochLines", "Plan", "changed_options", "metrics_text"]

_CHOSEN_ANEW = frozenset({"capturable", "foreach", "fused", "include_frozen", "tensor_lr"})
"""What a loaded state does not overrule."""


@final
class Plan(Callback):
    """Says what will be optimised how, before the first step.

    Args:
        file: Where the same is written as JSON, if anywhere.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a row for each parameter group, and the schedules."""
        if not trainer.is_global_zero:
            return
        found = explained(
            pl_module,
            trainer.optimizers,
            trainer.lr_scheduler_configs,
            total_steps=run_length_of(trainer).total_steps,
        )
        print_explained(found)
        if self._file is not None:
            write_file(self._file, write_json(found.to_dict()))


def changed_options(
    checkpoint: Mapping[str, Any], hparams: Config, policy: ResumeConfig
) -> Iterator[str]:
    """A line for each option of an optimizer that differs between a checkpoint and the file.

    The state of an optimizer holds its options, and is loaded with them.

    Args:
        checkpoint: What the run goes on from.
        hparams: The hyperparameters in the file.
        policy: What is taken from the file all the same.
    """
    saved = _mapping(_mapping(checkpoint.get("hyper_parameters")).get("hparams"))
    for field, config in dict(hparams).items():
        old = _mapping(saved.get(field))
        if isinstance(config, OptimizerConfigBase) and old.get("name") == config.name:
            was = dict(leaves(old))
            for path, value in leaves(config.to_dict()):
                if path in was and was[path] != value and path[-1] not in _CHOSEN_ANEW:
                    where = dotted((field, *path))
                    yield f"{where} {was[path]} -> {value}: {_taken(path, policy)}"


def _taken(path: tuple[Any, ...], policy: ResumeConfig) -> str:
    """Where an option comes from, and what would take it from the file."""
    if path[-1] in policy.fields:
        return "taken from the config"
    if path[0] in GroupingConfigBase.model_fields and "options" not in path:
        return "parameter groups that the checkpoint knows keep their options"
    fields = ", ".join(map(str, [*policy.fields, path[-1]]))
    return (
        "taken from the checkpoint; for that of the config add "
        f"'trainer.resume={{policy: override, fields: [{fields}]}}'"
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


@final
class EpochLines(Callback):
    """A line of metrics an epoch, at most one a second: for output that is not a terminal."""

    def __init__(self) -> None:
        self._printed = 0.0

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print, unless that was just done."""
        now = time.monotonic()
        epochs = trainer.max_epochs if trainer.max_epochs not in (None, -1) else "?"
        done = trainer.current_epoch + 1
        if trainer.is_global_zero and (now - self._printed >= 1 or done == epochs):
            self._printed = now
            metrics = metrics_text(trainer.callback_metrics)
            print(f"epoch {done}/{epochs}  step {trainer.global_step}  {metrics}", flush=True)


def metrics_text(metrics: Mapping[str, Any]) -> str:
    """`train/loss 0.1234  val/accuracy 0.981`."""
    return "  ".join(f"{name} {float(value):.4g}" for name, value in metrics.items())
