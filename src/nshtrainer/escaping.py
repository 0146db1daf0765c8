"""Escaping of untrusted text for terminals, XML, JSON and CSV.

Names in files, in checkpoints and of files may contain any character. All text that leaves this
package passes one of these functions, one for each kind of output.
"""

from __future__ import annotations

import html
import json
import re

__all__ = ["csv_cell", "json_text", "printable", "printable_lines", "without_commands", "xml_text"]

_COMMAND = re.compile(r"(?m)^(?P<blank>[^\S\n]*):(?=:)|#(?=#\w*\[)")
"""GitHub reads `::` after blanks; Azure and TeamCity read `##[` and `##teamcity[` anywhere."""
_FORMULA = re.compile(r"[=+\-@\uff1d\uff0b\uff0d\uff20]")


def printable(text: object) -> str:
    r"""Return text as one line, with escapes for characters that control a terminal.

    Escaped are control characters, newlines included, marks that change the direction of text,
    blanks other than the space, halves of surrogate pairs and characters without a meaning.

    >>> printable("run\x1b[2J.yaml\nrun.yaml: ok")
    'run\\x1b[2J.yaml\\nrun.yaml: ok'
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)


def printable_lines(text: object) -> str:
    r"""Return text of several lines, each printable and without commands to a CI service.

    >>> print(printable_lines("one\n::error::forged"))
    one
    \x3a:error::forged
    """
    return without_commands("\n".join(map(printable, str(text).split("\n"))))


def without_commands(text: str) -> str:
    r"""Return text without commands to a CI service that reads them in a log.

    >>> without_commands("run ##vso[task.complete]")
    'run \\x23#vso[task.complete]'
    """
    return _escape_commands(text, "\\x{:x}")


def _escape_commands(text: str, escape: str) -> str:
    return _COMMAND.sub(lambda at: (at["blank"] or "") + escape.format(ord(at[0][-1])), text)


def xml_text(text: object) -> str:
    r"""Return text for an element or an attribute of XML, HTML or SVG.

    >>> xml_text("a<b>\x1b")
    'a&lt;b&gt;\\x1b'
    """
    return html.escape(printable(text))


def json_text(text: str) -> str:
    r"""Return JSON whose strings have escapes for characters that control a terminal.

    >>> print(json_text('{\n "a": "\x9b2J"\n}'))
    {
     "a": "\u009b2J"
    }
    """
    text = _escape_commands(text, "\\u{:04x}")  # a file may be shown in a log
    if all(map(str.isprintable, text.split("\n"))):
        return text
    return "".join(map(_json_character, text))


def _json_character(each: str) -> str:
    return each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1]


def csv_cell(text: object) -> str:
    """Return text for a cell that no spreadsheet reads as a formula.

    >>> csv_cell("=cmd|' /C calc'!A0"), csv_cell("run.yaml")
    ("'=cmd|' /C calc'!A0", 'run.yaml')
    """
    cell = printable(text)
    return f"'{cell}" if _FORMULA.match(cell) else cell
