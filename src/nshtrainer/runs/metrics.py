"""Loggers of a run: a CSV file that a resumed run appends to, and TensorBoard."""

from __future__ import annotations

import csv
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import (
    rank_zero_experiment,  # pyright: ignore[reportUnknownVariableType]
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from typing_extensions import override

from nshtrainer.config.files import replace_file
from nshtrainer.console import say

__all__ = ["loggers_for", "rows_before"]


def loggers_for(folder: Path) -> list[Logger]:
    """Return the loggers of a run in this folder."""
    loggers: list[Logger] = [_RunCSVLogger(folder, name="", version="")]
    if find_spec("tensorboard"):
        loggers.append(
            TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)
        )
    return loggers


def rows_before(path: Path, step: int) -> list[dict[str, str]]:
    """Read the rows of a table before a step, without an incomplete last line.

    Damaged rows are dropped, and a line is printed.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if line.endswith("\n")]
        rows = list(csv.DictReader(lines))
    except FileNotFoundError:
        return []
    except (OSError, csv.Error) as error:
        say(f"{path}: cannot be read ({error}): a new table is started")
        return []
    whole = [row for row in rows if _is_whole(row)]
    if len(whole) < len(rows):
        say(f"{path}: damaged rows are dropped ({len(rows) - len(whole)} of {len(rows)})")
    return [row for row in whole if int(row["step"]) < step]


def _is_whole(row: dict[Any, Any]) -> bool:
    is_complete = None not in row and None not in row.values()
    return is_complete and re.fullmatch("[0-9]{1,18}", row.get("step", "")) is not None


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
