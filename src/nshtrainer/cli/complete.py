"""Shell completion: the words that may follow on a command line, without heavy imports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from importlib import import_module

from nshtrainer.cli.parser import VERBS, VerbParser, make_parser, split_overrides
from nshtrainer.escaping import printable

__all__ = ["FILES", "complete", "print_candidates"]

FILES = ":files"
"""The candidate that stands for the names of files, which the shell knows."""

Candidates = dict[str, str]


def complete(words: Sequence[str]) -> Candidates:
    """Return the candidates for the last of some words, each with a description.

    >>> list(complete(["sch"]))
    ['schema']
    >>> complete(["fit", "train.py", "trainer.max_ep"])
    {'trainer.max_epochs=': 'Epochs to train, -1 for no limit; left out, 1000 unless ...'}

    Args:
        words: The words of a command line after the name of the program.
    """
    verb, *before = words[:-1] or [""]
    if len(words) < 2:
        found = {name: import_module(f"nshtrainer.cli.commands.{name}").HELP for name in VERBS}
        found |= {"--help": "show the help", "--version": "show the version"}
    elif verb not in VERBS:
        return {}
    else:
        found = _arguments(make_parser()[1][verb], before, words[-1])
    return {text: found[text] for text in found if text == FILES or text.startswith(words[-1])}


def print_candidates(words: Sequence[str]) -> int:
    """Print a line for each candidate: the word, a tab and a description."""
    for text, description in complete(words or [""]).items():
        print(printable(text), printable(description), sep="\t")
    return 0


def _arguments(parser: VerbParser, before: list[str], current: str) -> Candidates:
    """Return what a command takes after some words."""
    last = before[-1] if before else ""
    option = current.partition("=")[0] if "=" in current else last
    if parser.options.get(option):
        kinds = [option]
    elif current.startswith("-"):
        return {option: parser.actions[option].help or "" for option in parser.options}
    else:
        kinds = [*_next_positionals(parser, len(_positionals(parser, before)))]
    found: Candidates = {}
    for kind in kinds:
        found |= _values(parser, kind, before, current)
    return found


def _positionals(parser: VerbParser, before: list[str]) -> list[str]:
    """Return the words that are no options, values of options or overrides."""
    rest = iter(split_overrides(before, parser)[0])
    found: list[str] = []
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in parser.options:
            found.append(word)
        elif parser.options[name] and not equals:
            next(rest, None)
    return found


def _next_positionals(parser: VerbParser, given: int) -> Iterator[str]:
    """Yield the names of the positional arguments that the next word may belong to."""
    for name in parser.positionals:
        several = parser.actions[name].nargs in ("*", "+")
        if several or not given:
            yield name
        if not (several or given) or (parser.actions[name].nargs == "+" and not given):
            return
        given = 0 if several else given - 1


def _values(parser: VerbParser, name: str, before: list[str], current: str) -> Candidates:
    """Return the values of an argument."""
    from nshtrainer.project.schema_paths import (
        SchemaPaths,
        override_candidates,
        ready_made_schema,
    )

    kind = parser.completed[name]
    if kind == "file":
        return {FILES: ""}
    if kind == "override":
        rest, overrides = split_overrides(before, parser)
        named = [file for option, file in itertools.pairwise(rest) if option == "--config"]
        named += [word.partition("=")[2] for word in rest if word.startswith("--config=")]
        file = next(iter([*named, *_positionals(parser, before)]), "")
        return override_candidates(file, overrides, current)
    components = SchemaPaths(ready_made_schema(), {}).components() if kind else {}
    if kind == "component":
        found = {name: text for names in components.values() for name, text in names.items()}
        return {**found, "trainer": "Options of the trainer."}
    return dict.fromkeys(components or map(str, parser.actions[name].choices or ()), "")
