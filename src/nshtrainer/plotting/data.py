"""Schedules as numbers in a file: CSV with a row for each value, or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from nshtrainer.escaping import csv_cell, json_text
from nshtrainer.plotting.figure import Plot
from nshtrainer.run_length import TICKS

__all__ = ["as_csv", "as_json"]


def as_csv(plots: Sequence[Plot]) -> str:
    """Return CSV with a row for each value: config, hyperparameter, step and value.

    The values have all their digits. In a run that is limited by time, the step is replaced by
    seconds.
    """
    timed = any(plot.preview.total_time is not None for plot in plots)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["config", "hyperparameter", "kind", "seconds" if timed else "step", "value"])
    for plot in plots:
        for series in plot.preview.series:
            for place, value in zip(_places(plot), series.values, strict=True):
                texts = map(csv_cell, (plot.label, series.name, series.kind))
                writer.writerow([*texts, place, value])
    return buffer.getvalue()


def as_json(plots: Sequence[Plot]) -> str:
    """Return a JSON list of the schedules, each with its description, its steps and its values."""
    text = json.dumps([_mapping(plot) for plot in plots], indent=1, ensure_ascii=False)
    return json_text(text) + "\n"


def _mapping(plot: Plot) -> dict[str, Any]:
    preview = plot.preview
    key = "steps" if preview.total_time is None else "seconds"
    series = [
        {
            "hyperparameter": each.name,
            "kind": each.kind,
            "phases": [dict(zip(("label", "start", "end"), p, strict=True)) for p in each.phases],
            "values": each.values,
        }
        for each in preview.series
    ]
    head = {"config": plot.label, "description": plot.description}
    return {**head, key: _places(plot), "series": series}


def _places(plot: Plot) -> list[float]:
    """Return the steps, or the seconds of the ticks."""
    time = plot.preview.total_time
    return [step if time is None else time * step / TICKS for step in plot.preview.steps]
