"""A figure as a self-contained HTML page that shows the values under the pointer."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from nshtrainer.escaping import xml_text
from nshtrainer.plotting.figure import Figure
from nshtrainer.plotting.svg import Layout, svg

__all__ = ["page"]

_STYLE = """\
:root { color-scheme: light dark; --paper: #ffffff; --text: #1f2328; --line: #d1d9e0 }
@media (prefers-color-scheme: dark) {
:root { --paper: #0d1117; --text: #f0f6fc; --line: #3d444d }
}
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--paper);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif }
svg { width: 100%; height: auto; touch-action: none }
svg:focus-visible { outline: 2px solid var(--line) }
#values { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums }
#values th, #values td { text-align: left; font-weight: 400; padding: .1rem 1.5rem .1rem 0 }
.cursor { stroke: var(--soft); fill: none }
circle.spot { stroke-width: 2; stroke-dasharray: none; fill: var(--paper) }
footer { font-size: 13px; opacity: .75 }"""


def page(figure: Figure) -> str:
    """Return the page: one file, without downloads, valid as HTML and as XML.

    Args:
        figure: The figure to draw.
    """
    title = xml_text(figure.title or ", ".join(figure.names))
    notes = "\n".join(f"<p>{xml_text(note)}</p>" for note in figure.notes)
    return (
        '<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head>\n'
        '<meta charset="utf-8" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n{notes}\n"
        f"{svg(figure)}"
        '<table id="values" aria-live="polite"></table>\n'
        "<footer>Move over the picture, or use the arrow keys, to read values.</footer>\n"
        f'<script type="application/json" id="data">{_data(figure)}</script>\n'
        f"<script>\n/*<![CDATA[*/\n{_script()}/*]]>*/\n</script>\n</body>\n</html>\n"
    )


def _data(figure: Figure) -> str:
    """Return the script's data as JSON that contains no markup."""
    layout = Layout(figure)
    axis = figure.axis
    data: dict[str, Any] = {
        "names": figure.names,
        "axis": {"title": axis.title, "low": axis.low, "high": axis.high},
        "panels": [
            {
                "title": panel.axis.title,
                "box": [box.left, box.top, box.right, box.bottom],
                "low": panel.axis.low,
                "high": panel.axis.high,
                "lines": [
                    {"style": line.style, "xs": line.xs, "ys": line.ys} for line in panel.lines
                ],
            }
            for panel, box in zip(figure.panels, layout.boxes, strict=True)
        ],
    }
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _script() -> str:
    return files("nshtrainer.plotting").joinpath("page.js").read_text(encoding="utf-8")
