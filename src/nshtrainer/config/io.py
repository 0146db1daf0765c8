"""Config input and output: read, override, validate and report; dump and write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from os import fsdecode
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from nshtrainer.config.document import Document, Keys, check_unicode, count_work, fail
from nshtrainer.config.validation import plain_containers
from nshtrainer.exceptions import ConfigError

if TYPE_CHECKING:
    from nshtrainer.config.files import FilePath

__all__ = [
    "load",
    "plain_data",
    "read_document",
    "read_mapping",
    "read_text",
    "updated_text",
    "write_text",
]

Model = TypeVar("Model", bound=BaseModel)


def read_document(path: FilePath) -> Document:
    """Read a file in the format of its suffix.

    Raises:
        ConfigError: The suffix is unknown, the file cannot be read, or its text is not valid.
    """
    from nshtrainer.config.files import format_of, read_file

    text_format = format_of(path)
    return read_text(read_file(path), text_format, fsdecode(path))


def read_text(text: str, text_format: str, source: str) -> Document:
    """Read text of a format, `"yaml"`, `"json"` or `"toml"`, into plain data with positions.

    Raises:
        ConfigError: The text is not valid in this format.
    """
    if text_format == "yaml":
        from nshtrainer.config.formats.yaml_reader import read_yaml

        document = read_yaml(text, source)
        empty = document.data is None  # an empty file, or one of comments
        return replace(document, data={}) if empty else document
    if text_format == "json":
        from nshtrainer.config.formats.json import read_json

        return read_json(text, source)
    from nshtrainer.config.formats.toml import read_toml

    return read_toml(text, source)


def read_mapping(mapping: Any) -> Document:
    """Return a document for a mapping without text, such as a dict or OmegaConf's `DictConfig`.

    Raises:
        ConfigError: A value is missing, or an interpolation leads nowhere.
    """
    try:
        return Document(plain_containers(mapping))
    except ValueError as error:
        fail("", str(error), error)


def load(model: type[Model], document: Document, overrides: Iterable[str], plugins: bool) -> Model:
    """Validate a document, with overrides, as a config.

    Raises:
        ConfigError: The document or an override is not valid.
    """
    _check_root(document)
    try:
        texts = [overrides] if isinstance(overrides, str) else list(overrides)
        if not texts:
            return _validate(model, document, plugins)
        return _load_overridden(model, document, texts, plugins)
    except ValidationError as error:
        _report(error, model, document)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 a validator of the user's own class may raise anything
        problem = f"{type(error).__name__} while checking it as {model.__name__}: {error}"
        fail(document.source, problem, error)


def _check_root(document: Document) -> None:
    if not isinstance(document.data, Mapping):
        from nshtrainer.config.messages import format_value

        found = format_value(document.data)
        fail(document.place(()), f"must be a mapping (got {found}); write 'key: value' lines")


def _validate(model: type[Model], document: Document, plugins: bool) -> Model:
    context = None if plugins else {"plugins": False}
    try:
        with count_work():
            # Not `model_validate`, whose errors are ready for a reader without a file.
            return model.__pydantic_validator__.validate_python(document.data, context=context)
    except ValidationError as error:
        data = _with_whole_numbers(error, model, document.data)
        if data is document.data:
            raise
        return model.__pydantic_validator__.validate_python(data, context=context)


def _with_whole_numbers(error: ValidationError, model: type[Model], data: Any) -> Any:
    """Return the data with an integer for each `1e3` or `1.0` where only an integer fits.

    Writers of YAML and JSON do not distinguish the two; the constructor of a config does.
    """
    from nshtrainer.config.errors import paths_of

    wanted = paths_of(error, model, data, _is_whole_float)
    return _with_integers(data, set(wanted), ()) if wanted else data


def _is_whole_float(item: dict[str, Any]) -> bool:
    value = item["input"]
    return item["type"] == "int_type" and isinstance(value, float) and value.is_integer()


def _with_integers(data: Any, paths: set[Keys], here: Keys) -> Any:
    """Return the data with the floats at these paths as integers."""
    if isinstance(data, Mapping):
        parts = cast("Mapping[Any, Any]", data).items()
        return {key: _with_integers(part, paths, (*here, key)) for key, part in parts}
    if isinstance(data, (list, tuple)):
        items = enumerate(cast("Iterable[Any]", data))
        return [_with_integers(part, paths, (*here, index)) for index, part in items]
    return int(data) if here in paths else data


def _report(error: ValidationError, model: type[Model], document: Document) -> NoReturn:
    from nshtrainer.config.errors import describe

    raise ConfigError(describe(error, model, document)) from None  # pydantic's has nothing more


def _load_overridden(
    model: type[Model], document: Document, texts: list[str], plugins: bool
) -> Model:
    from nshtrainer.config.errors import paths_of
    from nshtrainer.config.overrides import Overridden, parse_override, wants_text

    first = Overridden(document, model, [parse_override(text) for text in texts])
    try:
        # First every value as YAML; where a field wants text, again with the text as typed.
        return _validate(model, first.document, plugins)
    except ValidationError as error:
        again = first.as_text(paths_of(error, model, first.document.data, wants_text))
    second = Overridden(document, model, again).document
    try:
        return _validate(model, second, plugins)
    except ValidationError as error:
        _report(error, model, second)


def plain_data(config: BaseModel) -> dict[str, Any]:
    """Return the config as dicts, lists, text, numbers, booleans and None.

    Raises:
        ConfigError: A value has a type without a plain form, or a key has half of a surrogate pair.
    """
    problem = f"{type(config).__name__} cannot be written"
    try:
        data = config.model_dump(mode="json")
        # pydantic silently replaces half of a surrogate pair in a key by this character.
        is_suspect = "\ufffd" in repr(data)
    except (PydanticSerializationError, ValueError) as error:
        if isinstance(error, UnicodeEncodeError):
            check_unicode(Document(config.model_dump(), problem))
        fail("", f"{problem}: {error}", error)
    if is_suspect:
        check_unicode(Document(config.model_dump(), problem))
    return data


def write_text(config: BaseModel, text_format: str) -> str:
    """Return the config as text of a format, `"yaml"`, `"json"` or `"toml"`.

    Raises:
        ConfigError: The format cannot represent a value, or a text has half of a surrogate pair,
            which cannot be encoded.
    """
    data = plain_data(config)
    check_unicode(Document(data, f"{type(config).__name__} cannot be written"))
    if text_format == "yaml":
        from nshtrainer.config.formats.yaml_writer import write_yaml

        return write_yaml(data)
    if text_format == "json":
        from nshtrainer.config.formats.json import write_json

        return write_json(data)
    from nshtrainer.config.formats.toml import write_toml

    return write_toml(config, data)


def updated_text(config: BaseModel, path: FilePath, text_format: str) -> str:
    """Return the config as text for a file; comments of an existing YAML file are kept."""
    from nshtrainer.config.files import kind_of

    fresh = write_text(config, text_format)
    if text_format != "yaml" or kind_of(path) is None:
        return fresh
    # Comments are optional, values are not: on any error here, write the values without comments.
    with suppress(Exception):
        return _with_comments(config, path)
    return fresh


def _with_comments(config: BaseModel, path: FilePath) -> str:
    from nshtrainer.config.files import read_file
    from nshtrainer.config.formats.yaml_writer import update_yaml

    model, text = type(config), read_file(path)
    document = read_text(text, "yaml", "")
    old = document.data
    with suppress(ConfigError):
        old = plain_data(load(model, document, (), False))
    updated = update_yaml(text, old, plain_data(config))
    again = load(model, read_text(updated, "yaml", ""), (), False)
    # Two equal values of the config may be one anchor in the file: check before the file is lost.
    if write_text(again, "json") != write_text(config, "json"):
        raise ValueError("an alias or a merge made two values of one")
    return updated
