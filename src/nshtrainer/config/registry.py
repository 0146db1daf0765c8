"""Registries: open unions of config classes, selected by the name in a file.

A class that is registered, by decorator or by an installed plug-in, is a legal value wherever that
kind of component is a field, even if the user's own config class was defined before.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Annotated, Any, Generic, cast

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import LiteralString, TypeVar, overload

from nshtrainer.config.field_types import names_of
from nshtrainer.config.lazy_index import IndexEntry, read_index, same_source, summary_of
from nshtrainer.config.messages import format_value, suggest, truncate
from nshtrainer.config.named import NamedConfig
from nshtrainer.config.plugins import announced, conflicts, find_plugin, loading
from nshtrainer.config.schema.unions import NAME_ALONE
from nshtrainer.config.validation import plain_containers
from nshtrainer.exceptions import ConfigError, RegistryError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Registry"]

T = TypeVar("T", bound="NamedConfig")
C = TypeVar("C", bound="type[NamedConfig]")

_MOST_LISTED = 20
"""The most names that a message lists; for more it names the command that lists them."""

_registering = RLock()
"""Held while a name is checked and taken; lookups need no lock."""

_being_described: ContextVar[frozenset[str]] = ContextVar("_being_described", default=frozenset())


class Registry(Mapping[str, type[T]], Generic[T]):
    """The classes of one kind of component, by name; also the pydantic type of a field.

    `Annotated[Base, registry]` is a field type. The class is looked up when a value is validated,
    so that registering a class later needs no rebuild. The mapping holds the classes that this
    package and the running program registered; a plug-in joins when its name is used.

    Args:
        base: The abstract class that every member derives from.
        kind: The word for one member in messages, such as `"optimizer"`.
        entry_point_group: The group of plug-ins in other packages: `name = "module:Class"`.
        modules: Modules of this package whose import registers members, imported in this order
            until a name is found.
        index: A module of this package whose `INDEX` lists the members of further modules, so that
            looking up a name imports only the module of that name.
    """

    def __init__(
        self,
        base: type[T],
        *,
        kind: str,
        entry_point_group: str,
        modules: tuple[str, ...] = (),
        index: str | None = None,
    ) -> None:
        self.base = base
        self.kind = kind
        self.entry_point_group = entry_point_group
        self.modules = modules
        self._index = index
        self._classes: dict[str, type[T]] = {}
        base.__registry__ = self

    # -- registering -------------------------------------------------------------------------

    @overload
    def register(self, cls: C, /) -> C: ...
    @overload
    def register(self, /, *, override: bool = False) -> Callable[[C], C]: ...
    def register(self, cls: Any = None, /, *, override: bool = False) -> Any:
        """Register a class under its `Literal` name; usable as a decorator, with or without ().

        A class that is defined again (a notebook cell, a reload) replaces the older one.

        Args:
            cls: A concrete subclass of the registry's base.
            override: Take over a name from another class, on purpose.

        Raises:
            RegistryError: The name is taken, or the class is no subclass, is abstract, or has no
                `Literal` name.
        """
        if cls is None:
            return partial(self._add, override=override)
        return self._add(cls, override=override)

    def _add(self, cls: type[T], *, override: bool) -> type[T]:
        self._check_class(cls)
        names = self._names_of(cls)
        indexed = {} if cls.__module__ in self.modules else self._indexed
        with _registering:
            if any(name in indexed and indexed[name].is_it(cls) for name in names):
                # The index reserved the name before this import; another class took it on purpose.
                for name in names:
                    self._classes.setdefault(name, cls)
                return cls
            for name in names:
                self._check_free(name, cls, indexed, override=override)
            self._classes.update(dict.fromkeys(names, cls))
        return cls

    def _check_free(
        self, name: str, cls: type[T], indexed: Mapping[str, IndexEntry], *, override: bool
    ) -> None:
        old = self._classes.get(name, indexed.get(name))
        if old is not None and not (override or same_source(old, cls)):
            raise RegistryError(
                f"{self.kind} name {name!r} is already taken by {_where(old)}; choose another "
                f"name for {_where(cls)}, or register it with override=True"
            )

    @cached_property
    def _indexed(self) -> dict[str, IndexEntry]:
        """The members in the index, by name, imported or not."""
        return read_index(self._index)

    def _check_class(self, cls: Any) -> None:
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            raise RegistryError(f"{cls!r} is no {self.kind}: derive it from {self.base.__name__}")
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(cls.__abstractmethods__))
            raise RegistryError(f"{_where(cls)} is abstract: write its {missing}")

    def _names_of(self, cls: type[T]) -> tuple[str, ...]:
        names = names_of(cls)
        if not names or not all(isinstance(name, str) for name in names):
            raise RegistryError(
                f'{_where(cls)} has no name: write `name: Literal["my_name"] = "my_name"` in it'
            )
        field = cls.model_fields["name"]
        if field.is_required():
            field.default = names[0]
            cls.model_rebuild(force=True)
        return names

    @contextmanager
    def scoped(self) -> Generator[None]:
        """Make registrations temporary within a block, for tests."""
        self._import_all()  # an import within the block would register classes that the end removes
        before = dict(self._classes)
        try:
            yield
        finally:
            self._classes = before

    # -- looking up --------------------------------------------------------------------------

    def __getitem__(self, name: str) -> type[T]:
        cls = self.find(name)
        if cls is None:
            raise KeyError(self.unknown(name))
        return cls

    def __iter__(self) -> Iterator[str]:
        self._import_all()
        return iter(dict.fromkeys([*self._classes, *self._indexed]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<registry of {self.kind}s>"

    def plugins(self) -> dict[str, EntryPoint]:
        """Return the entry points of members in other installed packages, by name."""
        return announced(self.entry_point_group)

    def conflicts(self) -> dict[str, str]:
        """Return a message for each name that a plug-in shares with nshtrainer or another plug-in.

        A name that the running program took over on purpose is no conflict.
        """
        self._import_all()
        members = {**self._indexed, **self._classes}
        own = {name: _where(each) for name, each in members.items()}
        ours = {name: text for name, text in own.items() if text.startswith("nshtrainer.")}
        return conflicts(self.kind, self.entry_point_group, ours)

    def unknown(self, name: str) -> str:
        """Return the message for an unregistered name, with the most similar registered one."""
        names = sorted({*self, *self.plugins()})
        hint = suggest(name, names)
        return f"unknown {self.kind} {truncate(name)!r}{hint} ({self._listed(names)})"

    def _listed(self, names: Sequence[str]) -> str:
        """Return the names for a message; only their number where there are many."""
        if len(names) <= _MOST_LISTED:
            return f"registered: {', '.join(names)}"
        return f"{len(names)} are registered; `nshtrainer list {self.kind} --all` shows them"

    def find(self, name: str, *, plugins: bool = True) -> type[T] | None:
        """Return the class with a name, or None.

        Args:
            name: The name.
            plugins: Search installed plug-ins too.

        Raises:
            RegistryError: The plug-in failed to load, or several packages announce the name.
        """
        for module in (None, *self.modules):
            if module is not None:
                import_module(module)
            if name in self._classes:
                return self._classes[name]
        if name in self._indexed:
            return self._classes.setdefault(name, self._indexed[name].load())
        return self._load_plugin(name) if plugins else None

    def read(self, value: str | Mapping[str, Any]) -> T:
        """Return the config of a name, or of a mapping with a name, as a field reads it.

        Raises:
            ConfigError: The value describes no valid config.
        """
        from nshtrainer.config.document import Document
        from nshtrainer.config.errors import describe

        try:
            return TypeAdapter(Annotated[Any, self]).validate_python(value)
        except ValidationError as error:
            text = describe(error, self.base, Document(value, self.kind))
            raise ConfigError(text) from None

    def summaries(self) -> dict[str, tuple[str, str]]:
        """Return class name and first line of each member; indexed members are not imported."""
        self._import_all()
        indexed = {name: (each.cls, each.summary) for name, each in self._indexed.items()}
        return indexed | {name: summary_of(cls) for name, cls in self._classes.copy().items()}

    def _import_all(self) -> None:
        for module in self.modules:
            import_module(module)

    def _load_plugin(self, name: str) -> type[T] | None:
        entry = find_plugin(self.kind, self.entry_point_group, name)
        if entry is None:
            return None
        with loading(self.kind, entry):
            cls = entry.load()
            if name not in self._classes:
                self._add(cls, override=False)
            return self._classes[name]

    # -- the type of a field -----------------------------------------------------------------

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.any_schema(),
        )

    def _validate(self, value: Any, info: ValidationInfo) -> T:
        if isinstance(value, dict):
            return self._build(cast("dict[Any, Any]", value), info)
        if isinstance(value, self.base):
            return self._accept(value)
        if isinstance(value, str):
            return self._build({"name": value}, info)
        if isinstance(value, Mapping):
            return self._build(dict(plain_containers(value)), info)
        text = f"write the {self.kind} as a mapping with a 'name', or give a config"
        if isinstance(value, type) and issubclass(value, self.base):
            text = f"{value.__name__} is a class; write {value.__name__}(...)"
        else:
            text += f" (got {format_value(value)})"
        raise self._problem("component_type", text, value)

    def _build(self, value: dict[Any, Any], info: ValidationInfo) -> T:
        name = value.get("name")
        cls = self._classes.get(name) if isinstance(name, str) else None
        if cls is None:
            cls = self._class_for(value, info)
        try:
            return cls.__pydantic_validator__.validate_python(value, context=info.context)
        except ValidationError as error:
            if _is_within():
                raise
            from nshtrainer.config.errors import explained

            raise explained(error, cls, value) from None

    def _class_for(self, value: dict[Any, Any], info: ValidationInfo) -> type[T]:
        if "name" not in value:
            raise self._problem(
                "missing_name",
                f"which {self.kind}? add 'name: ...' ({self._listed(sorted(self))})",
                value,
                "name",
            )
        name = value["name"]
        if not isinstance(name, str):
            raise self._problem(
                "name_type",
                f"the name of the {self.kind} must be a string (got {format_value(name)})",
                name,
                "name",
            )
        try:
            cls = self.find(name, plugins=not info.context or info.context.get("plugins", True))
        except RegistryError as error:
            raise self._problem("broken_plugin", str(error), name, "name") from error
        if cls is None:
            raise self._problem("unknown_name", self.unknown(name), name, "name")
        return cls

    def _accept(self, value: T) -> T:
        cls = type(value)
        current = self._classes.get(value.name)
        if current is cls or cls.python_only:
            return value
        if current is not None and same_source(current, cls):
            return current.model_validate(value.model_dump())
        if current is None:
            fix = f"decorate {cls.__name__} with @{self.kind}_registry.register"
            text = f"{_where(cls)} is not registered, so this config could not be read back; {fix}"
        else:
            text = (
                f"the name {value.name!r} of {_where(cls)} belongs to {_where(current)}; "
                "give it a name of its own and register it"
            )
        raise self._problem("not_registered", text, value)

    def _problem(self, kind: LiteralString, text: str, value: Any, *where: str) -> ValidationError:
        error = PydanticCustomError(kind, "{text}", {"text": text})
        details = InitErrorDetails(type=error, loc=where, input=value)
        return ValidationError.from_exception_data(self.base.__name__, [details])

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the tagged union of the registered classes, once in `$defs` to allow recursion."""
        ref = f"{self.base.__module__}.{self.base.__name__.removesuffix('Base')}:{id(self)}"
        here = core_schema.definition_reference_schema(ref)
        if self.kind in _being_described.get():
            return handler(here)
        token = _being_described.set(_being_described.get() | {self.kind})
        try:
            return handler(core_schema.definitions_schema(here, [self._union(ref)]))
        finally:
            _being_described.reset(token)

    def _union(self, ref: str) -> CoreSchema:
        members = {name: cls.__pydantic_core_schema__ for name, cls in sorted(self.items())}
        return core_schema.tagged_union_schema(
            members,
            discriminator="name",
            ref=ref,
            metadata={"pydantic_js_updates": {"title": self.kind, NAME_ALONE: True}},
        )


def _where(cls: type | IndexEntry) -> str:
    return str(cls) if isinstance(cls, IndexEntry) else f"{cls.__module__}.{cls.__qualname__}"


def _is_within() -> bool:
    """Return True if a config or a component around this one is validated by this package.

    It then explains the errors, once. The stack knows it at no cost to a validation that succeeds.
    """
    around = inspect.currentframe()
    for _ in ("_build", "_validate", "the caller of the validator"):
        around = around and around.f_back
    return around is not None and around.f_globals["__name__"].startswith("nshtrainer.config.")
