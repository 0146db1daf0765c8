"""Schedules as pictures and as numbers: in a terminal, SVG, HTML, PNG, CSV, JSON.

>>> from nshtrainer import RunLength
>>> from nshtrainer.configs import CosineScheduleConfig
>>> run = RunLength(total_steps=1000, base_lr=1e-3)
>>> plot = Plot("cosine", CosineScheduleConfig().preview(run))
>>> rendered([plot], ".svg")[:4]
'<svg'
"""

from __future__ import annotations

from nshtrainer.plotting.figure import Figure, Line, Panel, Plot, Span, figure_of
from nshtrainer.plotting.picture import FORMATS, Picture, rendered

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
