"""JSON Schema of a run file: ready-made for what nshtrainer has, made for what users add."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshtrainer.console import say_lines

if TYPE_CHECKING:
    from nshtrainer.config.registry import Registry

__all__ = ["READY_MADE", "ready_made_text", "run_schema_text", "schema_comment"]

READY_MADE = Path(__file__).with_name("run.schema.json")
"""The schema of a run file without code or plug-ins, written by `tools/run_schema.py`."""


def run_schema_text(code: str | None) -> str:
    """Return the schema of a run file, as JSON.

    Without code and plug-ins this is a file of the package: importing and describing 200 classes
    takes two seconds.

    Args:
        code: `train.py` or `train.py:Name`, whose fields and components the schema has too. A name
            may be that of a config class, for a file that the class alone describes.

    Raises:
        ConfigError: The code cannot be imported.
    """
    if code is None and not _load_plugins():
        return READY_MADE.read_text(encoding="utf-8")
    if code is None:
        return ready_made_text()
    from nshtrainer.config.schema import schema_text
    from nshtrainer.project.run_file import run_config_for
    from nshtrainer.project.user_code import config_class, load_user_code, split_target

    own = config_class(code) if split_target(code)[1] else None
    cls = own or run_config_for(load_user_code(code))
    _load_plugins()
    return schema_text(cls.json_schema())


def ready_made_text() -> str:
    """Return the schema for the components that are registered now."""
    from nshtrainer.config.schema import schema_text
    from nshtrainer.project.run_file import AnyRunConfig

    return schema_text(AnyRunConfig.json_schema())


def _load_plugins() -> bool:
    """Register the components of installed plug-ins; return True if there are any."""
    from nshtrainer.project.components import registries

    found = [(registry, name) for registry in registries().values() for name in registry.plugins()]
    for registry, name in found:
        _load_plugin(registry, name)
    return bool(found)


def _load_plugin(registry: Registry[Any], name: str) -> None:
    """Register a plug-in; a broken one is left out, so that the rest of a file can be checked."""
    from nshtrainer.exceptions import RegistryError

    try:
        registry.find(name)
    except RegistryError as error:
        say_lines(error, sys.stderr)


def schema_comment(schema: str | Path) -> str:
    """Return the comment that makes editors validate a YAML file with a schema."""
    return f"# yaml-language-server: $schema={schema}"
