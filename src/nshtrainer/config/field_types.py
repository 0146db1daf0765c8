"""Config classes at a path: one walk along the annotations of fields, and the data.

A *hint* is one type that a field accepts: a class, a generic such as `list[int]`, or a registry,
which is found in the metadata of an `Annotated` type. A field has a tuple of them (its union).
This module never loads a plug-in.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import Format, get_annotations

__all__ = [
    "Hints",
    "Sections",
    "default_at",
    "default_of",
    "field_of",
    "hints_at",
    "hints_below",
    "hints_of",
    "hints_of_constructor",
    "is_choice",
    "is_registry",
    "models_of",
    "names_of",
    "part_at",
    "part_of",
]

Hints: TypeAlias = "tuple[Any, ...]"
Path: TypeAlias = "tuple[Any, ...]"


def hints_of(annotation: Any, metadata: Iterable[Any] = ()) -> Hints:
    """List the types that an annotation allows, with unions and `Annotated` taken apart."""
    registry = next((item for item in metadata if is_registry(item)), None)
    if registry is not None:
        return (registry,)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        return hints_of(inner, extra)
    if origin in (Union, UnionType):
        return tuple(hint for part in get_args(annotation) for hint in hints_of(part))
    if hasattr(annotation, "__value__"):  # type Alias = ...
        return hints_of(annotation.__value__)
    if isinstance(annotation, TypeVar):
        return hints_of(annotation.__bound__)
    own = vars(annotation).get("__registry__") if isinstance(annotation, type) else None
    return (annotation if own is None else own,)


def hints_of_constructor(cls: Any, *, include_extras: bool = False) -> dict[str, Any]:
    """Return the annotations of a constructor's arguments, as far as they can be resolved.

    An annotation may name a class that is imported for type checkers only.

    Args:
        cls: The class.
        include_extras: Keep `Annotated`.
    """
    function = inspect.unwrap(cls.__init__)
    known: dict[str, Any] = getattr(function, "__globals__", {})
    found: dict[str, Any] = {}
    for name, hint in get_annotations(function, format=Format.FORWARDREF).items():
        one = SimpleNamespace(__annotations__={name: hint})
        with suppress(AttributeError, NameError, SyntaxError, TypeError):
            found |= get_type_hints(one, known, include_extras=include_extras)
    return found


def is_registry(item: Any) -> bool:
    """Return True for a registry of components, which stands for all their classes."""
    return hasattr(item, "kind") and hasattr(item, "find")


def models_of(hints: Hints, data: Any) -> list[type[BaseModel]]:
    """List the classes that the data may become; of classes with names, only the one it names."""
    if isinstance(data, BaseModel):
        return [type(data)]
    found = [model for hint in hints for model in _models(hint, data)]
    name = _name_in(data)
    named = [model for model in found if name in names_of(model)]
    return named or [model for model in found if name is None or not names_of(model)]


def _models(hint: Any, data: Any) -> list[type[BaseModel]]:
    if is_registry(hint):
        name = _name_in(data)
        model = None if name is None else hint.find(name, plugins=False)
        return [] if model is None else [model]
    return [hint] if isinstance(hint, type) and issubclass(hint, BaseModel) else []


def _name_in(data: Any) -> str | None:
    """Return the name in `{name: adamw, ...}` or in the bare `adamw`."""
    if isinstance(data, Mapping):
        data = cast("Mapping[Any, Any]", data).get("name")
    return data if isinstance(data, str) else None


def names_of(model: type[BaseModel]) -> tuple[Any, ...]:
    """Return the values of a class's `name: Literal[...]`; none if it has no such field."""
    field = model.model_fields.get("name")
    annotation = None if field is None else field.annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def is_choice(hints: Hints, name: str) -> bool:
    """Return True if the name picks a component of a registry or a class with a `Literal` name."""
    if any(get_origin(hint) is Literal and name in get_args(hint) for hint in hints):
        return False  # the text itself is a value of the union
    return any(
        is_registry(hint) or any(name in names_of(model) for model in _models(hint, None))
        for hint in hints
    )


def field_of(model: type[BaseModel], key: Any) -> FieldInfo | None:
    """Return the field of a class with this name or alias."""
    fields = model.model_fields
    if key in fields:
        return fields[key]
    return next((field for field in fields.values() if field.alias == key), None)


def hints_below(hints: Hints, data: Any, key: Any) -> Hints:
    """Return the hints for one part of the data, by its key or index."""
    fields = (field_of(model, key) for model in models_of(hints, data))
    below = [
        hint for field in fields if field for hint in hints_of(field.annotation, field.metadata)
    ]
    for hint in hints:
        below += _inside(hint, key)
    return tuple(below)


def _inside(generic: Any, key: Any) -> Hints:
    origin, arguments = get_origin(generic), get_args(generic)
    if not (isinstance(origin, type) and arguments):
        return ()
    if issubclass(origin, Mapping):
        return hints_of(arguments[-1])
    if issubclass(origin, tuple) and arguments[-1] is not ...:
        fits = isinstance(key, int) and 0 <= key < len(arguments)
        return hints_of(arguments[key]) if fits else ()
    return hints_of(arguments[0]) if isinstance(key, int) else ()


def hints_at(root: type[BaseModel], path: Iterable[Any], data: Any) -> Hints:
    """Return the hints at a path below a class, as far as the data decides them."""
    hints: Hints = (root,)
    for key in path:
        hints = hints_below(hints, data, key)
        data = part_of(data, key)
    return hints


def part_of(data: Any, key: Any) -> Any:
    """Return a part of data or of a config, by its key or index; None if it has no such part."""
    if isinstance(data, BaseModel):
        return getattr(data, key, None) if isinstance(key, str) else None
    if isinstance(data, (Mapping, list, tuple)):
        try:
            return cast("Any", data)[key]
        except (LookupError, TypeError):
            pass
    return None


def default_at(hints: Hints, data: Any, key: Any) -> Any:
    """Return the default of a field of the class at this place; None if there is none."""
    for model in models_of(hints, data):
        field = field_of(model, key)
        if field is not None and not field.is_required():
            return default_of(field)
    return None


def default_of(field: FieldInfo) -> Any:
    """Return the default of a field; None if it is computed from other fields."""
    if field.default_factory is not None and field.default_factory_takes_validated_data:
        return None
    return field.get_default(call_default_factory=True, validated_data={})


def part_at(data: Any, path: Iterable[Any]) -> Any:
    """Return the part of data or of a config at a path; None if there is none."""
    for key in path:
        data = part_of(data, key)
    return data


class Sections:
    """The sections of the data: the classes along a path, and those in their fields.

    Args:
        model: The class at the root.
        data: The data.
    """

    def __init__(self, model: type[BaseModel], data: Any) -> None:
        self._model, self._data = model, data
        self._homes: dict[Path, dict[str, list[Path]]] = {}

    def homes(self, path: Path) -> list[Path]:
        """Return the paths of the nearest other sections that have the last key."""
        *above, key = path
        is_component = "name" in (part_at(self._data, above) or ())
        for size in range(len(above), -1, -1):
            here = tuple(above[:size])
            homes = self._near(here).get(key, [])
            # A key of a component is hardly meant for another component beside it.
            is_near = homes == [here] or here == tuple(above) or not is_component
            if homes and tuple(above) not in homes and is_near:
                return homes
        return []

    def home_of_component(self, path: Path) -> Path | None:
        """Return the path of the nearest field for the component whose name is at this path."""
        name = part_at(self._data, path)
        if path[-1:] != ("name",) or not isinstance(name, str):
            return None
        for key, homes in self._near(path[:-1]).items():
            for place in homes:
                below = hints_at(self._model, (*place, key), self._data)
                if any(is_registry(hint) and hint.find(name, plugins=False) for hint in below):
                    return (*place, key)
        return None

    def _near(self, here: Path) -> dict[str, list[Path]]:
        """Return the sections of each key of the class at a path, and of those in its fields."""
        if here not in self._homes:
            hints, part = hints_at(self._model, here, self._data), part_at(self._data, here)
            names = [name for model in models_of(hints, part) for name in model.model_fields]
            places = [((*here, name), hints_below(hints, part, name)) for name in names]
            homes: dict[str, list[Path]] = {}
            for place, below in [(here, hints), *places]:
                for model in models_of(below, part_at(self._data, place)):
                    for name in model.model_fields:
                        known = homes.setdefault(name, [])
                        if place not in known and here not in known:
                            known.append(place)
            self._homes[here] = homes
        return self._homes[here]
