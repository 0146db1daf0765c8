"""HTML for notebooks is a table of escaped text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from nshtrainer.config.display.html import html_table


@pytest.mark.parametrize("text", ["<script>x</script>", '"><img src=x onerror=y>', "&amp;", "\x1b"])
def test_text_is_escaped_in_headings_and_cells(text: str) -> None:
    table = ET.fromstring(html_table([text], [[text]]))
    assert len(list(table.iter())) == 5  # table, two rows, two cells
    shown = text.replace("\x1b", r"\x1b")
    assert [cell.text for row in table for cell in row] == [shown, shown]


def test_dimmed_rows_are_lighter_than_the_others() -> None:
    rows = ET.fromstring(html_table(["field", "value"], [["lr", 0.1], ["eps", 1e-8]], dimmed={1}))
    assert [row.get("style") for row in rows] == [None, None, "opacity:.55"]
