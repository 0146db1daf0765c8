"""Which parameters are meant: by name, by type of module, by dimensions, by role."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
from nshtrainer.optimizer.groups.parameters import Role
from nshtrainer.optimizer.groups.patterns import matcher
from nshtrainer.types import NonNegativeInt

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = ["Selection", "SelectorConfig", "described", "needs_modules", "selects", "spelled_out"]


_PATTERN = re.compile(r"^re:|[*?[]")
"""What makes a pattern more than a name."""


def _can_match(pattern: str) -> str:
    matcher(pattern)
    return pattern


Pattern: TypeAlias = Annotated[str, AfterValidator(_can_match)]
"""A glob for the name of a parameter or of a module, or `re:` and a regular expression."""

ClassName: TypeAlias = Annotated[str, Field(pattern=r"^[^\W\d]\w*$")]
"""The name of a Python class, without its module."""

_Patterns: TypeAlias = Pattern | Annotated[tuple[Pattern, ...], Field(min_length=1)]
_Names: TypeAlias = ClassName | Annotated[tuple[ClassName, ...], Field(min_length=1)]
_Roles: TypeAlias = Role | Annotated[tuple[Role, ...], Field(min_length=1)]
_Numbers: TypeAlias = NonNegativeInt | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class SelectorConfig(Config):
    """Selects the parameters for which everything that it says is true.

    Several values of one field are alternatives. Where a selection is a field, a text stands for a
    `name`, and a list for `any_of`:

    - `head.*`, or `head`, which is all that is in the module `head`
    - `{role: [norm, bias]}`
    - `{name: encoder, ndim: 2, none_of: {role: embedding}}`
    - `[head, {module: LayerNorm}]`

    A tied weight is selected if any of its names is.

    >>> from torch import nn
    >>> from nshtrainer.optimizer.groups.parameters import inventory
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    >>> selector = SelectorConfig(role="bias", none_of=SelectorConfig(module="LayerNorm"))
    >>> [parameter.name for parameter in inventory(model) if selects(selector, parameter)]
    ['0.bias']
    """

    name: _Patterns | None = None
    """A glob that matches the whole name of the parameter or of a module around it; `*` takes dots
    too. After `re:`, a regular expression for the whole name of the parameter, in the syntax of the
    `regex` of Rust: without look-around and backreferences, so that no pattern can hang. A pattern
    has at most 500 characters. Names are those of `named_parameters()` without what
    `torch.compile`, FSDP, DDP and checkpoint wrappers put in."""

    module: _Names | None = None
    """The class of the module that holds the parameter, such as `LayerNorm`; subclasses count."""

    ndim: _Numbers | None = None
    """The number of dimensions."""

    role: _Roles | None = None
    """The part that a parameter plays: `bias` (by its exact name: `bias`, and those of attention
    and recurrent layers); `norm` (in a module whose class, or a base of it, is called `...Norm` or
    `...Norm2d`, and vectors in one with the word in its name, such as `RMSNormGated`); `embedding`
    (in an `Embedding`, or a learned token or position such as `cls_token` and `pos_embed`); `head`
    (the output layer: what `get_output_embeddings()` gives; what shares the weight of an embedding;
    what is called `head`, `lm_head`, `classifier`, `fc`, `to_logits`, `unembed` or `embed_out`
    outside of stacks of layers, in a container its last layer with a matrix; a last layer called
    `output`, `out` or `decoder`; the last matrix with as many rows as the vocabulary, or as a
    `num_classes`, `num_labels` or `vocab_size` of the model or its `config`); and of what is none
    of these: `scalar` (one element), `conv` (the weight of a convolution), `matrix` (the weight of
    a linear, attention or recurrent layer; no matrix that another module holds bare, which is a
    table of vectors, and no gains of a weight norm)."""

    any_of: Selection | None = None
    """At least one of these selections holds."""

    all_of: Selection | None = None
    """All of these hold."""

    none_of: Selection | None = None
    """None of these holds."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(value is None for value in dict(self).values()):
            raise ValueError(f"selects nothing; give one of {', '.join(type(self).model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


_OneSelection: TypeAlias = Pattern | SelectorConfig

Selection: TypeAlias = _OneSelection | Annotated[tuple[_OneSelection, ...], Field(min_length=1)]
"""A pattern for names, a `SelectorConfig`, or several of these, of which one has to hold."""

SelectorConfig.model_rebuild()


def selects(selection: Selection, parameter: Parameter) -> bool:
    """Whether a parameter is meant.

    Args:
        selection: A pattern for names, a selector, or several of these.
        parameter: A parameter of an inventory, of a module if `needs_modules(selection)`.
    """
    if isinstance(selection, str):
        return any(map(matcher(selection), parameter.names))
    if isinstance(selection, tuple):
        return any(selects(one, parameter) for one in selection)
    return all(_holds(field, wanted, parameter) for field, wanted in _said(selection))


def _holds(field: str, wanted: Any, parameter: Parameter) -> bool:
    each = cast("tuple[Any, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
    if field == "ndim":
        return parameter.shaped.ndim in each
    if field == "role":
        return not parameter.roles.isdisjoint(each)
    if field == "module":
        return any(not place.types.isdisjoint(each) for place in parameter.places)
    if field == "all_of":
        return all(selects(one, parameter) for one in each)
    return selects(each, parameter) is not (field == "none_of")


def needs_modules(selection: Selection) -> bool:
    """Whether names and dimensions are not enough to tell which parameters are meant."""
    if isinstance(selection, str):
        return False
    if isinstance(selection, tuple):
        return any(map(needs_modules, selection))
    said = dict(_said(selection))
    inner = (said[field] for field in ("any_of", "all_of", "none_of") if field in said)
    return not said.keys().isdisjoint({"module", "role"}) or any(map(needs_modules, inner))


def spelled_out(selection: Selection) -> tuple[str, ...]:
    """The names that a selection consists of, where it is nothing but whole names.

    >>> spelled_out(("head", "stem.weight")), spelled_out("head.*"), spelled_out(("head", "re:a+"))
    (('head', 'stem.weight'), (), ())
    """
    each = selection if isinstance(selection, tuple) else (selection,)
    names = [one for one in each if isinstance(one, str) and not _PATTERN.search(one)]
    return tuple(names) if len(names) == len(each) else ()


def described(selection: Selection) -> str:
    """A selection as a file has it, in one line.

    >>> described(SelectorConfig(ndim=2, none_of=("head", SelectorConfig(role="embedding"))))
    "{ndim: 2, none_of: ['head', {role: 'embedding'}]}"
    """
    if isinstance(selection, tuple):
        return f"[{', '.join(map(described, selection))}]"
    if isinstance(selection, SelectorConfig):
        return f"{{{', '.join(f'{key}: {described(value)}' for key, value in _said(selection))}}}"
    return repr(selection)


def _said(selector: SelectorConfig) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in dict(selector).items() if value is not None)
