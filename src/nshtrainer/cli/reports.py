"""What a run says at its start and after each epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast, final

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from nshtrainer.cli.output import print_table
from nshtrainer.lr_scheduler.base import Track
from nshtrainer.lr_scheduler.driver import CurveScheduler
from nshtrainer.lr_scheduler.preview import describe_tracks
from nshtrainer.lr_scheduler.run_length import run_length_of
from nshtrainer.optimizer.base import OptimizerConfigBase

if TYPE_CHECKING:
    from nshtrainer.config import Config

__all__ = ["EpochLines", "Plan", "kept_options", "metrics_text", "plan_rows", "schedule_text"]

_COLUMNS = (
    "group",
    "optimizer",
    "implementation",
    "tensors",
    "parameters",
    "lr",
    "weight decay",
)

_CHOSEN_ANEW = frozenset({"foreach", "fused"})
"""What a loaded state does not overrule."""


@final
class Plan(Callback):
    """Prints what will be optimised how, before the first step."""

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a row for each parameter group, and the schedules."""
        if not trainer.is_global_zero:
            return
        print_table(_COLUMNS, plan_rows(trainer, pl_module))
        for config in trainer.lr_scheduler_configs:
            print(f"schedule  {schedule_text(config)}")
        total = run_length_of(trainer).total_steps
        print(f"steps     {'unknown' if total is None else total}\n", flush=True)


def plan_rows(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, ...]]:
    """A row for each parameter group, and one for trainable parameters that are in none."""
    left = {id(param): param for param in module.parameters() if param.requires_grad}
    for optimizer in trainer.optimizers:
        for index, group in enumerate(optimizer.param_groups):
            tensors = group["params"]
            for tensor in tensors:
                left.pop(id(tensor), None)
            yield (
                str(group.get("name", index)),
                type(optimizer).__name__,
                _implementation(group),
                str(len(tensors)),
                f"{sum(tensor.numel() for tensor in tensors):,}",
                _number(group.get("initial_lr", group.get("lr"))),
                _number(group.get("initial_weight_decay", group.get("weight_decay"))),
            )
    if left:
        count = sum(param.numel() for param in left.values())
        yield ("(in none)", "-", "-", str(len(left)), f"{count:,}", "-", "-")


def kept_options(checkpoint: Mapping[str, Any], hparams: Config) -> Iterator[str]:
    """A line for each option of an optimizer that a resumed run does not take from the file.

    The state of an optimizer holds its options, and torch loads them with it.
    """
    saved = _mapping(_mapping(checkpoint.get("hyper_parameters")).get("hparams"))
    for field, config in dict(hparams).items():
        old = _mapping(saved.get(field))
        if isinstance(config, OptimizerConfigBase) and old.get("name") == config.name:
            given = {k: v for k, v in config.to_dict().items() if k not in _CHOSEN_ANEW}
            for key in (key for key in given if old.get(key, given[key]) != given[key]):
                what = f"{field}.{key} stays {old[key]}, which the optimizer's state says"
                yield f"{what}; for {given[key]} start without --resume"


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _implementation(group: Mapping[str, Any]) -> str:
    """What computes the updates, as far as the group says."""
    if not group.keys() & {"foreach", "fused"}:
        return "its own"
    chosen = [flag for flag in ("fused", "foreach") if group.get(flag)]
    if chosen:
        return chosen[0]
    on_cpu = all(param.device.type == "cpu" for param in group["params"])
    # torch takes lists of tensors on an accelerator, unless it is told not to.
    return "plain" if on_cpu or group.get("foreach") is False else "foreach"


def _number(value: Any) -> str:
    return "-" if value is None else f"{float(value):g}"


def schedule_text(config: Any) -> str:
    """A schedule in a line: what it does, how often it moves, and what it looks at."""
    scheduler = config.scheduler
    driven = isinstance(scheduler, CurveScheduler)
    what = _curves_text(scheduler) if driven else type(scheduler).__name__
    often = config.interval if config.frequency == 1 else f"{config.frequency} {config.interval}s"
    looks = f", looks at {config.monitor}" if config.monitor else ""
    return f"{what}, by the {often}{looks}"


def _curves_text(scheduler: CurveScheduler) -> str:
    """The phases of each curve, and its last value, where all groups begin with the same."""
    tracks: list[Track] = []
    bases: dict[str, set[Any]] = {}
    for group in scheduler.optimizer.param_groups:
        for track in scheduler.plan.tracks(group, float(group["initial_lr"])):
            tracks += [track] if track not in tracks else []
            name = track.hyperparameter
            bases.setdefault(name, set()).add(group.get(f"initial_{name}"))
    known = {name: base for name, (base, *more) in bases.items() if base is not None and not more}
    run = scheduler.plan.run.but(base_lr=known.get("lr"))
    return describe_tracks(tracks, run, bases=known)


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
