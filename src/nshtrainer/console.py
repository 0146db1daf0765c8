"""Safe console output: lines and tables, plain and wide outside a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from io import StringIO
from shutil import get_terminal_size
from typing import TYPE_CHECKING, TextIO

from nshtrainer.escaping import printable, printable_lines, without_commands

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["print_table", "records_text", "say", "say_lines"]

_WIDE = 160
_LEAST_TEXT = 20
"""Width of the last column of a table, whose text may wrap."""


def say(line: str = "", file: TextIO | None = None) -> None:
    """Print one line; a newline in it is shown as an escape."""
    say_lines(printable(line), file)


def say_lines(text: object, file: TextIO | None = None) -> None:
    """Print text of several lines, whose inserted values have been escaped already."""
    print(printable_lines(text), file=file, flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table on stdout without wrapping its first column."""
    table = _table(columns, rows)
    table.title = title or None
    table.title_justify = "left"
    print(_drawn(table, sys.stdout), end="")


def records_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or a block of lines for each row where a table would break its cells.

    Args:
        columns: The titles; the first column names a row, and only text in the last one may wrap.
        rows: The cells.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not _fits(columns, cells):
        return _blocks(columns, cells)
    return _drawn(_table(columns, cells), StringIO())  # as to a file: without codes for a terminal


def _fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    from rich.cells import cell_len

    *widths, last = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    between = 3 * len(widths)
    return sum(widths) + between + min(last, _LEAST_TEXT) <= _width()


def _blocks(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    wide = max(map(len, columns))
    blocks = [
        [
            f"{columns[0]} {row[0]}",
            *(f"  {t:{wide}}  {c}" for t, c in zip(columns[1:], row[1:], strict=True)),
        ]
        for row in rows
    ]
    return "".join("\n".join(block) + "\n\n" for block in blocks)


def _width() -> int:
    """Return the width of the terminal; output to a file or a pipe is wide."""
    return get_terminal_size((_WIDE, 24)).columns if sys.stdout.isatty() else _WIDE


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == columns[0], overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _drawn(table: Table, file: TextIO) -> str:
    from rich.console import Console

    console = Console(file=file, width=_width())
    with console.capture() as drawn:
        console.print(table)
    return without_commands(drawn.get())
