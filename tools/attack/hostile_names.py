"""Names that a terminal, a CI service, a table or a picture might obey."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import yaml
from tests.cli.support import is_command
from tools.attack.frame import FailedError

__all__ = ["FORGED", "draw_name", "for_arguments", "look_at_file", "look_at_lines"]

FORGED = "run.yaml: ok"

PIECES = (
    *(
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1bP+q\x1b\\",
        "\x1b]8;;http://x\x1b\\",
        "\x9b2J",
        "\x9d0;x\x9c",
    ),
    *("\n", "\r", "\r\n", "\t", "\v", "\f", "\b\b\b", "\x7f", "\x85", "\u2028", "\u2029", "\0"),
    *("\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\u200b", "\u00ad", "\ufeff", "\u3000"),
    *("\ud800", "\udfff", "\udc80", "\ud83d\ude00", "\ufffe", "\uffff", "\ue000", "\U000e0001"),
    *(f"\n{FORGED}\n", "\n::error file=a::forged", "::add-mask::a", "::stop-commands::x"),
    *("\n##[error]forged", "##vso[task.setvariable]a", "\n##teamcity[x]", "\r::warning::a"),
    *("=1+1", "@SUM(1)", "-2+3", "+1", "=cmd|' /C calc'!A0", "\uff1d1", "\uff20a", "\t=1"),
    *("<b onload='x'>", "</svg><script>", "&\"'", "]]>", "<!--", "<![CDATA[", "&#27;", "&x;"),
    *("[red]a[/red]", "[/]", "[link=http://x]", "$\\frac{$", "$_$", "\\x1b", "\\n", "{0}", "{a.b}"),
    *(
        "%s",
        "%(x)d",
        "${x}",
        "*",
        "re:(",
        "..",
        "~",
        "#",
        " #",
        ": ",
        "'",
        '"',
        "`",
        ", ",
        "- ",
        "|",
    ),
)
PLAIN = ("a", "lr", "head", "layer", "cosine", "adamw", "é", "漢", "word " * 20, "x" * 150)


def draw_name(random: Random) -> str:
    """Draw a name of a few pieces, hostile and plain, and any characters at all."""
    kinds = random.choices(
        ["piece", "plain", "character"], weights=[5, 3, 2], k=random.choice([1, 2, 3, 5])
    )
    return "".join(_part(random, kind) for kind in kinds)


def _part(random: Random, kind: str) -> str:
    if kind == "character":
        return chr(
            random.choice(
                [random.randrange(256), random.randrange(0x3000), random.randrange(0x110000)]
            )
        )
    return random.choice(PIECES if kind == "piece" else PLAIN)


def for_arguments(name: str) -> str:
    """Convert a name to one that a shell argument and a file name can hold."""
    kept = name.replace("\0", "").replace("/", "|").encode("utf-8", "replace")[:200]
    return kept.decode("utf-8", "ignore") or "a"


def look_at_lines(said: str) -> None:
    """Raise an error if a line holds a control sequence or an annotation, or is forged."""
    for line in said.split("\n"):
        if not line.isprintable():
            raise FailedError(f"a terminal obeys {line!r}")
        if is_command(line):
            raise FailedError(f"a CI service obeys {line!r}")
        if line.strip() == FORGED:
            raise FailedError(f"a forged line in {said!r}")
    if "Traceback" in said:
        raise FailedError(said)


def look_at_file(path: Path) -> None:
    """Raise an error if a file is not of its suffix's format, or a cell is a formula."""
    content = path.read_bytes()
    if path.suffix in {".svg", ".html"}:
        # A browser knows more elements than a parser, which needs no more than to see our own.
        names = {each.tag.rpartition("}")[2] for each in ET.fromstring(content).iter()}
        if names & {"b", "x"}:
            raise FailedError(f"{path!r} holds elements of a name: {names}")
    elif path.suffix == ".csv":
        _look_at_cells(content.decode("utf-8"))
    elif path.suffix == ".json":
        _look_at_text(json.loads(content), content.decode("utf-8"))
    elif path.suffix == ".yaml":
        yaml.safe_load(content.decode("utf-8"))


def _look_at_text(_data: Any, text: str) -> None:
    if not all(map(str.isprintable, text.split("\n"))):
        raise FailedError(f"a terminal obeys {text!r}")


def _look_at_cells(text: str) -> None:
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            if not cell.isprintable() or (
                cell[:1] and cell[0] in "=+-@\uff1d\uff0b\uff0d\uff20" and not _number(cell)
            ):
                raise FailedError(f"a spreadsheet obeys {cell!r}")


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
