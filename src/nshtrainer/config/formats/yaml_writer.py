"""YAML 1.2 writer, which can also change values in existing YAML and keep its comments."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, PlainScalarString

from nshtrainer.config.formats.yaml_reader import plain_scalar
from nshtrainer.config.parts import parts_of

__all__ = ["update_yaml", "write_yaml"]

_SHORT = 8
"""Lists of at most this many scalars are written on one line."""


class _Resolver(VersionedResolver):
    """A resolver that reads every scalar as text, so that unchanged values keep their form.

    Reading and writing a number would change its form, and in rare cases its value.
    """

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        merge = value == "<<" and implicit[0]
        plain = kind is ScalarNode and not merge
        return cast("Any", super()).resolve(kind, "text" if plain else value, implicit)


def write_yaml(data: Any) -> str:
    """Return plain data as YAML text, which `read_yaml` reads back unchanged.

    >>> print(write_yaml({"lr": 1e-3, "betas": [0.9, 0.999], "note": "no", "rate": "1e-3"}), end="")
    lr: 0.001
    betas: [0.9, 0.999]
    note: "no"
    rate: "1e-3"
    """
    return _dump(_yaml(), _dressed(data))


def _yaml() -> Any:
    yaml: Any = YAML()
    yaml.Resolver = _Resolver
    yaml.preserve_quotes = True
    yaml.width = 1 << 30  # no line is folded: folding changes some texts
    return yaml


def _dump(yaml: Any, data: Any) -> str:
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _dressed(data: Any) -> Any:
    """Return new containers with a style, and quotes around text that YAML would read otherwise."""
    if isinstance(data, Mapping):
        named = cast("Mapping[Any, Any]", data)
        return CommentedMap({_dressed(key): _dressed(part) for key, part in named.items()})
    if isinstance(data, list):
        return _dressed_list(cast("list[Any]", data))
    return _dressed_text(data) if isinstance(data, str) else _number_or_word(data)


def _number_or_word(value: Any) -> str:
    words = {"None": "null", "True": "true", "False": "false", "inf": ".inf", "-inf": "-.inf"}
    text = repr(value)
    # A type of its own: a plain `str` would inherit the quotes of the text that it replaces.
    return PlainScalarString(".nan" if text == "nan" else words.get(text, text))


def _dressed_list(data: list[Any]) -> Any:
    made: Any = CommentedSeq([_dressed(part) for part in data])
    if len(data) <= _SHORT and not any(isinstance(part, (dict, list)) for part in data):
        made.fa.set_flow_style()
    return made


def _dressed_text(text: str) -> str:
    plain = text.isprintable() and _read(text) == text and text.lower() not in _OTHERS
    # ruamel writes `[? a]` without quotes, and reads it as a mapping.
    return text if plain and text[0] not in _INDICATORS else DoubleQuotedScalarString(text)


_INDICATORS = frozenset("-?:,[]{}#&*!|>'\"%@`")


_OTHERS = frozenset({"<<", "=", "y", "n", "yes", "no", "on", "off"})
"""Words that are text in YAML 1.2, but booleans or merges for readers of YAML 1.1."""


def _read(text: str) -> Any:
    try:
        return plain_scalar(text)
    except ValueError:
        return None


# -- changes in existing text ----------------------------------------------------------------


def update_yaml(text: str, old: Any, new: Any) -> str:
    """Change the values that differ between two mappings in YAML text, and keep all else.

    Args:
        text: Valid YAML with a mapping at its root.
        old: The plain data of the text, defaults included.
        new: The plain data to write.
    """
    yaml = _yaml()
    _keep_indentation(yaml, text)
    written: Any = yaml.load(text)
    _update(written, old, new)
    return _dump(yaml, written)


_INDENTED_KEY = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#.*)?\n( +)[^\s#-]", re.MULTILINE)
_INDENTED_ITEM = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#.*)?\n( *)-( +)", re.MULTILINE)


def _keep_indentation(yaml: Any, text: str) -> None:
    """Indent like the text: by its first nested mapping and its first list."""
    key, item = _INDENTED_KEY.search(text), _INDENTED_ITEM.search(text)
    mapping = len(key[2]) - len(key[1]) if key else 2
    offset = len(item[2]) - len(item[1]) if item else 0
    dash = 1 + len(item[3]) if item else 2
    yaml.indent(mapping=mapping, sequence=offset + dash, offset=offset)


def _update(written: Any, old: Any, new: Any) -> None:
    """Update the changed values of a mapping or a list of the file, in place."""
    if isinstance(new, dict):
        for key in [key for key in written if key not in new]:
            del written[key]
    for key, value in parts_of(new):
        before = _at(old, key)
        if same(before, value):
            continue
        inside = _at(written, key)
        if _alike(inside, before, value):
            _update(inside, before, value)
        else:
            at = _dressed(key) if isinstance(new, dict) else key
            written[at] = _dressed(value)


_ABSENT: Any = object()


def _at(container: Any, key: Any) -> Any:
    if isinstance(container, dict):
        return cast("dict[Any, Any]", container).get(key, _ABSENT)
    return container[key]


def _alike(*values: Any) -> bool:
    """Return True if all values are mappings, or all are lists of one length."""
    if all(isinstance(value, list) for value in values):
        return len({len(value) for value in values}) == 1
    return all(isinstance(value, dict) for value in values)


def same(first: Any, second: Any) -> bool:
    """Return True if plain values are equal: 1 and 1.0 are, 1 and true are not, NaN equals NaN."""
    if isinstance(first, dict) and isinstance(second, dict):
        one, two = cast("dict[Any, Any]", first), cast("dict[Any, Any]", second)
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(first, list) and isinstance(second, list):
        left, right = cast("list[Any]", first), cast("list[Any]", second)
        return len(left) == len(right) and all(map(same, left, right))
    return _same_scalar(first, second)


def _same_scalar(first: Any, second: Any) -> bool:
    numbers = (int, float)
    if type(first) in numbers and type(second) in numbers and first == second:
        return str(first)[:1] == str(second)[:1]  # 0.0 and -0.0 differ by their sign
    return type(first) is type(second) and repr(first) == repr(second)
