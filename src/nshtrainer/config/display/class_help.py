"""Docstring, signature and members of config classes as `help` and IPython show them.

A class has its fields in its docstring: they are looked up when the docstring is read, so that an
import costs nothing.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import NoneType, SimpleNamespace, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field, PrivateAttr
from pydantic.fields import FieldInfo
from typing_extensions import dataclass_transform, override

from nshtrainer.config.docstrings import class_docs, field_docs
from nshtrainer.types import GREATEST

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

__all__ = ["ConfigMeta", "plain_docs"]

_HAS_FIELDS = re.compile(r"(?m)^(Args|Arguments|Attributes|Fields|Parameters)\b:?$")

_is_plain: ContextVar[bool] = ContextVar("_is_plain", default=False)


_OF_PYDANTIC = frozenset(dir(BaseModel))

_FOR_AUTHORS = frozenset(
    {"config_for_group", "create_scheduler_impl", "json_schema", "metadata", "tracks"}
)
"""Methods that the author of a component writes, or a tool calls: shown where they are defined."""


class _Doc:
    """The docstring of a class, which is the same for its instances."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __get__(self, _instance: object, owner: type[BaseModel]) -> str | None:
        return _with_fields(owner)


def _set_doc(cls: type, text: str | _Doc | None) -> None:
    held = text if isinstance(text, _Doc) else _Doc(text)  # a class that is unpickled has one
    type.__dict__["__doc__"].__set__(cls, held)


def _signature(cls: Any) -> inspect.Signature:
    """Return the fields as keywords, their types without constraints."""
    if cls.model_rebuild(raise_errors=False) is False:
        raise AttributeError("__signature__")  # a type is not defined yet
    signature: inspect.Signature = cls.__pydantic_signature__
    parameters = signature.parameters.values()
    kinds = plain_types({each.name: each.annotation for each in parameters})
    return signature.replace(
        parameters=[each.replace(annotation=kinds[each.name]) for each in parameters]
    )


def _set_signature(cls: Any, signature: Any) -> None:
    cls.__pydantic_signature__ = signature


def _is_shown(cls: type[BaseModel], name: str) -> bool:
    home = next(base for base in cls.__mro__ if name in vars(base))
    member = vars(home)[name]
    if name in cls.__class_vars__ or name.startswith("__"):
        return name.startswith("__") and inspect.isfunction(member)
    if home is cls or not home.__module__.startswith("nshtrainer."):
        return True
    if name in _FOR_AUTHORS or isinstance(member, classmethod):
        return name not in _FOR_AUTHORS and home.__base__ is BaseModel
    kinds = (base for base in cls.__mro__ if vars(base).get("__registry__"))
    return inspect.isfunction(member) and any(name in vars(base) for base in kinds)


@contextmanager
def plain_docs() -> Generator[None]:
    """Leave the fields out of docstrings within a block, such as for a schema, which has them."""
    token = _is_plain.set(True)
    try:
        yield
    finally:
        _is_plain.reset(token)


def _with_fields(cls: type[BaseModel]) -> str | None:
    """Return the docstring of a class with its fields: type, range, default and description.

    >>> from nshtrainer.configs import MetricConfig
    >>> for line in MetricConfig.__doc__.splitlines()[-5:]:
    ...     print(line)
        monitor (str, required): The name given to `self.log`, such as `val/loss`.
        mode ('min' | 'max', required): `min` when smaller is better (a loss), `max` when larger is
            (an accuracy).
    <BLANKLINE>
    `help(nshtrainer.Config)` lists the methods of every config.
    """
    text = class_docs(cls)
    if _is_plain.get() or not cls.model_fields or _HAS_FIELDS.search(text):
        return text or None
    docs = field_docs(cls)
    fields = cls.model_fields.items()
    entries = "\n".join(_entry(name, field, docs.get(name, "")) for name, field in fields)
    more = "`help(nshtrainer.Config)` lists the methods of every config."
    return f"{text}\n\nArgs:\n{entries}\n\n{more}\n".lstrip()


def _entry(name: str, field: FieldInfo, text: str) -> str:
    kind = _type_text(plain_types({name: field.annotation})[name])
    bounds = _range(field.annotation, field.metadata)
    about = ", ".join(filter(None, (kind, bounds, _default_text(field))))
    entry = f"{name} ({about})" + (f": {' '.join(text.split())}" if text else "")
    return textwrap.fill(
        entry, 96, initial_indent=" " * 4, subsequent_indent=" " * 8, break_long_words=False
    )


def _type_text(kind: Any) -> str:
    """Return a type as it is annotated, without modules; a component by its kind.

    >>> _type_text(Union[Literal["auto"], dict[str, int], None])
    "'auto' | dict[str, int] | None"
    """
    if isinstance(kind, list):  # the arguments of a callable
        return f"[{', '.join(map(_type_text, cast('list[Any]', kind)))}]"
    arguments, origin = get_args(kind), get_origin(kind)
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    texts = ["..." if each is ... else _type_text(each) for each in arguments]
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(texts))
    if isinstance(origin, type):
        return f"{origin.__name__}[{', '.join(texts)}]"
    if kind is NoneType or not isinstance(kind, type):
        return "None" if kind is NoneType else str(kind)
    is_component = vars(kind).get("__registry__") is not None
    name = kind.__name__.removesuffix("Base") if is_component else kind.__name__
    return getattr(kind, "__family__", None) or name


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is None:
        default = field.default
        return f"default {default if isinstance(default, BaseModel) else repr(default)}"
    name = getattr(field.default_factory, "__name__", "")
    return f"default {name}()" if name.isidentifier() else "default computed"


def _range(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """Return the bounds of a number or of the numbers in a collection, without common bounds.

    >>> _range(float, [Ge(0), Lt(1)]), _range(tuple[Annotated[int, Gt(0)], ...])
    ('>= 0, < 1', '> 0')
    """
    own = ", ".join(text for each in metadata for text in _bounds(each))
    if own:
        return own
    if get_origin(annotation) is Annotated:
        return _range(annotation.__origin__, annotation.__metadata__)
    inner = dict.fromkeys(map(_range, get_args(annotation)))
    return " or ".join(filter(None, inner))


def _bounds(constraint: Any) -> Iterator[str]:
    if isinstance(constraint, FieldInfo):
        for each in constraint.metadata:
            yield from _bounds(each)
    for kind, key, sign in ((Ge, "ge", ">="), (Gt, "gt", ">"), (Le, "le", "<="), (Lt, "lt", "<")):
        if isinstance(constraint, kind) and abs(at := getattr(constraint, key)) < GREATEST:
            yield f"{sign} {at}"


def plain_types(annotations: dict[str, Any]) -> dict[str, Any]:
    """Return types without the constraints in them.

    >>> plain_types({"betas": tuple[Annotated[float, Ge(0)], ...]})
    {'betas': tuple[float, ...]}
    """
    return get_type_hints(SimpleNamespace(__annotations__=annotations))


# Type checkers look at the class itself, not at pydantic's below it.
@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class ConfigMeta(ModelMetaclass):
    """The class of config classes: they describe their fields, and hide pydantic's members."""

    def __init__(self, *args: Any, **_options: Any) -> None:
        super().__init__(*args)
        _set_doc(self, args[2].get("__doc__"))

    __doc__ = property(_with_fields, _set_doc)  # pyright: ignore[reportAssignmentType]
    __signature__ = property(_signature, _set_signature)

    @override
    def __dir__(self: Any) -> list[str]:
        """List what is of use on the class, and the interface of its kind of component."""
        names = super().__dir__()
        return [name for name in names if name not in _OF_PYDANTIC and _is_shown(self, name)]
