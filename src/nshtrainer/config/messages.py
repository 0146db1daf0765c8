"""Parts of error messages: similar names, lists of names, key paths, values, truncated texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from nshtrainer.escaping import printable

__all__ = [
    "describe_unknown",
    "dotted",
    "find_similar",
    "format_value",
    "join_names",
    "join_quoted",
    "lower_first",
    "suggest",
    "truncate",
]

_MOST_COMPARED = 10_000
"""The most names that are compared with a mistyped one: about half a second."""

_MOST_LISTED = 20
"""The most known names that a message lists."""

_OTHER_NAMES = {
    "epochs": "max_epochs",
    "learning_rate": "lr",
    "num_epochs": "max_epochs",
    "steps": "max_steps",
    "wd": "weight_decay",
}
"""Names in other libraries, with the names here, which may be too different to be found."""


def find_similar(
    name: str, known: Iterable[str], limit: int = 1, *, cutoff: float = 0.6
) -> list[str]:
    """Return the known names that are most similar to a name, the nearest first.

    >>> find_similar("lrr", ["lr", "betas"])
    ['lr']
    """
    import difflib  # only for messages, and not at every start of a program

    return difflib.get_close_matches(name, list(islice(known, _MOST_COMPARED)), limit, cutoff)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the "did you mean" part of a message; empty if no known name is similar.

    >>> suggest("lrr", ["lr", "betas"])
    "; did you mean 'lr'?"
    """
    names = list(known)
    usual = _OTHER_NAMES.get(name)
    similar = [usual] if usual in names else find_similar(name, names)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def describe_unknown(what: str, name: Any, known: Iterable[Any]) -> str:
    """Return a message about an unknown name.

    >>> describe_unknown("key", "lrr", ["lr", "betas"])
    "unknown key 'lrr'; did you mean 'lr'? (known: lr, betas)"
    """
    names = list(map(str, known))  # a key of YAML may be a number
    listed = f" (known: {join_names(names, _MOST_LISTED)})" if names else ""
    return f"unknown {what} {truncate(str(name))!r}{suggest(str(name), names)}{listed}"


def join_names(names: Iterable[str], limit: int = 5) -> str:
    """Return the first names as a list, and the number of further ones.

    >>> join_names(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    known = list(map(printable, names))
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more


def join_quoted(names: Iterable[str], limit: int = 5) -> str:
    """Return the first names in quotes as a list, and the number of further ones.

    >>> join_quoted(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    return join_names(map(repr, names), limit)


def truncate(text: str, limit: int = 80) -> str:
    """Return printable text, cut to `limit` characters."""
    return printable(text if len(text) <= limit else f"{text[: limit - 3]}...")


def dotted(path: Iterable[Any]) -> str:
    """Return a path in the notation of overrides.

    >>> dotted(("optimizer", "betas", 1))
    'optimizer.betas.1'
    """
    return ".".join(truncate(str(key)) for key in path)


def format_value(value: Any) -> str:
    """Return a value as it is written in a file, cut to 60 characters."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, (Mapping, set, frozenset)):
        return "a mapping" if isinstance(value, Mapping) else "a set"
    try:
        return truncate(repr(value), 60)
    except ValueError:
        return "a number of thousands of digits"


def lower_first(text: str) -> str:
    """Lower the first letter of a sentence, unless its first word has other capitals."""
    is_word = text.partition(" ")[0][1:].islower()
    return text[:1].lower() + text[1:] if is_word else text
