"""Configs for people: the arguments of a repr, lines for IPython, and a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nshtrainer.config.display.html import html_table
from nshtrainer.config.docstrings import field_docs
from nshtrainer.config.field_types import default_of
from nshtrainer.config.messages import dotted, truncate
from nshtrainer.config.parts import find_configs
from nshtrainer.escaping import xml_text

__all__ = ["config_table", "print_pretty", "shown_fields"]


def shown_fields(config: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield the required fields, and the others whose values are not the defaults.

    Fields with `repr=False`, such as passwords, are left out.

    >>> from nshtrainer.configs import SGDConfig
    >>> SGDConfig(lr=0.1, momentum=0.9, weight_decay=0)
    SGDConfig(lr=0.1, momentum=0.9)
    """
    for name, field in type(config).model_fields.items():
        value = getattr(config, name, None)
        if field.repr and not _is_default(value, field):
            yield name, value
    yield from (config.model_extra or {}).items()


def _is_default(value: Any, field: FieldInfo) -> bool:
    if field.is_required():
        return False
    try:
        default = default_of(field)
        # A default of 0 is equal to a value of 0.0, but False is not.
        return isinstance(value, bool) is isinstance(default, bool) and bool(value == default)
    except Exception:  # noqa: BLE001 a factory or a comparison of the user's may raise anything
        return False


def print_pretty(config: BaseModel, printer: Any) -> None:
    """Print a config in IPython, with a line for each field if one line is too short for all.

    Args:
        config: The config.
        printer: IPython's `RepresentationPrinter`.
    """
    start = f"{type(config).__name__}("
    with printer.group(4, start, ")"):
        for number, (name, value) in enumerate(shown_fields(config)):
            if number:
                printer.text(",")
            printer.breakable("" if not number else " ")
            printer.text(f"{name}=")
            printer.pretty(value)


def config_table(config: BaseModel) -> str:
    """Return a table of a config as HTML: field, value and meaning, with defaults dimmed.

    Of a config within the config, only values that are not defaults are shown.
    """
    rows = list(_rows(config))
    dimmed = {number for number, (*_, is_default) in enumerate(rows) if is_default}
    table = html_table(("field", "value", "meaning"), [row[:3] for row in rows], dimmed)
    return f"<strong>{xml_text(type(config).__name__)}</strong>\n{table}"


def _rows(config: BaseModel, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, str, str, bool]]:
    docs = field_docs(type(config))
    for name, field in type(config).model_fields.items():
        value, place = getattr(config, name, None), (*path, name)
        is_default = _is_default(value, field)
        if not field.repr or (path and is_default):
            continue
        inner = {} if is_default else dict(find_configs(value, BaseModel, path=place))
        # A config with a text of its own, such as a duration, is one value.
        inner = {at: each for at, each in inner.items() if str(each) == repr(each)}
        meaning = " ".join(docs.get(name, "").replace("`", "").split())
        yield dotted(place), _value_text(value, inner), truncate(meaning, 160), is_default
        for at, each in inner.items():
            yield from _rows(each, at)


def _value_text(value: Any, inner: Any) -> str:
    if inner:  # rows of their own follow
        kind = type(value).__name__
        return kind if isinstance(value, BaseModel) else f"{kind} of {len(value)}"
    try:
        return truncate(str(value) if isinstance(value, BaseModel) else repr(value), 200)
    except ValueError:
        return "a number of thousands of digits"
