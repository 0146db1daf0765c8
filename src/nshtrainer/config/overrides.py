"""Command-line overrides such as `optimizer.lr=3e-4`: single values that replace a file's.

Overrides are applied in order; a later one wins. A path is keys and indices separated by dots; the
value is read as YAML. Missing parents start from the defaults of the class. Where a name picks a
component, `optimizer=sgd` and `optimizer.name=sgd` mean the same: the keys of another component in
the file are dropped, and the keys that the same overrides set stay, before or after the switch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, cast, get_origin

from pydantic import BaseModel

from nshtrainer.config.document import MAX_DEPTH, Document, Keys, fail
from nshtrainer.config.field_types import (
    Hints,
    default_at,
    hints_at,
    is_choice,
    is_registry,
    part_of,
)
from nshtrainer.config.messages import describe_unknown, dotted, format_value, truncate
from nshtrainer.exceptions import ConfigError

__all__ = ["Overridden", "Override", "parse_override", "wants_text", "with_default_prefix"]


@dataclass(frozen=True)
class Override:
    """One parsed override.

    Args:
        text: The override as typed, which is the place in messages.
        keys: The parts of its path, all text.
        raw: The text of the value.
        value: The value, read as YAML; the text itself if it is not YAML.
        bad: The reason why the text is not YAML; empty if it is.
    """

    text: str
    keys: tuple[str, ...]
    raw: str
    value: Any
    bad: str = ""

    def as_typed(self) -> Any:
        """Return the value for a field of text: the text as typed, blanks and `#` included.

        Text with quotes, and values that are more than text, are read as YAML.
        """
        blank = self.value is None and self.raw and not self.raw.partition("#")[0].strip()
        plain = isinstance(self.value, str) and not _MARKED.match(self.raw)
        return self.raw if blank or plain else self.value


_MARKED = re.compile(r"\s*['\"|>&*]")
"""Text with quotes, a block, an anchor or an alias."""


def parse_override(text: str) -> Override:
    """Parse `path=value`.

    >>> parse_override("optimizer.betas=[0.9, 0.99]").value
    [0.9, 0.99]

    Raises:
        ConfigError: The override is not text, has no `=`, or a part of the path is empty.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        problem = "is not an override; write 'path.to.key=value', each as a text of its own"
        fail(format_value(text), problem)
    path, equals, raw = text.partition("=")
    keys = tuple(key.strip() for key in path.split("."))
    if not equals:
        fail(text, "is not an override; write 'path.to.key=value'")
    if not all(keys):
        fail(text, "has an empty key in its path; write 'path.to.key=value'")
    if len(keys) > MAX_DEPTH:
        fail(truncate(text), f"has a path of more than {MAX_DEPTH} keys; shorten it")
    value, bad = _read_value(raw)
    return Override(text, keys, raw, value, bad)


def with_default_prefix(
    text: str,
    known: Collection[str],
    inside: Collection[str] | None,
    prefix: str = "model",
    others: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> str:
    """Return an override with the prefix of its path, which may be omitted.

    >>> with_default_prefix("lr=1", known=["model", "trainer"], inside=["lr"])
    'model.lr=1'

    Args:
        text: The override; other text is returned unchanged.
        known: The first keys of whole paths.
        inside: The first keys of paths below the prefix; None if any key is possible.
        prefix: The prefix.
        others: The first keys of paths below other prefixes, which may not be omitted.

    Raises:
        ConfigError: The first key is none of these.
    """
    path, equals, _ = text.partition("=")
    first = path.partition(".")[0].strip()
    if first in known or not (first and equals):
        return text
    if inside is not None and first not in inside:
        other = next((name for name, keys in others.items() if first in keys), "")
        if other:
            fail(text, f"unknown key {first!r}; write {other}.{text}")
        fail(text, describe_unknown("key", first, dict.fromkeys([*known, *inside])))
    return f"{prefix}.{text}"


def _read_value(raw: str) -> tuple[Any, str]:
    from nshtrainer.config.formats.yaml_reader import read_yaml

    try:
        return read_yaml(raw, "").data, ""
    except ConfigError as error:
        return raw, re.sub(r"^:\d+:\d+: ", "", str(error))


class Overridden:
    """A document with overrides applied to a copy of its data.

    Args:
        document: The parsed file; its data is a mapping.
        model: The class at the root, which decides the meaning of names and the defaults.
        overrides: The overrides, in order.

    Raises:
        ConfigError: An override cannot be applied; its text is the place.
    """

    def __init__(
        self, document: Document, model: type[BaseModel], overrides: Iterable[Override]
    ) -> None:
        self._model = model
        self._file = document
        self._data: Any = _plain(document.data)
        self._given = _Given()
        self._count = 0
        for override in overrides:
            self._apply(override)

    @property
    def document(self) -> Document:
        """The data after the overrides; the place of an overridden value is the override's text."""
        return _Mixed(self._data, file=self._file, given=self._given)

    def as_text(self, paths: Iterable[Keys]) -> list[Override]:
        """Return the overrides again, with the values at these paths as typed."""
        wanting = set(paths)
        return [
            replace(override, value=override.raw) if path in wanting else override
            for path, override in self._given.applied()
        ]

    def _apply(self, override: Override) -> None:
        container, path = self._parent(override)
        key = self._key(override, container, path, override.keys[-1])
        path = (*path, key)
        self._refuse_bad(override, path)
        component = self._component(path, override.value)
        if component is None:
            container[key] = self._value(override, path)
            self._given.drop(path).origin = override.text
        else:
            self._switch(override, component)
        self._count += 1
        self._given.at(path).override = self._count, override

    def _refuse_bad(self, override: Override, path: Keys) -> None:
        """Refuse text that is not YAML, unless the field accepts text."""
        if override.bad and not _takes_text(self._hints(path)):
            fail(override.text, f"{dotted(path)}: {override.bad}")

    def _value(self, override: Override, path: Keys) -> Any:
        typed = override.as_typed()
        is_text = isinstance(typed, str) and _takes_text(self._hints(path))
        return typed if is_text else _plain(override.value)

    def _hints(self, path: Keys) -> Hints:
        return hints_at(self._model, path, self._data)

    # -- going down --------------------------------------------------------------------------

    def _parent(self, override: Override) -> tuple[Any, Keys]:
        """Return the container that holds the override's last key; create it if missing."""
        container: Any = self._data
        path: Keys = ()
        for text in override.keys[:-1]:
            key = self._key(override, container, path, text)
            child = part_of(container, key)
            path = (*path, key)
            if not isinstance(child, (dict, list)):
                self._refuse_index(override, path)
                child = container[key] = self._seed(override, container, path)
            container = cast("Any", child)
        return container, path

    def _key(self, override: Override, container: Any, path: Keys, text: str) -> Any:
        """Return the key that the text means in this container."""
        # The keys of a YAML mapping may be numbers, such as the epochs of a schedule's points.
        if isinstance(container, dict):
            number = int(text) if text.isdecimal() else text
            return number if text not in container and number in container else text
        count = len(container)
        whole = f"the whole list: {dotted(path)}=[a, b]"
        few = f"write an index from 0 to {count - 1}, or {whole}"
        allowed = few if count else f"it is empty; write {whole}"
        if not text.isdecimal():
            fail(override.text, f"{dotted(path)}: is a list, which has no {text!r}; {allowed}")
        if int(text) >= count:
            fail(override.text, f"{dotted(path)}: has no item {text}; {allowed}")
        return int(text)

    def _refuse_index(self, override: Override, path: Keys) -> None:
        """Refuse an index into what may be a list or one item, and is no list in the data."""
        index, hints = override.keys[len(path)], self._hints(path)
        kinds = {get_origin(hint) for hint in hints}
        if index.isdecimal() and any(is_registry(hint) for hint in hints) and tuple in kinds:
            problem = f"is not a list here, and has no item {index}"
            remedy = f"write the whole list: {dotted(path)}=[a, b]"
            fail(override.text, f"{dotted(path)}: {problem}; {remedy}")

    def _seed(self, override: Override, container: Any, path: Keys) -> Any:
        """Return the container to create on a path where the data has a bare name or no mapping."""
        key = path[-1]
        child = part_of(container, key)
        if isinstance(child, str) and is_choice(self._hints(path), child):
            return {"name": child}
        if child is not None:
            problem = f"is {format_value(child)}, which has no parts; give it a mapping first"
            fail(override.text, f"{dotted(path)}: {problem}")
        self._given.at(path).origin = override.text
        default: Any = None if _has(container, key) else self._default(path, container)
        empty: Any = {}
        return default if type(default) in (dict, list) else empty

    def _default(self, path: Keys, container: Any) -> Any:
        return _plain(default_at(self._hints(path[:-1]), container, path[-1]))

    # -- switching a component ---------------------------------------------------------------

    def _component(self, path: Keys, value: Any) -> tuple[Keys, str] | None:
        """Return the path of the component and its name, if the override picks one."""
        at = path[:-1] if path[-1] == "name" and len(path) > 1 else path
        choice = isinstance(value, str) and is_choice(self._hints(at), value)
        return (at, value) if choice else None

    def _switch(self, override: Override, component: tuple[Keys, str]) -> None:
        path, name = component
        container: Any = self._data
        for key in path[:-1]:
            container = container[key]
        old = part_of(container, path[-1])
        if not _has(container, path[-1]):
            old = self._default(path, container)
        if old == name or part_of(old, "name") == name:  # no switch: its other keys stay
            container[path[-1]] = old
            self._given.at((*path, "name")).origin = override.text
            return
        kept = [
            other for below, other in self._given.at(path).applied() if below not in ((), ("name",))
        ]
        container[path[-1]] = {"name": name}
        self._given.drop(path).origin = override.text
        for other in kept:
            self._apply(other)


class _Given:
    """A tree of the overrides in force, along their paths."""

    __slots__ = ("origin", "override", "parts")

    def __init__(self) -> None:
        self.origin = ""
        """The text of the override that set the value here; empty if none did."""
        self.override: tuple[int, Override] | None = None
        self.parts: dict[Any, _Given] = {}

    def at(self, path: Keys) -> _Given:
        """Return the node at a path; create it where it is missing."""
        node = self
        for key in path:
            node = node.parts.setdefault(key, _Given())
        return node

    def drop(self, path: Keys) -> _Given:
        """Remove everything at and below a path, and return its new node."""
        self.at(path[:-1]).parts[path[-1]] = _Given()
        return self.at(path)

    def applied(self) -> list[tuple[Keys, Override]]:
        """Return the overrides at and below this node in order, with their paths."""
        found = sorted(self._numbered(()), key=itemgetter(0))
        return [(path, override) for _, path, override in found]

    def _numbered(self, path: Keys) -> Iterator[tuple[int, Keys, Override]]:
        if self.override is not None:
            number, override = self.override
            yield number, path, override
        for key, part in self.parts.items():
            yield from part._numbered((*path, key))  # noqa: SLF001

    def place(self, path: Keys) -> str:
        """Return the override that set the value at a path, or its nearest parent."""
        node: _Given | None = self
        text = self.origin
        for key in path:
            node = node.parts.get(key)
            if node is None:
                break
            text = node.origin or text
        return text


def _has(container: Any, key: Any) -> bool:
    """Return True if a mapping has the key, or a list the index."""
    return isinstance(container, list) or key in container


def _takes_text(hints: Hints) -> bool:
    """Return True if a field may hold text; True also for a value without hints."""
    texts = (str, PurePath)
    return not hints or any(
        hint is Any or (isinstance(hint, type) and issubclass(hint, texts)) for hint in hints
    )


def wants_text(item: dict[str, Any]) -> bool:
    """Return True if a pydantic error may come from text that YAML read as another type."""
    return item["type"] in ("string_type", "path_type", "literal_error", "enum")


@dataclass(frozen=True)
class _Mixed(Document):
    """A document whose data comes from a file and from overrides."""

    file: Document = field(default_factory=lambda: Document({}))
    given: _Given = field(default_factory=_Given)

    def place(self, path: Keys, *, of_key: bool = False) -> str:
        return self.given.place(path) or self.file.place(path, of_key=of_key)


def _plain(value: Any) -> Any:
    """Copy data into new dicts and lists, with config objects dumped."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in cast("Iterable[Any]", value)]
    return value
