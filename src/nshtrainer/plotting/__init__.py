"""Schedules as pictures and as numbers: in a terminal, SVG, HTML, PNG, CSV, JSON.

>>> from nshtrainer import RunLength
>>> from nshtrainer.configs import CosineScheduleConfig
>>> run = RunLength(total_steps=1000, base_lr=1e-3)
>>> plot = Plot("cosine", CosineScheduleConfig().preview(run))
>>> rendered([plot], ".svg")[:4]
'<svg'
"""

from __future__ import annotations

from collections.abc import Sequence

from nshtrainer.plotting.figure import Figure, Line, Panel, Plot, Span, figure_of
from nshtrainer.plotting.picture import Picture

__all__ = [
    "FORMATS",
    "Figure",
    "Line",
    "Panel",
    "Picture",
    "Plot",
    "Span",
    "figure_of",
    "rendered",
]

FORMATS = (".svg", ".html", ".png", ".csv", ".json")
"""The suffixes of the files that schedules are written to."""


def rendered(plots: Sequence[Plot], suffix: str, title: str = "") -> str | bytes:
    """Render schedules in the format of a suffix.

    Args:
        plots: The schedules to draw, one over the other.
        suffix: One of `FORMATS`.
        title: The title above the picture; left out, the label of a single plot.

    Raises:
        ConfigError: resvg-py or a font for a PNG is not installed, or the picture is too tall.
        ValueError: The suffix is unknown.
    """
    if suffix in {".csv", ".json"}:
        from nshtrainer.plotting.data import as_csv, as_json

        return as_csv(plots) if suffix == ".csv" else as_json(plots)
    figure = figure_of(plots, title)
    if suffix == ".svg":
        from nshtrainer.plotting.svg import svg

        return svg(figure)
    if suffix == ".html":
        from nshtrainer.plotting.page import page

        return page(figure)
    if suffix == ".png":
        from nshtrainer.plotting.png import png

        return png(figure)
    raise ValueError(f"{suffix!r} is no format of a picture (there are: {', '.join(FORMATS)})")
