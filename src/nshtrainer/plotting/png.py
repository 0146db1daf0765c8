"""A figure as PNG, by matplotlib, where that is installed."""

from __future__ import annotations

import io
from typing import Any, cast

from nshtrainer.exceptions import ConfigError
from nshtrainer.plotting.figure import Figure, Line, Panel
from nshtrainer.plotting.svg import LIGHT

__all__ = ["png"]

_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 2)), (0, (3, 1, 1, 1)))
_INK, _SOFT, _RULE, _BAND = "#1f2328", "#59636e", "#d1d9e0", "#818b981a"


def png(figure: Figure) -> bytes:
    """The picture, on white.

    Args:
        figure: What to draw.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Picture
    except ImportError as error:
        text = "a PNG needs matplotlib; install it with: pip install 'nshtrainer[plot]'"
        raise ConfigError(f"{text}; an .svg or .html file needs nothing") from error
    with cast("Any", mpl).rc_context({"text.parse_math": False}):  # a dollar sign is one
        return _png(figure, Picture, FigureCanvasAgg)


def _png(figure: Figure, picture_class: Any, canvas_class: Any) -> bytes:
    height = 3.0 if len(figure.panels) == 1 else 2.2 * len(figure.panels)
    picture: Any = picture_class(figsize=(7.2, height + 0.6), dpi=160, layout="constrained")
    rows: Any = picture.subplots(len(figure.panels), squeeze=False)
    for (axes,), panel in zip(rows, figure.panels, strict=True):
        _draw(axes, figure, panel)
    rows[-1][0].set_xlabel(figure.axis.title, color=_SOFT, fontsize=9)
    _words(picture, figure)
    buffer = io.BytesIO()
    canvas: Any = canvas_class(picture)
    canvas.print_png(buffer)
    return buffer.getvalue()


def _draw(axes: Any, figure: Figure, panel: Panel) -> None:
    """One panel: phases, curves, then ticks."""
    for number, span in enumerate(panel.spans):
        if number % 2:
            axes.axvspan(span.start, span.end, color=_BAND, linewidth=0)
        if number:
            axes.axvline(span.start, color=_SOFT, linewidth=0.6, linestyle=":")
    for line in reversed(panel.lines):
        axes.plot(line.xs, line.ys, **_look(line), zorder=3, clip_on=False)
    axes.set_xlim(figure.axis.low, figure.axis.high)
    axes.set_ylim(panel.axis.low, panel.axis.high)
    axes.set_xticks(figure.axis.ticks, figure.axis.labels)
    axes.set_yticks(panel.axis.ticks, panel.axis.labels)
    axes.tick_params(labelsize=8, colors=_SOFT)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(_SOFT)
    axes.set_title(panel.axis.title, loc="left", fontsize=9, color=_INK, pad=18)
    _label_phases(axes, figure, panel)


def _label_phases(axes: Any, figure: Figure, panel: Panel) -> None:
    """The name of a phase above its beginning, where the one before leaves room for it."""
    free = 0.0
    for span in panel.spans:
        at = max(figure.axis.share(span.start), free)
        if at <= max(figure.axis.share(span.end), free) and at + _share(span.label) <= 1.02:
            place = {"xy": (at, 1.0), "xycoords": "axes fraction", "xytext": (2, 4)}
            style = {"textcoords": "offset points", "fontsize": 7.5, "color": _SOFT}
            axes.annotate(span.label, **place, **style)
            free = at + _share(span.label)


def _share(label: str) -> float:
    """About how much of the width of a panel a label takes."""
    return 0.0105 * len(label) + 0.012


def _look(line: Line) -> dict[str, Any]:
    style = line.style % len(LIGHT)
    return {"color": LIGHT[style], "linestyle": _DASHES[style], "linewidth": 1.6}


def _words(picture: Any, figure: Figure) -> None:
    """The title, and the legend where there is more than one name."""
    if len(figure.names) < 2:
        picture.suptitle(figure.title, fontsize=10, weight="bold", color=_INK)
        return
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_look(Line(style, (), ()))) for style in range(len(figure.names))]
    picture.legend(
        handles,
        figure.names,
        title=figure.title or None,
        title_fontproperties={"weight": "bold", "size": 10},
        loc="outside upper center",
        ncols=4,
        frameon=False,
        fontsize=8,
    )
