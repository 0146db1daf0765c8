"""Safe console output: lines and tables, plain and wide outside a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from nshtrainer.escaping import printable, printable_lines, without_commands

__all__ = ["print_table", "say", "say_lines"]

_WIDE = 160


def say(line: str = "", file: TextIO | None = None) -> None:
    """Print one line; a newline in it is shown as an escape."""
    say_lines(printable(line), file)


def say_lines(text: object, file: TextIO | None = None) -> None:
    """Print text of several lines, whose inserted values have been escaped already."""
    print(printable_lines(text), file=file, flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table on stdout without wrapping its first column."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == columns[0], overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE)
    with console.capture() as drawn:
        console.print(table)
    print(without_commands(drawn.get()), end="")
