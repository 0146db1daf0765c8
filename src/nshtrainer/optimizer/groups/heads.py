"""Detection of output layers, by method, tied weight, name and shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Path: TypeAlias = tuple[str, ...]

__all__ = ["is_embedding", "method_of", "output_layers"]

_EMBEDDING = re.compile(r"\w*Embedding(Bag|s)?")
"""Class name of a module with a table of vectors: `Embedding`, `ScaledWordEmbedding`."""

_HEADS = frozenset(
    {
        *("classifier", "fc", "head", "lm_head"),
        *("embed_out", "logits", "to_logits", "unembed", "unembedding"),
    }
)
"""Names of output layers."""

_LAST = frozenset(
    {
        *("classification_head", "decoder", "out", "out_proj", "output", "output_layer"),
        *("output_projection", "readout", "score"),
    }
)
"""Names of output layers, if the layer is the last one of the model, and in no stack of layers."""

_PARAMETRIZATION = re.compile(r"(^|\.)parametrizations\..*")
"""End of the name of a module that `torch.nn.utils.parametrize` inserts."""

_SIZES = frozenset({"num_classes", "n_classes", "num_labels", "vocab_size", "n_vocab"})
"""Attributes of a model or its `config` that hold the number of outputs."""


class _Layer(NamedTuple):
    """Module with a matrix, which may also be in a parametrization of PyTorch."""

    raw: str
    path: Path
    module: Module
    matrix: Tensor

    @property
    def is_stacked(self) -> bool:
        """Return True if the layer may be one of many: its path has a number."""
        return any(part.isdigit() for part in self.path)


@lru_cache(maxsize=1024)
def is_embedding(types: frozenset[str]) -> bool:
    """Return True if the classes of a module make it a table of vectors."""
    return any(map(_EMBEDDING.fullmatch, types))


def method_of(module: Module, name: str) -> Callable[[], Any] | None:
    """Return a method of a module, if it has the method."""
    # `getattr` of a module is slow for an attribute that does not exist.
    has_it = hasattr(type(module), name) or name in vars(module)
    method = getattr(module, name, None) if has_it else None
    return method if callable(method) else None


def output_layers(
    modules: Mapping[str, Module], paths: Mapping[str, Path], matrices: Mapping[str, Tensor]
) -> set[Module]:
    """Find the output layers of a model.

    Output layers are the result of `get_output_embeddings()`; layers that share a weight with an
    embedding; layers with the name of an output layer outside of stacks of layers (in a container
    its last layer with a matrix, in a `ModuleDict` called `heads` the last layer of each module); a
    linear layer with one output that is the last layer or in no stack; and the last matrix with as
    many rows as the vocabulary or the classes.

    Args:
        modules: All modules of the model by name, in the order of the model.
        paths: The parts of each name.
        matrices: The first matrix that a module holds itself, by the name of the module.
    """
    found: set[Module | None] = {_declared_output(module) for module in modules.values()}
    owners = [
        (_PARAMETRIZATION.sub("", raw) if "parametrizations" in raw else raw, matrix)
        for raw, matrix in matrices.items()
    ]
    layers = [_Layer(raw, paths[raw], modules[raw], matrix) for raw, matrix in owners]
    named = [
        raw
        for raw, path in paths.items()
        if path[-1:] != () and path[-1] in _HEADS and not any(part.isdigit() for part in path)
    ]
    # The last layer in a module, or the module itself if it is a layer.
    for name in (*named, *_in_heads(modules, paths)):
        inside = (one.module for one in reversed(layers) if f"{one.raw}.".startswith(f"{name}."))
        found.add(next(inside, None))
    # By class, of which a model has few.
    kinds = {type(layer.module) for layer in layers}
    is_table = {kind: is_embedding(frozenset(c.__name__ for c in kind.__mro__)) for kind in kinds}
    tables = [layer for layer in layers if is_table[type(layer.module)]]
    others = [layer for layer in layers if not is_table[type(layer.module)]]
    tied = {id(table.matrix) for table in tables}
    found |= {layer.module for layer in others if id(layer.matrix) in tied}
    found |= {layer.module for layer in others if not layer.is_stacked and _has_one_output(layer)}
    found.add(_by_shape(others, tables, _declared_sizes(modules)))
    return {module for module in found if module is not None}


def _in_heads(modules: Mapping[str, Module], paths: Mapping[str, Path]) -> Iterator[str]:
    """Yield the names of the modules in a `ModuleDict` called `heads`."""
    # Not in a list, which may be the heads of an attention.
    for raw, path in paths.items():
        if path[-1:] != ("heads",) or any(part.isdigit() for part in path):
            continue
        if any(cls.__name__ == "ModuleDict" for cls in type(modules[raw]).__mro__):
            yield from (f"{raw}.{name}" for name, _ in modules[raw].named_children())


def _by_shape(layers: list[_Layer], tables: list[_Layer], declared: set[int]) -> Module | None:
    """Return the last layer with as many rows as there are words or classes."""
    rows = {table.matrix.shape[0] for table in tables}
    most = max(rows, default=0)
    for layer in reversed(layers):
        is_last = layer is layers[-1]
        if not is_last and layer.is_stacked:
            continue
        shape = layer.matrix.shape
        # Square matrices are left out: positions may be as many as the model is wide.
        fits_table = shape[0] != shape[1] and shape[0] in (rows if is_last else {most})
        is_named = is_last and (_has_last_name(layer) or _has_one_output(layer))
        if is_named or fits_table or shape[0] in declared:
            return layer.module
    return None


def _has_last_name(layer: _Layer) -> bool:
    """Return True if the layer has the name of a last layer, outside of attention and stacks."""
    attends = any("attn" in part or "attention" in part for part in layer.path[:-1])
    return layer.path[-1:] != () and layer.path[-1] in _LAST and not (layer.is_stacked or attends)


def _has_one_output(layer: _Layer) -> bool:
    is_linear = any(cls.__name__ == "Linear" for cls in type(layer.module).__mro__)
    return is_linear and layer.matrix.shape[0] == 1 < layer.matrix.shape[1]


def _declared_sizes(modules: Mapping[str, Module]) -> set[int]:
    """Return the numbers of outputs that a model, or a part of it, declares as attributes."""
    values: list[Any] = []
    for module in modules.values():
        own = vars(module)  # no properties, which might compute anything
        values += [own[name] for name in _SIZES if name in own]
        if "config" in own:
            values += [getattr(own["config"], name, None) for name in _SIZES]
    return {value for value in values if type(value) is int and value > 0}


def _declared_output(module: Module) -> Module | None:
    method = method_of(module, "get_output_embeddings")
    try:
        return method() if method is not None else None
    except (AttributeError, NotImplementedError):  # a transformers model without one
        return None
