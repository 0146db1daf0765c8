"""HTML for notebooks: tables whose texts are escaped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from nshtrainer.escaping import xml_text

__all__ = ["html_table"]

_CELL = "text-align:left;vertical-align:top"


def html_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], dimmed: Collection[int] = ()
) -> str:
    """Return a table for a notebook, without style sheets or scripts.

    Args:
        columns: The headings.
        rows: The cells of each row; their text is escaped.
        dimmed: The indices of rows in a lighter color, such as values that are defaults.

    >>> html_table(["field", "value"], [["lr", "<b>"]], dimmed={0}).splitlines()[2]
    '<tr style="opacity:.55"><td style="...">lr</td><td style="...">&lt;b&gt;</td></tr>'
    """
    lines = ["<table>", f"<tr>{_cells('th', columns)}</tr>"]
    for number, row in enumerate(rows):
        style = ' style="opacity:.55"' if number in dimmed else ""
        lines.append(f"<tr{style}>{_cells('td', row)}</tr>")
    return "\n".join([*lines, "</table>"])


def _cells(tag: str, texts: Iterable[object]) -> str:
    return "".join(f'<{tag} style="{_CELL}">{xml_text(text)}</{tag}>' for text in texts)
