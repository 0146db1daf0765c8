"""Callback that writes the manifest of a run."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from typing_extensions import override

from nshtrainer.config import Config
from nshtrainer.config.file_lock import AlreadyLockedError, hold
from nshtrainer.config.messages import truncate
from nshtrainer.console import say
from nshtrainer.exceptions import ConfigError
from nshtrainer.integrations.lightning.checkpoint.in_force import adopt_kept_values
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.manifest import (
    LOCK,
    Outcome,
    RunRecord,
    Stretch,
    git_state,
    lock_owner,
    relative_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RunManifest", "code_file", "code_of"]


class RunManifest(Callback):
    """Callback that writes `manifest.json`: what ran, with which code, and how it ended.

    The file has the command, the hyperparameters, the commit of the code, the versions of
    packages, the devices, the seed, the times and the outcome. `nshtrainer runs` lists and compares
    the folders that have one; `nshtrainer fit` writes it without this callback.

    Args:
        folder: The folder of the run; by default, the one that Lightning saves checkpoints of the
            run below: that of the first logger's version, else `default_root_dir`.

    >>> import lightning.pytorch as pl
    >>> trainer = pl.Trainer(callbacks=[RunManifest()], accelerator="cpu", logger=False)
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._given = folder
        self._record: RunRecord | None = None
        self._lock = ExitStack()
        self._resumes = self._waits = False

    # -- the file ------------------------------------------------------------------------------

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note that the run resumes: until it trains, the manifest is that of the run before."""
        self._resumes = trainer.state.fn == "fit"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the manifest of a new run."""
        if not self._resumes:
            self._begin(trainer, pl_module)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for the first batch; a resumed run may have nothing left to train."""
        self._waits = trainer.is_global_zero

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write what trains, now that a checkpoint has been loaded."""
        if not self._waits:
            return
        self._waits = False
        adopt_kept_values(trainer, pl_module)
        if self._resumes and self._record is None:
            self._begin(trainer, pl_module)

        def update(record: RunRecord) -> None:
            step = trainer.global_step
            config = self.config_of(trainer, pl_module)
            record.update(config, lengths=_lengths(trainer), first_step=step, steps=step)

        self._write(update)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the number of steps and the metrics that a killed run leaves."""
        self._write(lambda record: record.update(**_results(trainer)))

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write that the run failed, or was interrupted."""
        if trainer.state.fn == "fit" and self._record is None and not self._resumes:
            self._begin(trainer, pl_module)
        if isinstance(exception, Exception):
            error = f"{type(exception).__name__}: {exception}".removesuffix(": ")
            self._end(trainer, "failed", truncate(error, 500))
        else:
            self._end(trainer, "interrupted")

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write that the run is complete."""
        self._end(trainer, "completed")

    def _begin(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if getattr(trainer, "fast_dev_run", False) or not trainer.is_global_zero:
            return
        folder = self._folder_of(trainer)
        if folder is None:
            say("no manifest is written: the folder of the run is not local", sys.stderr)
            return
        seed = os.environ.get("PL_GLOBAL_SEED", "")
        stretch = Stretch.now(
            code=code_of(type(module)),
            git=git_state(code_file(type(module))),
            devices=_devices(trainer),
            seed=int(seed) if seed.isdecimal() else None,
            **self.facts(),
        )

        def begin(record: RunRecord) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock(folder)
            record.begin(stretch, self.config_of(trainer, module))

        self._record = RunRecord(folder)
        self._write(begin)

    def _end(self, trainer: pl.Trainer, outcome: Outcome, error: str | None = None) -> None:
        self._write(lambda record: record.end(outcome, error, **_results(trainer)))
        self._record, self._resumes = None, False
        self._lock.close()

    def _write(self, act: Callable[[RunRecord], None]) -> None:
        """Write the file; if that fails, print a line and continue the run."""
        if self._record is None:
            return
        try:
            act(self._record)
        except (ConfigError, OSError, ValueError) as error:
            say(f"no manifest is written: {error}", sys.stderr)
            self._record = None

    # -- facts of the run ----------------------------------------------------------------------

    def _folder_of(self, trainer: pl.Trainer) -> Path | None:
        """Return the folder of the run; None if it is not local."""
        logger = next(iter(trainer.loggers), None)
        root = self._given or (logger and logger.save_dir) or trainer.default_root_dir
        if "://" in str(root):
            return None
        if self._given is not None or logger is None:
            return Path(root)
        version = logger.version
        name = version if isinstance(version, str) else f"version_{version}"
        return Path(root, str(logger.name or ""), name)

    def lock(self, folder: Path) -> None:
        """Hold the lock that tells a running process from a killed one."""
        with suppress(AlreadyLockedError):  # by another trainer, which goes on
            self._lock.enter_context(hold(folder / LOCK, lock_owner()))

    def facts(self) -> dict[str, Any]:
        """Return fields of the manifest that the trainer does not know."""
        return {}

    def config_of(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        """Return the resolved config: hyperparameters, and the main options of the trainer."""
        data: Any = getattr(trainer, "datamodule", None)
        found: dict[str, Any] = {"model": _plain(_hparams(module))}
        if data is not None and _hparams(data):
            found["data"] = _plain(_hparams(data))
        own: Any = getattr(trainer, "config", None)
        names = ("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val")
        options = {name: getattr(trainer, name) for name in (*names, "precision")}
        return {**found, "trainer": _plain(own if isinstance(own, Config) else options)}


def code_file(cls: type) -> Path | None:
    """Return the file of a class; None if it was defined in a notebook or an interpreter."""
    try:
        path = Path(inspect.getfile(cls))
    except (OSError, TypeError):
        return None
    return path if path.is_file() else None


def code_of(cls: type) -> str:
    """Return the file and the name of a class, such as `train.py:MyModel`."""
    file = code_file(cls)
    return f"{relative_path(file) if file else cls.__module__}:{cls.__qualname__}"


def _lengths(trainer: pl.Trainer) -> dict[str, Any]:
    """Return the lengths of the run, and the one that its only schedule was resolved for."""
    run = run_length_of(trainer)
    schedulers = [each.scheduler for each in trainer.lr_scheduler_configs]
    plans = [each.plan for each in schedulers if isinstance(each, CurveScheduler)]
    return {
        "total_steps": run.total_steps,
        "steps_per_epoch": run.steps_per_epoch,
        # A resume may keep the schedule of a shorter run.
        "schedule_steps": plans[0].run.total_steps if len(plans) == 1 else None,
    }


def _devices(trainer: pl.Trainer) -> dict[str, Any]:
    device = trainer.strategy.root_device
    found = {
        "type": device.type,
        "count": trainer.num_devices,
        "nodes": trainer.num_nodes,
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
    }
    if device.type != "cuda":
        return found
    import torch

    return {**found, "name": torch.cuda.get_device_name(device)}


def _results(trainer: pl.Trainer) -> dict[str, Any]:
    return {
        "steps": trainer.global_step,
        "metrics": {name: _finite(value) for name, value in trainer.callback_metrics.items()},
        "best": dict(_best(trainer)),
    }


def _best(trainer: pl.Trainer) -> Iterator[tuple[str, float | None]]:
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    for callback in callbacks:
        if isinstance(callback, EarlyStopping):
            score = _finite(callback.best_score)
            # It begins with Inf, before the metric is logged.
            if score is not None or callback.monitor in trainer.callback_metrics:
                yield callback.monitor, score
        elif isinstance(callback, ModelCheckpoint) and callback.monitor:
            best = callback.best_model_score
            yield from () if best is None else [(callback.monitor, _finite(best))]


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _hparams(part: Any) -> Any:
    return getattr(part, "hparams", None) or {}


def _plain(value: Any) -> Any:
    """Return plain data for JSON; text for other objects."""
    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): _plain(part) for key, part in items}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in cast("list[Any]", value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return truncate(str(value), 200)
