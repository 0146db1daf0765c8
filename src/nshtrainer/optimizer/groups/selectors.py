"""Selection of parameters by name, class of module, dimensions and role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from nshtrainer.config import Config
from nshtrainer.config.messages import find_similar, join_quoted
from nshtrainer.optimizer.groups.parameters import Role
from nshtrainer.optimizer.groups.patterns import matcher
from nshtrainer.types import NonNegativeInt

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = [
    "Selection",
    "SelectorConfig",
    "described",
    "nearest",
    "needs_modules",
    "selects",
    "spelled_out",
]

_PATTERN = re.compile(r"^re:|[*?[]")
"""Syntax that makes a pattern more than a name."""


def _check_pattern(pattern: str) -> str:
    matcher(pattern)
    return pattern


Pattern: TypeAlias = Annotated[str, AfterValidator(_check_pattern)]
"""Glob for the name of a parameter or of a module, or `re:` and a regular expression."""

ClassName: TypeAlias = Annotated[str, Field(pattern=r"^[^\W\d]\w*$")]
"""Name of a Python class, without its module."""

_Patterns: TypeAlias = Pattern | Annotated[tuple[Pattern, ...], Field(min_length=1)]
_Names: TypeAlias = ClassName | Annotated[tuple[ClassName, ...], Field(min_length=1)]
_Roles: TypeAlias = Role | Annotated[tuple[Role, ...], Field(min_length=1)]
_Numbers: TypeAlias = NonNegativeInt | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class SelectorConfig(Config):
    """Selection of the parameters for which all given fields are true.

    Several values of one field are alternatives. In a field for a selection, a string is short for
    `name`, and a list is short for `any_of`:

    - `head.*`, or `head`, for everything in the module `head`
    - `{role: [norm, bias]}`
    - `{name: encoder, ndim: 2, none_of: {role: embedding}}`
    - `[head, {module: LayerNorm}]`

    A tied weight is selected if any of its names matches.

    >>> from torch import nn
    >>> from nshtrainer.optimizer.groups.parameters import inventory
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    >>> selector = SelectorConfig(role="bias", none_of=SelectorConfig(module="LayerNorm"))
    >>> [parameter.name for parameter in inventory(model) if selects(selector, parameter)]
    ['0.bias']
    """

    name: _Patterns | None = None
    """Glob that matches the whole name of the parameter or of a module around it; `*` also matches
    dots. After `re:`, a regular expression for the whole name of the parameter, in the syntax of
    Rust's `regex`: without look-around, backreferences and the flag x, so that no pattern can hang.
    A pattern has at most 500 characters. Names are as in `named_parameters()`, without the parts
    that `torch.compile`, FSDP, DDP and checkpoint wrappers insert."""

    module: _Names | None = None
    """Class of the module that holds the parameter, such as `LayerNorm`; subclasses match too."""

    ndim: _Numbers | None = None
    """Number of dimensions."""

    role: _Roles | None = None
    """Role of the parameter: `bias` (by its exact name: `bias`, and the names in attention and
    recurrent layers); `norm` (in a module whose class, or a base of it, is called `...Norm` or
    `...Norm2d`, and vectors in a module with the word in its class name, such as `RMSNormGated`);
    `embedding` (in an `Embedding`, or a learned token or position such as `cls_token` and
    `pos_embed`); `head` (the output layer: the result of `get_output_embeddings()`; a layer that
    shares the weight of an embedding; a layer called `head`, `lm_head`, `classifier`, `fc`,
    `to_logits`, `unembed` or `embed_out` outside of stacks of layers, in a container its last layer
    with a matrix; a last layer called `output`, `out` or `decoder`; the last matrix with as many
    rows as the vocabulary, or as a `num_classes`, `num_labels` or `vocab_size` of the model or its
    `config`). Parameters without any of these roles: `scalar` (one element), `conv` (the weight of
    a convolution), `matrix` (the weight of a linear, attention or recurrent layer; not a bare
    matrix in another module, which is a table of vectors, and not the gain of a weight norm)."""

    any_of: Selection | None = None
    """Selections of which at least one must match."""

    all_of: Selection | None = None
    """Selections that must all match."""

    none_of: Selection | None = None
    """Selections of which none may match."""

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if all(value is None for value in dict(self).values()):
            raise ValueError(f"selects nothing; give one of {', '.join(type(self).model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _dump_given_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


_OneSelection: TypeAlias = Pattern | SelectorConfig

Selection: TypeAlias = _OneSelection | Annotated[tuple[_OneSelection, ...], Field(min_length=1)]
"""Pattern for names, `SelectorConfig`, or several of these, of which one must match."""

# `Selection` contains the class, so it is defined after it.
SelectorConfig.model_rebuild()


def selects(selection: Selection, parameter: Parameter) -> bool:
    """Return True if a selection matches a parameter.

    Args:
        selection: A pattern for names, a selector, or several of these.
        parameter: A parameter of an inventory, of a module if `needs_modules(selection)`.
    """
    if isinstance(selection, str):
        return any(map(matcher(selection), parameter.names))
    if isinstance(selection, tuple):
        return any(selects(one, parameter) for one in selection)
    return all(
        _matches_field(field, wanted, parameter) for field, wanted in _given_fields(selection)
    )


def _matches_field(field: str, wanted: Any, parameter: Parameter) -> bool:
    each = cast("tuple[Any, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
    if field == "ndim":
        return parameter.shaped.ndim in each
    if field == "role":
        return not parameter.roles.isdisjoint(each)
    if field == "module":
        return any(not place.types.isdisjoint(each) for place in parameter.places)
    if field == "all_of":
        return all(selects(one, parameter) for one in each)
    # `name` and `any_of` need one match, `none_of` needs none.
    return selects(each, parameter) is not (field == "none_of")


def needs_modules(selection: Selection) -> bool:
    """Return True if a selection needs modules, because it has a class of module or a role."""
    if isinstance(selection, str):
        return False
    if isinstance(selection, tuple):
        return any(map(needs_modules, selection))
    said = dict(_given_fields(selection))
    inner = (said[field] for field in ("any_of", "all_of", "none_of") if field in said)
    return not said.keys().isdisjoint({"module", "role"}) or any(map(needs_modules, inner))


def spelled_out(selection: Selection) -> tuple[str, ...]:
    """Return the names of a selection that consists of whole names only, else nothing.

    >>> spelled_out(("head", "stem.weight")), spelled_out("head.*"), spelled_out(("head", "re:a+"))
    (('head', 'stem.weight'), (), ())
    """
    each = selection if isinstance(selection, tuple) else (selection,)
    names = [one for one in each if isinstance(one, str) and not _PATTERN.search(one)]
    return tuple(names) if len(names) == len(each) else ()


def described(selection: Selection) -> str:
    """Return a selection as in a config file, in one line.

    >>> described(SelectorConfig(ndim=2, none_of=("head", SelectorConfig(role="embedding"))))
    "{ndim: 2, none_of: ['head', {role: 'embedding'}]}"
    """
    if isinstance(selection, tuple):
        return f"[{', '.join(map(described, selection))}]"
    if isinstance(selection, SelectorConfig):
        fields = (f"{key}: {described(value)}" for key, value in _given_fields(selection))
        return f"{{{', '.join(fields)}}}"
    return repr(selection)


def _given_fields(selector: SelectorConfig) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in dict(selector).items() if value is not None)


def nearest(selection: Selection, parameters: Sequence[Parameter]) -> str:
    """Return the names in a model most similar to a selection without matches, for a message."""
    names = [name for parameter in parameters for name in parameter.names]
    types = {name for parameter in parameters for p in parameter.places for name in p.types}
    known = dict.fromkeys([*(path for name in names for path in _paths(name)), *types])
    near = [
        match
        for text in _texts(selection)
        for match in find_similar(text.strip("*."), known, limit=3)
    ]
    if near:
        return f"the nearest are {join_quoted(dict.fromkeys(near))}"
    # Nothing is similar: the roles help with a selection by role.
    roles = sorted({role for parameter in parameters for role in parameter.roles})
    return f"the model has {join_quoted(names)}, with the roles {', '.join(roles) or 'unknown'}"


def _paths(name: str) -> Iterator[str]:
    """Yield a name, and the names of the modules around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _texts(selection: Any) -> Iterator[str]:
    """Yield the patterns and class names in a selection."""
    if isinstance(selection, str):
        yield selection.removeprefix("re:")
    elif isinstance(selection, tuple):
        for one in cast("tuple[Any, ...]", selection):
            yield from _texts(one)
    elif selection is not None:
        for field in ("name", "module", "any_of", "all_of"):
            yield from _texts(getattr(selection, field))
