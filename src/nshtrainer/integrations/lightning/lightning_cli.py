"""LightningCLI with hyperparameters that are validated by this package.

jsonargparse does not support open unions: from `optimizer: {name: sgd, lr: 0.1}` it creates the
first class that fits the keys. It therefore gets the hyperparameters as a plain mapping, and this
module converts them to a config, by the same rules as in the files of `nshtrainer fit`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, cast

from lightning.pytorch import cli as lightning_cli
from pydantic import create_model
from typing_extensions import override

from nshtrainer.config import Config
from nshtrainer.config.document import fail
from nshtrainer.config.field_types import hints_of, hints_of_constructor
from nshtrainer.config.files import FORMATS
from nshtrainer.config.io import read_document, read_text
from nshtrainer.config.messages import format_value
from nshtrainer.exceptions import ConfigError
from nshtrainer.integrations.lightning.hparams import argument_for_hparams
from nshtrainer.integrations.lightning.module import LightningModuleBase

try:
    from jsonargparse import Namespace
except ModuleNotFoundError as error:
    text = "LightningCLI needs jsonargparse; install it: pip install 'nshtrainer[lightning-cli]'"
    raise ModuleNotFoundError(text) from error

__all__ = ["ConfigArgumentParser", "LightningCLI"]

_PRINT_CONFIG = "--print_config"

_OF_CHOSEN = ("model.hparams", "model.init_args.hparams")
"""Key of the hyperparameters of a module that is chosen by the arguments."""


class LightningCLI(lightning_cli.LightningCLI):
    """Lightning's command line for modules whose hyperparameters are a config.

    Behaves like `lightning.pytorch.cli.LightningCLI`, and takes the same arguments. Every argument
    of the module or of the datamodule that takes a `Config` is read as `nshtrainer fit` reads its
    file: `--model.hparams.optimizer.name=sgd` drops the options of the file's other optimizer, and
    errors end the program with exit code 2 and a line for each key.

    The command line takes precedence over a checkpoint (`--ckpt_path`), which takes precedence over
    the files. `--optimizer` and `--lr_scheduler`, with which Lightning builds an optimizer outside
    the hyperparameters, exist only with `auto_configure_optimizers=True`.

    Args:
        *args: As for Lightning's class.
        parser_class: A `ConfigArgumentParser`, or a class derived from it.
        auto_configure_optimizers: True to let Lightning add arguments for an optimizer.
        **kwargs: As for Lightning's class.

    Raises:
        TypeError: `parser_class` is no `ConfigArgumentParser`.
        SystemExit: The arguments are invalid (code 2), or after `--help` and `--print_config`.

    With `LightningCLI(MyModel)` in `train.py`:

        python train.py fit --config run.yaml --model.hparams.optimizer.lr=1e-4
    """

    def __init__(
        self,
        *args: Any,
        parser_class: type[lightning_cli.LightningArgumentParser] | None = None,
        auto_configure_optimizers: bool = False,
        **kwargs: Any,
    ) -> None:
        parser_class = ConfigArgumentParser if parser_class is None else parser_class
        if not issubclass(parser_class, ConfigArgumentParser):
            raise TypeError(
                f"{parser_class.__name__} would leave hyperparameters to jsonargparse; derive it "
                "from nshtrainer.integrations.lightning.lightning_cli.ConfigArgumentParser"
            )
        self._overrides: list[str] = []
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            *args,
            parser_class=parser_class,
            auto_configure_optimizers=auto_configure_optimizers,
            **kwargs,
        )

    @override
    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Parse the arguments, with the hyperparameters as complete, valid, plain data."""
        if isinstance(args, (dict, Namespace)):
            super().parse_arguments(parser, args)  # pyright: ignore[reportUnknownMemberType]
            self._settle()
            return
        tokens = sys.argv[1:] if args is None else list(args)
        rest, self._overrides = split_overrides(tokens, self._keys())
        self.config: Any = parser.parse_args(
            [token for token in rest if not _is_print_config(token)]
        )
        settled = self._settle()
        if any(map(_is_print_config, rest)):
            texts = [f"--{key}={config.to_yaml()}" for key, config in settled.items()]
            parser.parse_args([*rest, *texts])

    @override
    def instantiate_classes(self) -> None:
        """Build the module, the data and the trainer, with changes that a checkpoint made."""
        settled = self._settle()
        self._dump_config()  # of the plain data, which Lightning keeps for checkpoints
        try:
            self._set_values(settled)
            super().instantiate_classes()
        finally:
            self._set_values({key: config.to_dict() for key, config in settled.items()})

    def _keys(self) -> set[str]:
        """Return the keys of the config arguments that are known before parsing."""
        parsers = [self.parser, *getattr(self, "_subcommand_parsers", {}).values()]
        keys = {key for parser in parsers for key in cast("ConfigArgumentParser", parser).configs}
        return keys | (set(_OF_CHOSEN) if self.subclass_mode_model else set())

    def _settle(self) -> dict[str, Config]:
        """Put the valid configs into the parsed arguments as plain data; return them by key."""
        parsed = self._parsed()
        parser: Any = self._parser(self.config.get("subcommand"))
        configs = {**parser.configs, **_configs_of_chosen(parsed)}
        given: dict[str, Any] = {key: parsed.get(key) or {} for key in configs}
        short, full = _OF_CHOSEN
        overrides = [
            text.replace(short, full, 1) if full in configs and text.startswith(short) else text
            for text in self._overrides
        ]
        settled: dict[str, Config] = {}
        try:
            nested = Namespace()
            for key, value in given.items():
                nested[key] = value
            root = _model_at(configs).from_mapping(nested.as_dict(), overrides=overrides)
            settled = {key: attrgetter(key)(root) for key in configs}
        except ConfigError as error:
            parser.error(str(error))
        self._set_values({key: config.to_dict() for key, config in settled.items()})
        return settled

    def _parsed(self) -> Any:
        """Return the parsed arguments of the subcommand; without one, all arguments."""
        return self.config.get(str(self.config.get("subcommand")), self.config)

    def _set_values(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._parsed()[key] = value


class ConfigArgumentParser(lightning_cli.LightningArgumentParser):
    """Lightning's parser, which takes a config as a whole: a mapping, a file, or key by key.

    `configs` maps the key of each such argument, for example `model.hparams`, to the config class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.configs: dict[str, type[Config]] = {}
        super().__init__(*args, **kwargs)

    @override
    def add_class_arguments(
        self, class_type: Any, nested_key: str | None = None, **kwargs: Any
    ) -> list[str]:
        """Add the arguments of a class; each argument that takes a config is one argument."""
        found = configs_of(class_type)
        skip = {*(kwargs.pop("skip", None) or ()), *found}
        inherited: Any = super()
        added: list[str] = inherited.add_class_arguments(
            class_type, nested_key, skip=skip, **kwargs
        )
        groups = cast("dict[Any, Any]", self.groups or {})
        group = groups.get(nested_key, self)
        for name, cls in found.items():
            key = f"{nested_key}.{name}" if nested_key else name
            self.configs[key] = cls
            group.add_argument(f"--{key}", action=_ConfigAction, default={}, help=_help(key, cls))
            added.append(key)
        return added


class _ConfigAction(argparse.Action):
    """Parser action that merges plain data of a config; the result is validated at the end.

    jsonargparse calls `_check_type` and `_check_type_` with the previously parsed data.
    """

    @override
    def __call__(self, parser: Any, namespace: Any, values: Any, *_: Any, **__: Any) -> None:
        namespace[self.dest] = self._check_type(values, cfg=namespace)

    def _check_type(self, value: Any, cfg: Any = None, **_: Any) -> dict[str, Any]:
        before = cfg.get(self.dest) if cfg else None
        return merged(before or {}, _mapping(value, self.dest))

    _check_type_ = _check_type


# -- which arguments take a config -----------------------------------------------------------------


def configs_of(cls: Any) -> dict[str, type[Config]]:
    """Return the arguments of a constructor that take a config, with the config classes."""
    found = {
        name: hint
        for name, hint in hints_of_constructor(cls).items()
        if isinstance(hint, type) and issubclass(hint, Config)
    }
    if isinstance(cls, type) and issubclass(cls, LightningModuleBase):
        module = cast("type[LightningModuleBase[Any]]", cls)
        found[argument_for_hparams(module)] = module.hparams_cls()
    return found


def _configs_of_chosen(parsed: Any) -> dict[str, type[Config]]:
    """Return the config arguments of a chosen module, which jsonargparse has already imported."""
    chosen = parsed.get("model.class_path")
    if not isinstance(chosen, str):
        return {}
    home, _, name = chosen.rpartition(".")
    found = configs_of(getattr(sys.modules[home], name))
    return {f"model.init_args.{argument}": cls for argument, cls in found.items()}


def _help(key: str, cls: type[Config]) -> str:
    """Return the help text of the argument: its keys, and how to list the components."""
    keys = ", ".join(_described(name, field) for name, field in cls.model_fields.items())
    return (
        f"{cls.__name__}: a mapping, a file, or key by key, as in --{key}.KEY=VALUE. Keys: {keys}"
    ).replace("%", "%%")


def _described(name: str, field: Any) -> str:
    hints = hints_of(field.annotation, field.metadata)
    kinds = [hint.kind for hint in hints if hasattr(hint, "kind")]
    return f"{name} (see `nshtrainer list {kinds[0]}`)" if kinds else name


# -- their values ----------------------------------------------------------------------------------


def split_overrides(tokens: Sequence[str], keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split the arguments that set a single key of a config from the others, as overrides.

    >>> split_overrides(["fit", "--a.b.lr", "1", "--a.b.n=2", "--a.bc=3"], ["a.b"])
    (['fit', '--a.bc=3'], ['a.b.lr=1', 'a.b.n=2'])
    """
    starts = tuple(f"--{key}." for key in keys)
    rest: list[str] = []
    overrides: list[str] = []
    remaining = iter(tokens)
    for token in remaining:
        if not token.startswith(starts):
            rest.append(token)
        elif "=" in token:
            overrides.append(token[2:])
        else:
            # Without a value it stays as it is: an override without `=` is refused with its text.
            overrides.append("=".join([token[2:], *islice(remaining, 1)]))
    return rest, overrides


def _is_print_config(token: str) -> bool:
    return token.partition("=")[0] == _PRINT_CONFIG


def merged(below: Any, above: Any) -> Any:
    """Merge data into other data, key by key; a component of another name replaces the one below.

    >>> merged({"a": 1, "o": {"name": "x", "lr": 1}}, {"o": {"lr": 2}})
    {'a': 1, 'o': {'name': 'x', 'lr': 2}}
    >>> merged({"a": 1, "o": {"name": "x", "lr": 1}}, {"o": {"name": "y"}})
    {'a': 1, 'o': {'name': 'y'}}
    """
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    low, high = cast("Mapping[Any, Any]", below), cast("Mapping[Any, Any]", above)
    if high.get("name", low.get("name")) != low.get("name"):
        return high
    return {**low, **{key: merged(low.get(key), value) for key, value in high.items()}}


def _mapping(value: Any, key: str) -> dict[str, Any]:
    """Return the value of an argument as a mapping, in any form it was given."""
    if isinstance(value, Namespace):
        return value.as_dict()
    if isinstance(value, Config):
        return value.to_dict()
    try:
        data = value
        if isinstance(value, str):
            is_file = value.endswith(tuple(FORMATS))
            data = (read_document(value) if is_file else read_text(value, "yaml", key)).data
        if not isinstance(data, Mapping):
            fail(key, f"must be a mapping or a file with one (got {format_value(data)})")
    except ConfigError as error:
        raise TypeError(str(error)) from error
    return dict(cast("Mapping[str, Any]", data))


# -- all of them in one class ----------------------------------------------------------------------


def _model_at(configs: Mapping[str, type[Config]], prefix: str = "") -> type[Config]:
    """Return a class with the configs at their keys, for full keys in errors and overrides."""
    parts = {
        key.removeprefix(prefix).partition(".")[0] for key in configs if key.startswith(prefix)
    }
    fields: dict[str, Any] = {
        part: (configs.get(prefix + part) or _model_at(configs, f"{prefix}{part}."), ...)
        for part in parts
    }
    return create_model("Arguments", __base__=Config, **fields)
