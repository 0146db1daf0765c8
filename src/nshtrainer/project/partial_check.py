"""Validate a run file without importing the user's code.

The check builds a config class for the data: each section that names a registered component is a
field of that kind, and any value is allowed elsewhere. Errors and their places come from `Config`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Optional, cast

from pydantic import ConfigDict, Field, create_model

from nshtrainer.config import Config
from nshtrainer.config.document import Document
from nshtrainer.config.io import load, read_document, read_mapping
from nshtrainer.config.messages import dotted
from nshtrainer.config.overrides import Overridden, parse_override, with_default_prefix
from nshtrainer.config.parts import parts_of
from nshtrainer.config.registry import Registry
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError
from nshtrainer.project.components import registries
from nshtrainer.project.run_file import IN_TRAINER, PARTS
from nshtrainer.trainer_config import TrainerConfig

__all__ = ["check_loosely", "read_data_loosely", "read_loosely"]

Path = tuple[Any, ...]


class _Open(Config):
    """A mapping with some known keys."""

    model_config = ConfigDict(extra="allow")


class _Model(_Open):
    """The section `model`, with the names that messages put under it."""

    optimizer: Any = None
    lr_scheduler: Any = None


def check_loosely(file: str) -> str:
    """Check every section of a file that names a registered component, and `trainer`.

    A file without the sections `model`, `data` and `trainer` may be any config.

    Returns:
        The checked sections, and the unchecked ones.

    Raises:
        ConfigError: The file is invalid; the message has a line for each problem.
    """
    _, shapes = _read(read_document(file), ())
    return "\n".join(_report(file, shapes))


def read_loosely(file: str, overrides: Sequence[str] = ()) -> tuple[Config, Document]:
    """Read every section of a file that names a registered component, and `trainer`.

    Args:
        file: The file of a run, or any config.
        overrides: Values that override the file's; for a run file `model.` is optional.

    Returns:
        The file as a config, and the positions of its values.

    Raises:
        ConfigError: The file is invalid; the message has a line for each problem.
    """
    document = read_document(file)
    config, _ = _read(document, [_with_prefix(text, document.data) for text in overrides])
    return config, document


def read_data_loosely(data: Mapping[str, Any]) -> Config:
    """Return every section of plain data that names a registered component, and `trainer`.

    Raises:
        ConfigError: The data is invalid; the message has a line for each problem.
    """
    return _read(read_mapping(data), ())[0]


def _read(document: Document, overrides: Sequence[str]) -> tuple[Config, _PartialModelBuilder]:
    shapes = _PartialModelBuilder()
    root = shapes.root(document.data)
    try:
        if overrides and isinstance(document.data, dict):
            # A component that an override brings is one, too.
            changed = Overridden(document, root, [parse_override(text) for text in overrides])
            shapes = _PartialModelBuilder()
            root = shapes.root(changed.document.data)
        return load(root, document, overrides, plugins=True), shapes
    except ConfigError as error:
        raise ConfigError(f"{error}{shapes.note()}") from error


_OF_A_MODEL = ("optimizer", "lr_scheduler")
"""The kinds of components that hyperparameters have, under these keys."""


def _with_prefix(text: str, data: Any) -> str:
    """Return the override with the optional `model.`; refuse an unknown key."""
    if not isinstance(data, dict) or "name" in data:
        return text
    keys = cast("dict[str, Any]", data)
    if not any(part in keys for part in PARTS):
        return with_default_prefix(text, [*keys, *_OF_A_MODEL], inside=())
    model: Any = keys.get("model")
    inside: list[str] = [*model] if isinstance(model, dict) else []
    return with_default_prefix(text, PARTS, [*inside, *_OF_A_MODEL], others=IN_TRAINER)


def _report(file: str, shapes: _PartialModelBuilder) -> Iterable[str]:
    yield printable(f"{file}: ok")
    yield f"  checked: {', '.join(shapes.checked) or 'nothing'}"
    if shapes.unchecked:
        yield f"  not checked without --for train.py: {', '.join(shapes.unchecked)}"


class _PartialModelBuilder:
    """Builder of types that fit the data; lists the checked and the unchecked sections."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.unchecked: list[str] = []
        self._registries = registries()
        self._names = {kind: {*each, *each.plugins()} for kind, each in self._registries.items()}

    def root(self, data: dict[Any, Any]) -> type[Config]:
        """Return the class for the data of a whole document."""
        if not isinstance(data, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            return _Open
        registry = self._registry("", data)
        if registry is not None:
            self.checked.append(data["name"])
            return registry[data["name"]]
        if not any(part in data for part in PARTS):
            return self._mapping(data, ())
        return self._run_file(data)

    def note(self) -> str:
        """Return a remark on `--for train.py` if custom components were left unchecked."""
        own = set(self.checked) - {"trainer"}
        return "\n(for custom components, add --for train.py)" if own else ""

    def _run_file(self, data: dict[Any, Any]) -> type[Config]:
        fields: dict[str, Any] = {}
        for part in ("model", "data"):
            fields[part] = (self._type(part, data[part], (part,)) if part in data else Any, None)
        if fields["model"][0] is Any and isinstance(data.get("model", {}), dict):
            fields["model"] = (_Model, _Model())
        fields["trainer"] = (TrainerConfig, TrainerConfig())
        if "trainer" in data:
            self.checked.append("trainer")
        return create_model("RunConfig", __base__=Config, **fields)

    def _type(self, key: Any, value: Any, path: Path) -> Any:
        """Return the type of one value: a component, a mapping with components, or anything."""
        registry = self._registry(key, value)
        if registry is not None:
            self.checked.append(dotted(path))
            return Optional[Annotated[registry.base, registry]]  # noqa: UP045 - not for a value
        if _has_text_keys(value) and self._inside(value):
            return self._mapping(cast("dict[Any, Any]", value), path)
        if isinstance(value, list) and self._inside(value):
            items = enumerate(cast("list[Any]", value))
            return tuple[tuple(self._type(key, item, (*path, i)) for i, item in items)]
        if value is not None:
            self.unchecked.append(dotted(path))
        return Any

    def _mapping(self, data: dict[Any, Any], path: Path) -> type[Config]:
        """Return a class with a field for each key; neutral field names allow any key."""
        fields: dict[str, Any] = {}
        for index, (key, value) in enumerate(data.items()):
            found = self._type(key, value, (*path, key))
            if key in _Model.model_fields:
                fields[key] = (found, None)
            elif found is not Any:
                fields[f"field_{index}"] = (found, Field(alias=str(key)))
        base = _Model if path == ("model",) else _Open
        return create_model("Mapping", __base__=base, **fields)

    def _inside(self, value: Any) -> bool:
        """Return True if the value contains a component."""
        return any(
            self._registry(key, part) is not None
            or ((isinstance(part, list) or _has_text_keys(part)) and self._inside(part))
            for key, part in parts_of(value)
        )

    def _registry(self, key: Any, value: Any) -> Registry[Any] | None:
        """Return the registry of a value: by its key, or by the component's name."""
        mapping = isinstance(value, dict)
        name = cast("dict[Any, Any]", value).get("name") if mapping else value
        own = self._registries.get(key) if isinstance(key, str) else None
        if own is not None and isinstance(name, str):
            return own
        if not mapping or not isinstance(name, str):
            return None
        found = (kind for kind, names in self._names.items() if name in names)
        return self._registries.get(next(found, ""))


def _has_text_keys(value: Any) -> bool:
    """Return True if a class can represent a mapping."""
    return isinstance(value, dict) and all(
        isinstance(key, str) for key in cast("dict[Any, Any]", value)
    )
