"""`Config`: a frozen, validated value that reads and writes YAML, JSON and TOML.

Dependencies that only some programs need (the parsers, overrides, messages, schemas) are imported
where they are used: this module costs little more than pydantic itself.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from contextlib import nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Any

import pydantic.main
from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, from_json
from typing_extensions import Self, override

from nshtrainer.config.display.class_help import ConfigMeta, plain_docs
from nshtrainer.config.validation import constructor_of, with_strict_numbers
from nshtrainer.escaping import without_commands
from nshtrainer.exceptions import ArgumentError

if TYPE_CHECKING:
    from nshtrainer.config.files import FilePath

__all__ = ["Config"]

_building = nullcontext() if hasattr(pydantic.main, "_rebuild_lock") else RLock()
"""The lock for `model_rebuild`, which pydantic below 2.14 does not take itself."""


class Config(BaseModel, metaclass=ConfigMeta):
    """A frozen config that validates its values and refuses unknown keys: the base of every config.

    Numbers and booleans are strict (`true` and `"0.1"` are not numbers), sequences are lax (a list
    is accepted for a tuple). A config compares and pickles; it hashes if all its values do. The
    text below a field describes it in help, schema and docs.

    The constructor and `model_validate` raise pydantic's `ValidationError`; methods that read
    files, text or overrides raise `ConfigError`, with the place.

    >>> class Training(Config):
    ...     lr: float = 1e-3
    ...     betas: tuple[float, float] = (0.9, 0.999)
    >>> Training.from_yaml("lr: 3e-4", overrides=["betas.1=0.95"])
    Training(lr=0.0003, betas=(0.9, 0.95))
    >>> Training.from_yaml("lrr: 3e-4")
    Traceback (most recent call last):
    nshtrainer.exceptions.ConfigError: <yaml>:1:1: lrr: unknown key 'lrr'; did you mean 'lr'? ...
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        populate_by_name=True,
        ser_json_inf_nan="constants",
        hide_input_in_errors=True,
    )

    @classmethod
    @override
    def model_rebuild(cls, *, _parent_namespace_depth: int = 2, **options: Any) -> bool | None:
        """Build the validator and the serializer, in one thread at a time."""
        depth = _parent_namespace_depth + (_parent_namespace_depth > 0)  # this frame is one more
        with _building:
            return super().model_rebuild(_parent_namespace_depth=depth, **options)

    @override
    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the fields as a dict, after all validators and serializers are built."""
        with _building:
            # pydantic builds the serializer last: a dump during a build would find none.
            return super().model_dump(**options)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return with_strict_numbers(handler(source), cls)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        from nshtrainer.config.docstrings import field_docs

        with plain_docs():
            schema = handler(core_schema)
        properties: dict[str, Any] = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            alias = cls.model_fields[name].alias
            found = properties.get(name) or properties.get(alias or name, {})
            found.setdefault("description", text)
        return schema

    # -- showing -----------------------------------------------------------------------------

    @override
    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield the required fields, and the others whose values are not the defaults."""
        from nshtrainer.config.display.fields import shown_fields

        return shown_fields(self)

    @override
    def __repr__(self) -> str:
        return without_commands(super().__repr__())

    @override
    def __str__(self) -> str:
        return repr(self)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Print the fields below each other in IPython if a line is too short for them."""
        from nshtrainer.config.display.fields import print_pretty

        print_pretty(self, printer)

    def _repr_html_(self) -> str:
        """Return a table of the fields for notebooks, with defaults dimmed."""
        from nshtrainer.config.display.fields import config_table

        return config_table(self)

    # -- messages ----------------------------------------------------------------------------

    # pydantic's own entry points with one difference: the messages of their errors. A validator
    # around the class would do the same for any use of it, at a call of Python for each value.

    if not TYPE_CHECKING:  # a type checker derives the constructor from the fields

        def __init__(self, /, *values: Any, **data: Any) -> None:
            __tracebackhide__ = True
            if values:
                raise _by_name(type(self), values[0])
            try:
                validated = self.__pydantic_validator__.validate_python(data, self_instance=self)
            except ValidationError as error:
                raise _explained(error, type(self), data) from None
            if validated is not self:
                super().__init__(**data)  # warns of the validator that returned another object

        __init__.__pydantic_base_init__ = True  # configs within others are built without a call

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            if hasattr(cls.__init__, "__pydantic_base_init__"):
                cls.__init__ = constructor_of(cls, Config.__init__)

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError as error:
                raise _explained(error, type(self), {name: value}) from None

    @classmethod
    @override
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate data; see pydantic for the options."""
        __tracebackhide__ = True
        try:
            return cls.__pydantic_validator__.validate_python(obj, **options)
        except ValidationError as error:
            raise _explained(error, cls, obj) from None

    @classmethod
    @override
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Validate JSON text; see pydantic for the options."""
        __tracebackhide__ = True
        try:
            return cls.__pydantic_validator__.validate_json(json_data, **options)
        except ValidationError as error:
            data = None if error.errors()[0]["type"] == "json_invalid" else from_json(json_data)
            raise _explained(error, cls, data) from None

    # -- as a value --------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with some fields changed.

        Raises:
            pydantic.ValidationError: A field is unknown, or a value does not fit.
        """
        copy = self.model_validate({**dict(self), **changes})
        set_before = self.model_fields_set | changes.keys()
        object.__setattr__(copy, "__pydantic_fields_set__", set_before)
        return copy

    def items(self) -> ItemsView[str, Any]:
        """Return the fields and their values as plain data.

        Lightning calls this on hyperparameters, and deletes entries that do not pickle from the
        result.
        """
        return self.to_dict().items()

    def override(self, *overrides: str) -> Self:
        """Return a validated copy with overrides applied, such as `"optimizer.lr=3e-4"`.

        Raises:
            ConfigError: An override cannot be applied, or a value does not fit.
        """
        return type(self).from_mapping(self.to_dict(), overrides=overrides)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of this class, for editors and other tools.

        Components of a registry appear as they are registered at the time of the call. Beside
        `model_json_schema`, which accepts the same values, the schema is short, and editors
        report a problem at its place.
        """
        from nshtrainer.config.schema import for_editors

        return for_editors(cls.model_json_schema())

    # -- reading -----------------------------------------------------------------------------

    @classmethod
    def from_file(
        cls, path: FilePath, *, overrides: Iterable[str] = (), plugins: bool = True
    ) -> Self:
        """Read a file in the format of its suffix: .yaml, .yml, .json or .toml.

        Args:
            path: The file.
            overrides: Values that replace the file's, such as `"optimizer.lr=3e-4"`.
            plugins: Allow a name in the file to load the installed plug-in that registered it.

        Raises:
            ConfigError: The file cannot be read or does not describe this config; each line of
                the message is `file:line:column: path.to.key: problem; remedy`.
        """
        from nshtrainer.config.io import load, read_document

        return load(cls, read_document(path), overrides, plugins)

    @classmethod
    def from_yaml(cls, text: str, *, overrides: Iterable[str] = (), plugins: bool = True) -> Self:
        """Read YAML 1.2 text; see `from_file` for the arguments and errors."""
        return cls._from_text(text, "yaml", "<yaml>", overrides, plugins)

    @classmethod
    def from_json(cls, text: str, *, overrides: Iterable[str] = (), plugins: bool = True) -> Self:
        """Read JSON text; see `from_file` for the arguments and errors."""
        return cls._from_text(text, "json", "<json>", overrides, plugins)

    @classmethod
    def from_toml(cls, text: str, *, overrides: Iterable[str] = (), plugins: bool = True) -> Self:
        """Read TOML text; see `from_file` for the arguments and errors."""
        return cls._from_text(text, "toml", "<toml>", overrides, plugins)

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], *, overrides: Iterable[str] = (), plugins: bool = True
    ) -> Self:
        """Read a mapping, such as a dict; see `from_file` for the arguments and errors."""
        from nshtrainer.config.io import load, read_mapping

        return load(cls, read_mapping(mapping), overrides, plugins)

    @classmethod
    def _from_text(
        cls, text: str, text_format: str, source: str, overrides: Iterable[str], plugins: bool
    ) -> Self:
        from nshtrainer.config.io import load, read_text

        return load(cls, read_text(text, text_format, source), overrides, plugins)

    # -- writing -----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: dicts, lists, text, numbers, booleans and None.

        Raises:
            ConfigError: A value has a type without a plain form.
        """
        from nshtrainer.config.io import plain_data

        return plain_data(self)

    def to_yaml(self) -> str:
        """Return YAML text, which `from_yaml` reads back as an equal config."""
        from nshtrainer.config.io import write_text

        return write_text(self, "yaml")

    def to_json(self) -> str:
        """Return JSON text, with `NaN` and `Infinity` for the numbers that JSON has no word for."""
        from nshtrainer.config.io import write_text

        return write_text(self, "json")

    def to_toml(self) -> str:
        """Return TOML text, without fields that are None by default.

        Raises:
            ConfigError: A value is None and not by default; TOML has no null.
        """
        from nshtrainer.config.io import write_text

        return write_text(self, "toml")

    def to_file(self, path: FilePath) -> None:
        """Write a file in the format of its suffix, atomically.

        In an existing YAML file, comments and the form of unchanged values are kept, and defaults
        that the file omits stay omitted.

        Raises:
            ConfigError: The suffix is unknown, the file cannot be written, or the format cannot
                represent a value.
        """
        from nshtrainer.config.files import format_of, write_file
        from nshtrainer.config.io import updated_text

        write_file(path, updated_text(self, path, format_of(path)))


def _explained(error: ValidationError, cls: type[Config], data: Any) -> ValidationError:
    from nshtrainer.config.errors import explained

    return explained(error, cls, data)


def _by_name(cls: type[Config], value: Any) -> ArgumentError:
    first = next((name for name in cls.model_fields if name != "name"), "field")
    return ArgumentError(
        f"{cls.__name__}: takes its fields by name (got a {type(value).__name__} without one); "
        f"write {cls.__name__}({first}=...)"
    )
