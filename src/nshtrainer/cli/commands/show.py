"""Show one component and its fields: type, default, range and meaning."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nshtrainer.cli.parser import VerbParser
    from nshtrainer.config import Config

HELP = "show one component and its fields"
_USAGE = """\
name a component, for example:
  nshtrainer show adamw          an optimizer
  nshtrainer show cosine         a schedule
  nshtrainer show AdamWConfig    a class of nshtrainer.configs
  nshtrainer show trainer        the options of the trainer
nshtrainer list shows the recommended names, nshtrainer list --all every name"""


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    help_text = "a name of 'nshtrainer list', a class such as AdamWConfig, or trainer"
    parser.add_argument("name", metavar="NAME", nargs="?", help=help_text, completed="component")
    parser.add_code("also look in this code")


def run(args: Namespace) -> int:
    """Print the docstring of a class and a table of its fields."""
    from nshtrainer.config.docstrings import class_docs
    from nshtrainer.console import print_table, say, say_lines
    from nshtrainer.project.user_code import import_components

    if args.name is None:
        say_lines(_USAGE, sys.stderr)
        return 2
    if args.code:
        import_components(args.code)
    cls = _class_of(args.name)
    say(f"{cls.__name__}  (from nshtrainer.configs)" if _is_ours(cls) else _full_name(cls))
    say()
    say_lines(class_docs(cls))
    say_lines("\n".join(_declared(cls)))
    print_table(("field", "type", "default", "range", "meaning"), _rows(cls))
    return 0


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "nshtrainer"


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _class_of(name: str) -> type[Config]:
    """Return the class for a component's name or a class's name.

    Raises:
        ConfigError: No component or class has this name.
    """
    from nshtrainer import configs
    from nshtrainer.config import Config
    from nshtrainer.config.messages import suggest, truncate
    from nshtrainer.exceptions import ConfigError
    from nshtrainer.project.components import registries

    if name == "trainer":
        name = "TrainerConfig"
    for registry in registries().values():
        if name in registry:
            return registry[name]
    found = getattr(configs, name, None) if name in dir(configs) else None
    if isinstance(found, type) and issubclass(found, Config):
        return found
    known = {
        part for registry in registries().values() for part in (*registry, *registry.plugins())
    }
    remedy = "nshtrainer list --all shows all names; --for train.py adds those of your code"
    raise ConfigError(
        f"unknown component {truncate(name)!r}{suggest(name, sorted(known))} ({remedy})"
    )


def _declared(cls: type[Config]) -> Iterator[str]:
    """Return the recommendation, the requirements and the origin, if there are any."""
    from nshtrainer.cli.recommended import RECOMMENDED
    from nshtrainer.config.named import NamedConfig
    from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
    from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase

    if issubclass(cls, NamedConfig) and cls.__registry__:
        when = RECOMMENDED[cls.__registry__.kind].get(cls.model_fields["name"].default)
        if when:
            yield f"\nRecommended {when}."
    if issubclass(cls, TorchOptimizerConfigBase) and cls.asks():
        yield f"\nRequires {', '.join(cls.asks())}.".replace("`", "")
    if issubclass(cls, PackageOptimizerConfigBase):
        yield f"\nLicense: {cls.licence}. Installed by: pip install 'nshtrainer[{cls.extra}]'"


def _rows(cls: type[Config]) -> Iterator[tuple[str, str, str, str, str]]:
    from nshtrainer.cli.schema_text import range_text, type_text
    from nshtrainer.config.docstrings import field_docs
    from nshtrainer.config.messages import format_value
    from nshtrainer.config.schema import with_root

    schema, docs = with_root(cls.model_json_schema()), field_docs(cls)
    for name, field in cls.model_fields.items():
        part: dict[str, Any] = schema["properties"].get(field.alias or name, {})
        default = "required" if field.is_required() else format_value(field.get_default())
        text = docs.get(name, "").replace("\n", " ").replace("`", "")
        yield name, type_text(part, schema), default, range_text(part), text
