"""Where the metrics of a run go: a CSV file that a resumed run goes on with, and TensorBoard."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import (
    rank_zero_experiment,  # pyright: ignore[reportUnknownVariableType]
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from typing_extensions import override

from nshtrainer.text.files import replace_file

__all__ = ["loggers_for"]


def loggers_for(folder: Path) -> list[Logger]:
    """The loggers of a run in this folder."""
    loggers: list[Logger] = [_RunCSVLogger(folder, name="", version="")]
    if find_spec("tensorboard"):
        loggers.append(
            TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)
        )
    return loggers


class _RunCSVLogger(CSVLogger):
    """Lightning's CSV logger, but that it goes on with the file of the same run."""

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _GoingOn(self.log_dir)
        return self._experiment


class _GoingOn(ExperimentWriter):
    """Keeps the rows of before, up to the step where this run goes on."""

    @override
    def _check_log_dir_exists(self) -> None:
        """Lightning's own deletes the file."""
        self._first = True

    @override
    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        if self._first and step is not None:
            self._keep_rows_before(step)
        self._first = False
        super().log_metrics(metrics_dict, step)

    def _keep_rows_before(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in file if line.endswith("\n")]  # the last one may be cut off
        reader = csv.DictReader(lines)
        rows = [row for row in reader if int(row["step"]) < step]
        self.metrics_keys = list(reader.fieldnames or ())
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys)
        writer.writeheader()
        writer.writerows(rows)
        replace_file(path, text.getvalue().encode())
