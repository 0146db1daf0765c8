"""Loggers of a run: a CSV file that a resumed run appends to, and those of its config."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeGuard

from lightning.fabric.loggers.logger import (
    rank_zero_experiment,  # pyright: ignore[reportUnknownVariableType]
)
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from typing_extensions import override

from nshtrainer.config.files import kind_of, replace_file, set_aside
from nshtrainer.config.messages import truncate
from nshtrainer.console import say
from nshtrainer.exceptions import ConfigError
from nshtrainer.loggers.base import LoggerConfigBase
from nshtrainer.loggers.lightning_loggers import CSVLoggerConfig, TensorboardLoggerConfig

__all__ = ["RunLoggers", "rows_before"]


class RunLoggers(Callback):
    """Loggers of a run in its folder: the configured ones, and a table of metrics.

    A run that is resumed in its folder continues its runs at services such as W&B, whose identities
    are in a file of the folder. A run of W&B is ended with the training, so that another training
    in this process starts one of its own.

    Args:
        folder: The folder of the run.
        configured: The `logger` of the trainer's config; `None` and `True` are TensorBoard, if it
            is installed.
    """

    def __init__(self, folder: Path, configured: Any = None) -> None:
        self._file = folder / ".loggers.json"
        self._services: dict[str, Logger] = {}
        self.loggers: list[Logger]
        """The loggers; the first one is `self.logger` of a module."""
        if isinstance(configured, (LoggerConfigBase, tuple)):
            self.loggers = self._configured(folder, configured)
            return
        board = TensorboardLoggerConfig(default_hp_metric=False)
        self.loggers = [_table(folder)]
        if find_spec("tensorboard"):
            self.loggers.append(_created(board, folder))

    def _configured(self, folder: Path, configured: Any) -> list[Logger]:
        configs: list[LoggerConfigBase] = []
        configs += configured if isinstance(configured, tuple) else (configured,)
        tables = [each for each in configs if _is_table(each)]
        known, found, names = self._identities(), list[Logger](), list[str]()
        for config in (each for each in configs if not _is_table(each)):
            field: str = config.identity_field
            key = f"{config.name} {names.count(config.name)}"
            names.append(config.name)
            if field and getattr(config, field) is None and key in known:
                config = config.replace(**{field: known[key]})  # noqa: PLW2901
            found.append(_created(config, folder))
            if field:
                self._services[key] = found[-1]
        return [*found, _table(folder, *tables[:1])]

    def _identities(self) -> dict[str, str]:
        try:
            found: Any = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(key): str(value) for key, value in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            say(f"{self._file}: cannot be read ({error}): loggers start new runs")
            return {}

    def start(self) -> None:
        """Start the runs at services, in the first process.

        Raises:
            ConfigError: A service cannot be used, for example without a login.
        """
        name = ""
        try:
            for name in self._services:
                getattr(self._services[name], "experiment", None)
        except Exception as error:  # a service may raise anything
            text = f"{name.split()[0]} cannot start a run: {str(error).rstrip('.')}"
            remedy = "correct that, or remove the logger"
            raise ConfigError(f"trainer.logger: {text}; {remedy}") from error

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write down the identities, in the first process."""
        if self._services and trainer.is_global_zero:
            found = {key: str(logger.version) for key, logger in self._services.items()}
            replace_file(self._file, json.dumps(found).encode())

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """End the runs of W&B."""
        self._finish(0)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the runs of W&B as failed."""
        self._finish(1)

    def _finish(self, code: int) -> None:
        for logger in self._services.values():
            run = vars(logger).get("_experiment")
            if isinstance(logger, WandbLogger) and run is not None:
                run.finish(exit_code=code)
                vars(logger)["_experiment"] = None


def _is_table(config: LoggerConfigBase) -> TypeGuard[CSVLoggerConfig]:
    """Return True for a CSV logger without a place of its own: the table of the run."""
    return isinstance(config, CSVLoggerConfig) and not config.is_placed


def _table(folder: Path, config: CSVLoggerConfig | None = None) -> Logger:
    options: dict[str, Any] = (config or CSVLoggerConfig()).arguments()
    options |= {"save_dir": folder, "name": "", "version": ""}
    return _RunCSVLogger(**options)


def _created(config: LoggerConfigBase, folder: Path) -> Logger:
    """Create a logger; event files without a place of their own are in `tensorboard/`."""
    if isinstance(config, TensorboardLoggerConfig) and not config.is_placed:
        config = config.replace(experiment_name="tensorboard", version="")
    return config.create_logger(folder)


def rows_before(path: Path, step: int, columns: Collection[str] = ()) -> list[dict[str, str]]:
    """Read the rows of a table before a step, without an incomplete last line.

    A damaged table is renamed, a line is printed, and its valid rows are returned.

    Args:
        path: The CSV file.
        step: The first step to leave out.
        columns: The columns that the table must have; by default at least `step`.
    """
    kind = kind_of(path)
    if kind != "file":
        if kind is not None:
            _start_again(path, "is not a regular file")
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            # Only the last line can lack its end: its writer was killed.
            reader = csv.DictReader([line for line in file if line.endswith("\n")])
        rows, head = list(reader), list(reader.fieldnames or ())
    except (OSError, csv.Error) as error:
        _start_again(path, f"cannot be read ({error})")
        return []
    if not head:
        return []
    if "step" not in head or len(set(head)) < len(head) or (columns and set(head) != set(columns)):
        _start_again(path, f"has another header ({truncate(','.join(head))})")
        return []
    whole = [row for row in rows if _is_whole(row)]
    if len(whole) < len(rows):
        _start_again(path, f"damaged rows are dropped ({len(rows) - len(whole)} of {len(rows)})")
    return [row for row in whole if int(row["step"]) < step]


def _start_again(path: Path, why: str) -> None:
    say(f"{path}: {why}; it is renamed to {set_aside(path).name}, and a new table is started")


def _is_whole(row: dict[Any, Any]) -> bool:
    if None in row or None in row.values() or not re.fullmatch("[0-9]{1,18}", row["step"]):
        return False
    text = "".join(row.values())  # zeros and characters that are no UTF-8, as a bad disk leaves
    return text.isprintable() and "\ufffd" not in text


class _RunCSVLogger(CSVLogger):
    """Lightning's CSV logger, which appends to the file of a resumed run."""

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _GoingOn(self.log_dir)
        return self._experiment


class _GoingOn(ExperimentWriter):
    """Experiment writer that keeps earlier rows, up to the step at which this run resumes."""

    @override
    def _check_log_dir_exists(self) -> None:
        """Keep the existing file, which Lightning's method deletes."""
        self._first = True

    @override
    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        if self._first and step is not None:
            self._keep_rows_before(step)
        self._first = False
        super().log_metrics(metrics_dict, step)

    def _keep_rows_before(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        rows = rows_before(path, step)
        if not rows:
            path.unlink(missing_ok=True)
            return
        self.metrics_keys = list(rows[0])
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys)
        writer.writeheader()
        writer.writerows(rows)
        replace_file(path, text.getvalue().encode())
