"""Command-line parser: argparse with config overrides."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from rich_argparse import RichHelpFormatter
from typing_extensions import override

from nshtrainer.escaping import printable, printable_lines

__all__ = [
    "VERBS",
    "VerbParser",
    "make_parser",
    "parse",
    "split_overrides",
    "without_resume",
]

VERBS = (
    *("new", "fit", "runs", "evaluate", "predict", "explain", "diff", "plot"),
    *("validate", "list", "show", "schema", "completion"),
)
"""The command modules, in the order of the help."""

_WITH_OVERRIDES = ("fit", "evaluate", "predict", "explain", "plot")
_REQUIRED = re.compile("the following arguments are required: (.*)")
_COMMAND = re.compile("argument COMMAND: invalid choice: '(.*?)'")
_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")


class VerbParser(argparse.ArgumentParser):
    """A parser that records its options, and which of them take a value."""

    def __init__(self, **kwargs: Any) -> None:
        self.options: dict[str, bool] = {}
        self.bare: dict[str, str] = {}
        """Values of the options that are given without one."""
        self.actions: dict[str, argparse.Action] = {}
        """All arguments, by their name or option."""
        self.positionals: list[str] = []
        self.completed: dict[str, str] = {}
        """Kind of value that a shell completes, by name or option: `file`, `override`, ..."""
        super().__init__(**kwargs, allow_abbrev=False, formatter_class=RichHelpFormatter)

    @override
    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        """Add an argument, and remember it if it is an option.

        Args:
            *names: As for argparse.
            **kwargs: As for argparse; `is_file` marks a path for shell completion, and
                `completed` a `component`, a `kind` of components or an `override`.
        """
        completed = "file" if kwargs.pop("is_file", False) else kwargs.pop("completed", "")
        action = super().add_argument(*names, **kwargs)
        keys = action.option_strings or [action.dest]
        self.actions.update(dict.fromkeys(keys, action))
        self.completed.update(dict.fromkeys(keys, completed))
        self.positionals += keys if not action.option_strings else []
        self.options.update(dict.fromkeys(action.option_strings, action.nargs != 0))
        if action.nargs == "?":
            self.bare.update(dict.fromkeys(action.option_strings, str(action.const)))
        return action

    def add_run_arguments(self, **config: Any) -> None:
        """Add the arguments that define a run: code, file and overrides."""
        code = "file with one LightningModuleBase, or train.py:Name"
        self.add_argument("code", metavar="train.py", is_file=True, help=code)
        self.add_file("--config", required=True, **{"type": _config_in, **config})
        self.add_overrides("override of the file")

    def add_trained_run_arguments(self) -> None:
        """Add the arguments that define a trained run: those of a run, and its checkpoint."""
        text = "run file, or the folder of a run"
        self.add_run_arguments(type=Path, metavar="FILE|FOLDER", help=text)
        self.add_argument(
            "--checkpoint",
            metavar="best|last|PATH",
            is_file=True,
            help="weights to use (default: best of the newest run, or last if there is no best)",
        )

    def add_file(self, name: str, **kwargs: Any) -> None:
        """Add an argument for a config file."""
        text = "YAML, JSON or TOML, or the folder of a run"
        kwargs = {"metavar": "FILE", "help": text, "type": _file_in, **kwargs}
        self.add_argument(name, is_file=True, **kwargs)

    def add_overrides(self, text: str) -> None:
        """Add the overrides, with a help text."""
        # With a default, or argparse would call them required.
        self.add_argument(
            "overrides",
            nargs="*",
            default=[],
            metavar="key=value",
            help=text,
            completed="override",
        )

    def add_model_files(self) -> None:
        """Add the options for a model without code."""
        text = "names and shapes of the parameters, or a .safetensors file, in place of code"
        self.add_file("--parameters", help=text)
        text = "config.json of a model of transformers, in place of code"
        self.add_file("--transformers", metavar="config.json", help=text)

    def add_code(self, text: str) -> None:
        """Add the option for the user's code, with a help text."""
        self.add_argument("--for", dest="code", metavar="train.py", is_file=True, help=text)

    @override
    def error(self, message: str) -> NoReturn:
        """Exit with an escaped message and the usage."""
        required, command = _REQUIRED.fullmatch(message), _COMMAND.match(message)
        if required and required[1] == "COMMAND":
            message = f"missing COMMAND; {self.prog} --help lists the commands"
        elif required:
            message = f"missing {required[1]}; write {self._shortest_use()}"
        elif command:
            from nshtrainer.config.messages import describe_unknown

            message = describe_unknown("command", command[1], VERBS)
        super().error(printable_lines(printable(message)))

    def _shortest_use(self) -> str:
        """Return the command with the arguments that it needs."""
        words = [self.prog]
        for action in (action for action in self._actions if action.required):
            name = action.metavar or "|".join(action.choices or [action.dest])
            words += [*action.option_strings[:1], str(name)]
        return " ".join(words)


def make_parser() -> tuple[VerbParser, dict[str, VerbParser]]:
    """Build the whole parser; return it and the parsers of the commands by name."""
    from nshtrainer import __version__

    parser = VerbParser(
        prog="nshtrainer",
        description="Train models from config files, and inspect optimizers and schedules.",
    )
    parser.add_argument("--version", action="version", version=f"nshtrainer {__version__}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="verb"
    )
    verbs: dict[str, VerbParser] = {}
    for name in VERBS:
        module = import_module(f"nshtrainer.cli.commands.{name}")
        verbs[name] = subparsers.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(verbs[name])
    return parser, verbs


def parse(argv: Sequence[str]) -> tuple[Callable[[argparse.Namespace], int], argparse.Namespace]:
    """Parse the command line; return the command's function and its arguments.

    Raises:
        SystemExit: `--help`, `--version`, or invalid arguments.
    """
    parser, verbs = make_parser()
    rest, overrides = list(argv), []
    if rest and rest[0] in _WITH_OVERRIDES:
        rest, overrides = split_overrides(rest, verbs[rest[0]])
        _refuse_bare_config(rest, verbs[rest[0]])
    args, left = parser.parse_known_args(rest)
    if left:
        _refuse_rest(args.verb, verbs[args.verb], left)
    if overrides:
        args.overrides = overrides
    args.argv = list(argv)
    return import_module(f"nshtrainer.cli.commands.{args.verb}").run, args


def split_overrides(tokens: Sequence[str], parser: VerbParser) -> tuple[list[str], list[str]]:
    """Split the overrides from the arguments of a command, at any position.

    `a.b=1`, `--a.b=1` and `--a.b 1` are equal; an option of the command is never an override.

    >>> parser = VerbParser()
    >>> _ = parser.add_argument("--config")
    >>> split_overrides(["train.py", "--a.b", "-1", "--config", "x.yaml", "c=2"], parser)
    (['train.py', '--config', 'x.yaml'], ['a.b=-1', 'c=2'])
    """
    rest: list[str] = []
    overrides: list[str] = []
    remaining = iter(tokens)
    for token in remaining:
        name, equals, _ = token.partition("=")
        if name in parser.options:
            value = [] if equals or not parser.options[name] else [*islice(remaining, 1)]
            if value and name in parser.bare and _is_override_after_bare(value[0]):
                rest.append(f"{name}={parser.bare[name]}")
                overrides += value
            else:
                rest += [token, *value]
        elif token.startswith("--") and _PATH.fullmatch(name[2:]):
            _refuse_typo(name, parser)
            text = token[2:] if equals else f"{name[2:]}={_value_of(name, remaining, parser)}"
            overrides.append(text)
        elif _is_override(token):
            overrides.append(token)
        else:
            rest.append(token)
    return rest, overrides


def _config_in(path: str) -> Path:
    return Path(_file_in(path))


def _file_in(path: str) -> str:
    """Return the config of a run for its folder, and any other path as it is."""
    from nshtrainer.config.files import kind_of

    file = Path(path, "config.yaml")
    return str(file) if kind_of(path) == "folder" and kind_of(file) == "file" else path


def _refuse_bare_config(tokens: Sequence[str], parser: VerbParser) -> None:
    """Refuse a config file without its option `--config`."""
    if "--config" not in parser.options or any(t.startswith("--config") for t in tokens):
        return
    for before, token in zip(("", *tokens), tokens, strict=False):
        is_value = token.startswith("-") or parser.options.get(before, False)
        if not is_value and token.endswith((".yaml", ".yml", ".json", ".toml")):
            parser.error(f"{token} is given without its option; write --config {token}")


def _is_override_after_bare(token: str) -> bool:
    """Return True if the text after an option with an optional value is an override.

    A checkpoint may be called `epoch=3.ckpt`, and a folder `lr=1`.
    """
    from nshtrainer.config.files import kind_of

    return _is_override(token) and not token.endswith(".ckpt") and kind_of(token) is None


def _is_override(token: str) -> bool:
    name, equals, _ = token.partition("=")
    return bool(equals and _PATH.fullmatch(name))


def without_resume(tokens: Sequence[str]) -> list[str]:
    """Return a command line without `--resume` and `--weights`, and their values."""
    kept: list[str] = []
    for before, token in zip(("", *tokens), tokens, strict=False):
        is_bare = token.startswith("-") or _is_override_after_bare(token)
        is_value = before == "--weights" or (before == "--resume" and not is_bare)
        if not (is_value or token.partition("=")[0] in {"--resume", "--weights"}):
            kept.append(token)
    return kept


def _value_of(name: str, remaining: Iterator[str], parser: VerbParser) -> str:
    value = next(remaining, None)
    if value is None or value.startswith("--"):
        parser.error(f"{name} needs a value: {name} VALUE, or {name[2:]}=VALUE")
    return value


def _refuse_typo(name: str, parser: VerbParser) -> None:
    from nshtrainer.config.messages import find_similar

    near = find_similar(name, parser.options, cutoff=0.75)
    if near and "." not in name:
        override = f"(to override a key of the file, write {name[2:]}=VALUE)"
        parser.error(f"unknown option {name}; did you mean {near[0]}? {override}")


def _refuse_rest(verb: str, parser: VerbParser, left: Sequence[str]) -> NoReturn:
    from nshtrainer.config.messages import find_similar

    token, *after = left
    if verb in _WITH_OVERRIDES and not token.startswith("-"):
        write = f"{token}={after[0] if after else 'VALUE'}" if _PATH.fullmatch(token) else _OVERRIDE
        parser.error(f"{token} is not an override; write {write}")
    near = find_similar(token, parser.options)
    parser.error(f"unknown argument {token}{f'; did you mean {near[0]}?' if near else ''}")


_OVERRIDE = "path.to.key=value"
