"""The tables of mistakes in the docs, from the cases that the tests run."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TESTS = Path(__file__).parents[1] / "tests"
FILES = TESTS / "unit/config/bad_input.yaml"
PYTHON = TESTS / "unit/bad_use.yaml"
COMMANDS = TESTS / "cli/bad_commands.yaml"
HEAD = ("Problem", "Input", "Message")


def rows(cases: Path) -> Iterator[list[str]]:
    """Yield the problem, the input and the message of each case."""
    for case in YAML(typ="safe").load(cases):
        yield [case["what"], code(given(case)), code("\n".join(case["says"]))]


def given(case: dict[str, Any]) -> str:
    """Return the text of a case, or its overrides."""
    return "\n".join(case.get("overrides", ())) or case["text"].rstrip("\n")


def code(text: str) -> str:
    """Return code of several lines for a table cell; unprintable characters are escaped."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    escaped = html.escape(shown, quote=False).replace("|", "&#124;").replace("*", "&#42;")
    lines = escaped.replace("_", "&#95;").replace("[", "&#91;").replace(" ", "&nbsp;").split("\n")
    # Spaces between words must break, or no column would fit a page.
    words = [re.sub(r"(?<=\S)&nbsp;(?=\S)", " ", line) for line in lines]
    return f"<code>{'<br>'.join(words)}</code>"
