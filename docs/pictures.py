"""Draw the pictures of the README and of the architecture page as SVG."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any
from xml.etree import ElementTree as ET

from nshtrainer.cli import main

__all__ = ["architecture", "notebook", "overview"]

OVERVIEW = Path(__file__).parent / "overview"
NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"
LETTER, LINE = 6.63, 16
"""Width of a character and distance between lines of the terminal font, in pixels."""
STYLE = """\
svg { --ink: #1f2328; --soft: #59636e; --rule: #d1d9e0; --band: #818b981a }
@media (prefers-color-scheme: dark) {
svg { --ink: #f0f6fc; --soft: #9198a1; --rule: #3d444d; --band: #656c7626 }
}
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--soft) }
.strong { font-size: 14px; font-weight: 600; fill: var(--ink) }
.frame { fill: var(--band); stroke: var(--rule) }
.arrow { stroke: var(--soft); fill: none }
.term { font: 11px ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; fill: var(--ink) }"""


def document(width: float, height: float, title: str, body: str) -> str:
    """Return a whole SVG document."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style>\n{body}\n</svg>\n"
    )


def frame(x: float, y: float, width: float, height: float) -> str:
    """Return a box with round corners."""
    return f'<rect class="frame" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'


def text(x: float, y: float, words: str, classes: str = "") -> str:
    """Return a line of text."""
    kept = escape(words, quote=False).replace(" ", "\N{NO-BREAK SPACE}")  # others are collapsed
    return f'<text class="{classes}" x="{x:g}" y="{y:g}">{kept}</text>'


# -- parameter groups and a schedule ---------------------------------------------------------------


@cache
def overview() -> str:
    """Draw what `nshtrainer explain` prints, and below it what `nshtrainer plot` draws."""
    lines = ["$ nshtrainer explain train.py --config run.yaml", "", *explained()]
    width = round(max(map(len, lines)) * LETTER) + 40
    top = len(lines) * LINE + 40
    rows = [text(20, place * LINE + 28, line, "term") for place, line in enumerate(lines)]
    plot, height = nested(plotted(), x=(width - 720) // 2, y=top + 10)
    body = "\n".join([frame(0.5, 0.5, width - 1, top - 10), *rows, plot])
    return document(width, top + 10 + height, "Parameter groups and a schedule", body)


def explained() -> list[str]:
    """Return the lines that `nshtrainer explain` prints for the example."""
    out = io.StringIO()
    with moved(OVERVIEW), contextlib.redirect_stdout(out):
        assert main(["explain", "train.py", "--config", "run.yaml"]) == 0
    lines = [line.rstrip() for line in out.getvalue().strip("\n").splitlines()]
    while not lines[0]:
        del lines[0]
    end = lines.index("")
    return [*narrowed(lines[:end]), *lines[end:]]


def narrowed(rows: list[str]) -> list[str]:
    """Reduce the gaps between the columns of a table to two spaces."""
    width = max(map(len, rows))
    columns = zip(*(row.ljust(width) for row in rows), strict=True)
    kept: list[tuple[str, ...]] = []
    for blank, group in groupby(columns, key=lambda column: not "".join(column).strip(" ─")):
        run = list(group)
        kept += run[: 2 if kept else 0] if blank else run
    return ["".join(row).rstrip() for row in zip(*kept, strict=True)]


def plotted() -> str:
    """Return the picture that `nshtrainer plot` writes for the example."""
    with TemporaryDirectory() as folder, moved(OVERVIEW):
        path = Path(folder, "plot.svg")
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["plot", "run.yaml", "--out", str(path)]) == 0
        return path.read_text(encoding="utf-8")


def nested(picture: str, x: float, y: float) -> tuple[str, float]:
    """Place a document within another one, and return its height."""
    size = re.search(r'width="(\d+)" height="(\d+)"', picture)
    assert size
    return picture.replace("<svg ", f'<svg x="{x:g}" y="{y:g}" ', 1).strip(), int(size[2])


@contextlib.contextmanager
def moved(folder: Path) -> Iterator[None]:
    """Change the working directory for a while, and restore the search path of modules."""
    before, searched = Path.cwd(), list(sys.path)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = searched


# -- a notebook ------------------------------------------------------------------------------------


@cache
def notebook() -> str:
    """Draw two cells of the example notebook: an optimizer as a table, a schedule as a picture."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    setup, optimizer, _, schedule, *_ = (
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
    )
    names: dict[str, Any] = {}
    exec(setup, names)  # noqa: S102 - a notebook of this project
    parts, y = code(optimizer, 10)
    rows, y = drawn_table(value_of(optimizer, names)._repr_html_(), y + 20)
    more, y = code(schedule, y + 10)
    plot, height = nested(value_of(schedule, names)._repr_svg_(), x=20, y=y + 10)
    return document(
        780, y + height + 20, "Cells of a notebook", "\n".join([*parts, *rows, *more, plot])
    )


def value_of(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell, and return the value of its last line."""
    body, _, last = cell.rpartition("\n")
    exec(body, names)  # noqa: S102
    return eval(last, names)  # noqa: S307


def code(cell: str, y: float) -> tuple[list[str], float]:
    """Draw a cell of code, and return the lower end."""
    lines = cell.splitlines()
    rows = [text(20, y + 18 + place * LINE, line, "term") for place, line in enumerate(lines)]
    height = len(lines) * LINE + 12
    return [frame(0.5, y + 0.5, 779, height), *rows], y + height


def drawn_table(html: str, y: float) -> tuple[list[str], float]:
    """Draw a table as a notebook shows it, and return the lower end."""
    parts: list[str] = []
    for row in ET.fromstring(f"<body>{html}</body>").iter("tr"):  # noqa: S314 - of this project
        field, value, meaning = ("".join(cell.itertext()) for cell in row)
        short = shorten(meaning, 76, placeholder=" ...")
        drawn = [text(20, y, field, "term"), text(190, y, value, "term"), text(320, y, short)]
        parts.append(f'<g style="{row.get("style", "")}">{"".join(drawn)}</g>')
        y += 18
    return parts, y


# -- the architecture ------------------------------------------------------------------------------

FLOORS = (
    (("cli", "fit, explain, diff, plot, validate, list, show, schema"),),
    (("integrations", "Lightning, transformers, Accelerate"),),
    (
        ("optimizer", "parameter groups, torch optimizers, wrappers"),
        ("lr_scheduler", "curves, schedules, one torch scheduler"),
    ),
    (("config", "values, files, overrides, errors, registries"),),
)
"""The floors of the package, the upper ones first: folders, and their contents."""
WIDE, HIGH, GAP = 680, 64, 34


def architecture() -> str:
    """Draw the floors of the package; an arrow reads "imports"."""
    parts: list[str] = []
    for place, rooms in enumerate(FLOORS):
        y = place * (HIGH + GAP) + 10
        width = (WIDE - 20 * (len(rooms) - 1)) / len(rooms)
        for number, (name, contents) in enumerate(rooms):
            x = 20 + number * (width + 20)
            words = [text(x + 16, y + 27, name, "strong"), text(x + 16, y + 47, contents)]
            parts += [frame(x, y, width, HIGH), *words]
        if place + 1 < len(FLOORS):
            parts.append(arrow(20 + WIDE / 2, y + HIGH + 4, GAP - 8))
    height = len(FLOORS) * (HIGH + GAP) - GAP + 20
    return document(WIDE + 40, height, "Each layer imports the layers below", "\n".join(parts))


def arrow(x: float, y: float, length: float) -> str:
    """Return an arrow that points down."""
    return f'<path class="arrow" d="M{x:g} {y:g}v{length:g}m-5 -6l5 6l5 -6"/>'
