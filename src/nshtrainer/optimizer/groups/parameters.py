"""Parameters of a model with their names, modules and roles.

The role depends on the class of the module and on the exact last part of the name, never on a part
of a word: `debias.weight` is no bias.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.heads import is_embedding, output_layers

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = [
    "NO_SHAPE",
    "Parameter",
    "ParameterLocation",
    "ParameterSubset",
    "Role",
    "check_no_lazy",
    "clean_names",
    "for_torch",
    "inventory",
    "is_lazy",
    "modules_by_path",
    "shapes_needed",
]

NO_SHAPE = "has no shape yet: it is lazy. Run a batch through the model first"
"""End of a message about a lazy parameter."""


def is_lazy(param: Any) -> bool:
    """Return True for a parameter of a lazy module (`nn.LazyLinear`) before its first batch.

    The `ndim` of such a parameter is 1, and everything else that depends on a shape raises.
    """
    from torch.nn.parameter import is_lazy as is_torchs

    return is_torchs(param)


def check_no_lazy(name: str, params: Iterable[Any]) -> None:
    """Check that all parameters have a shape, where a lazy one would be taken for a vector.

    Raises:
        OptimizerError: A parameter is lazy.
    """
    if any(map(is_lazy, params)):
        raise OptimizerError(f"{name}: parameters are told apart by shape, and one {NO_SHAPE}.")


@contextmanager
def shapes_needed(name: str, params: Iterable[Any]) -> Generator[None]:
    """Replace PyTorch's error about a lazy parameter by one with the remedy.

    Args:
        name: The name of the optimizer or hook that needs the shapes.
        params: All parameters that it gets.
    """
    lazy = any(map(is_lazy, params))
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not lazy or isinstance(error, OptimizerError):
            raise
        raise OptimizerError(
            f"{name} needs the shapes of all parameters, and one {NO_SHAPE}."
        ) from error


Role: TypeAlias = Literal["bias", "norm", "embedding", "head", "matrix", "conv", "scalar"]
"""Role of a parameter in the model; see `SelectorConfig.role`."""

_WRAPPERS = frozenset(
    {
        "_orig_mod",  # torch.compile
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",  # Lightning Fabric
        "_original_module",
    }
)
"""Parts of a name that only wrappers insert."""

_HOLDERS = frozenset({"DataParallel", "DeepSpeedEngine", "DistributedDataParallel"})
"""Wrappers that insert `module`, which may also be an attribute of a model."""

_EMBEDDINGS = frozenset(
    {
        *("class_embedding", "class_token", "cls_token", "dist_token", "mask_token"),
        *("absolute_pos_embed", "pos", "pos_emb", "pos_embed", "pos_embedding", "pos_encoding"),
        *("position_embedding", "position_embeddings", "positional_embedding"),
        *("positional_encoding", "reg_token", "register_tokens", "relative_position_bias_table"),
        *("wpe", "wte"),
    }
)
"""Names of learned tokens and positions that are bare parameters."""

_BIASES = re.compile(r"bias|in_proj_bias|bias_[kv]|bias_(ih|hh|hr)_l\d+(_reverse)?")
"""Name of a bias, also in torch's attention and recurrent layers."""

_NORM = re.compile(r"\w*Norm([123]d)?")
"""Class name of a norm: `LayerNorm`, `BatchNorm2d`, `LlamaRMSNorm`."""

_NORM_INSIDE = re.compile(r"\w*([Nn]orm(?![a-z])|[Nn]ormali[sz]|GRN)\w*")
"""Class name of a norm if the module holds vectors only: `RMSNormGated`."""

_LINEAR = re.compile(r"\w*Linear|Bilinear|Conv1D|MultiheadAttention|RNNBase|RNNCellBase")
"""Class name of a module that multiplies by its matrices."""


@dataclass(frozen=True, eq=False)
class ParameterLocation:
    """Location of a parameter in a model.

    Args:
        name: The full name, without parts that wrappers insert.
        leaf: Its last part: `weight`, `bias`.
        module: The module that holds the parameter, if it is known.
        outputs: Returns the output layers of the model; found when a role is first asked for.
    """

    name: str
    leaf: str
    module: Module | None = None
    outputs: Callable[[], Collection[Module | None]] = frozenset

    @cached_property
    def types(self) -> frozenset[str]:
        """Names of the module's class and of all its bases."""
        return frozenset(cls.__name__ for cls in type(self.module).__mro__)

    @cached_property
    def is_linear(self) -> bool:
        """True if the module multiplies by its matrices."""
        return _matches(_LINEAR, self.types)


@dataclass(frozen=True, eq=False)
class Parameter:
    """Parameter with all its names: a tied weight has several.

    Args:
        tensor: The parameter itself.
        places: Its locations, in the order of the model.
    """

    tensor: Tensor
    places: tuple[ParameterLocation, ...]

    @property
    def name(self) -> str:
        """First of its names, as in `named_parameters()`."""
        return self.places[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """All its names."""
        return tuple(place.name for place in self.places)

    @property
    def shaped(self) -> Tensor:
        """Tensor of the parameter, for use of its shape.

        Raises:
            OptimizerError: The parameter belongs to a lazy module, and has no shape yet.
        """
        if is_lazy(self.tensor):
            raise OptimizerError(f"{self.name!r} {NO_SHAPE}.")
        return self.tensor

    @property
    def is_kernel(self) -> bool:
        """True for the weight or the bias of a convolution."""
        return any("_ConvNd" in place.types for place in self.places)

    @property
    def is_multiplied(self) -> bool:
        """False for a bare matrix, which is a table of vectors such as positions."""
        return any(place.module is None or place.is_linear for place in self.places)

    @property
    def is_bias_or_norm(self) -> bool:
        """True if `roles` has one of the two, without a look for the others."""
        tensor = self.shaped
        return any(
            _BIASES.fullmatch(place.leaf) or _is_norm(place, tensor) for place in self.places
        )

    @cached_property
    def roles(self) -> frozenset[Role]:
        """Roles of the parameter: the bias of a norm has two, as has an embedding tied to the head.

        A bias, a norm, an embedding or a head is never `matrix`, `conv` or `scalar`.
        """
        found: set[Role] = {role for place in self.places for role in _roles_at(place, self.shaped)}
        return frozenset(found or set(_roles_by_shape(self)))


def _roles_at(place: ParameterLocation, tensor: Tensor) -> Iterator[Role]:
    if _BIASES.fullmatch(place.leaf):
        yield "bias"
    if _is_norm(place, tensor):
        yield "norm"
    if place.leaf in _EMBEDDINGS or (tensor.ndim > 1 and is_embedding(place.types)):
        yield "embedding"
    if place.module in place.outputs():
        yield "head"


def _is_norm(place: ParameterLocation, tensor: Tensor) -> bool:
    """Return True for a parameter of a module that normalizes, by the name of its class."""
    if _matches(_NORM, place.types):
        return True
    if place.module is None or not _matches(_NORM_INSIDE, place.types):
        return False
    # Such a word also occurs in names of blocks, which hold layers.
    is_leaf = all(False for child in place.module.children() for _ in child.parameters())
    return is_leaf and _is_vector(tensor) and not place.is_linear


@lru_cache(maxsize=1024)
def _matches(pattern: re.Pattern[str], types: frozenset[str]) -> bool:
    """Return True if the name of one of these classes matches."""
    return any(map(pattern.fullmatch, types))


def _is_vector(tensor: Tensor) -> bool:
    return sum(size > 1 for size in tensor.shape) < 2


def _roles_by_shape(parameter: Parameter) -> Iterator[Role]:
    tensor = parameter.tensor
    if tensor.numel() == 1:
        yield "scalar"
    elif _is_vector(tensor) and all(
        "weight" not in leaf or leaf == "weight_g"  # the gain of a weight norm
        for leaf in (place.name.rpartition(".")[2] for place in parameter.places)
    ):
        # A gain may have the dimensions of a matrix or a kernel, all but one of size 1.
        return
    elif parameter.is_kernel:
        yield "conv"
    elif tensor.ndim == 2 and min(tensor.shape) > 1 and parameter.is_multiplied:
        yield "matrix"


@dataclass(frozen=True, eq=False)
class ParameterSubset:
    """Subset of the parameters of a model, for one of several optimizers.

    Args:
        model: The model; `None` if only the names of its parameters are known.
        inventory: All parameters of the model, which determine the depth of a layer.
        chosen: The parameters of the subset.
    """

    model: Module | None
    inventory: tuple[Parameter, ...]
    chosen: frozenset[Parameter]


def for_torch(params: Any) -> Any:
    """Return parameters in a form that torch's optimizers take.

    A module or a part of one is converted; any other form is returned unchanged. The parameters of
    a part without a model keep their names.
    """
    import torch

    if isinstance(params, torch.nn.Module):
        return params.parameters()
    if not isinstance(params, ParameterSubset):
        return params
    chosen = [p for p in params.inventory if p in params.chosen]
    return [p.tensor if params.model is not None else (p.name, p.tensor) for p in chosen]


def inventory(params: Module | Iterable[tuple[str, Tensor]]) -> list[Parameter]:
    """Return every parameter once, in the order of `named_parameters()`.

    >>> from torch import nn
    >>> [(p.name, sorted(p.roles)) for p in inventory(nn.Sequential(nn.Linear(2, 3)))]
    [('0.weight', ['matrix']), ('0.bias', ['bias'])]

    Args:
        params: A module, or `(name, parameter)` pairs, without knowledge of modules.

    Raises:
        OptimizerError: An item has no name.
    """
    import torch

    if isinstance(params, torch.nn.Module):
        held = _held_in_module(params)
    else:
        held = _held_in_pairs(list(params))
    # By identity, so that a tied weight is one parameter with several places.
    places: dict[int, dict[str, ParameterLocation]] = {}
    tensors: dict[int, Tensor] = {}
    for place, tensor in held:
        tensors[id(tensor)] = tensor
        places.setdefault(id(tensor), {}).setdefault(place.name, place)
    return [Parameter(tensors[key], tuple(places[key].values())) for key in tensors]


def _held_in_pairs(pairs: list[Any]) -> Iterator[tuple[ParameterLocation, Tensor]]:
    for pair in pairs:
        if not isinstance(pair, tuple):
            raise OptimizerError(f"got a {type(pair).__name__} without a name")
    names = clean_names([name for name, _ in pairs])
    for name, (_, tensor) in zip(names, pairs, strict=True):
        yield ParameterLocation(name, name.rpartition(".")[2]), tensor


def clean_names(names: Sequence[str]) -> list[str]:
    """Return the names of all parameters of a model without the parts that wrappers insert.

    >>> clean_names(["module._orig_mod.stem.weight", "module._orig_mod.head.weight"])
    ['stem.weight', 'head.weight']
    >>> clean_names(["_forward_module.module.stem.weight", "_original_module.stem.weight"])
    ['stem.weight', 'stem.weight']
    """
    parts = [name.split(".") for name in names]
    roots = [tuple(takewhile(_WRAPPERS.__contains__, each)) for each in parts]
    # All names of a model wrapped for several processes begin with `module`; if only some do, the
    # word is an attribute of the model.
    held = {
        root
        for root in {*roots}
        if all(
            each[len(root) : -1][:1] == ["module"]
            for each, r in zip(parts, roots, strict=True)
            if r == root
        )
    }
    inner = [each[len(root) + (root in held) :] for each, root in zip(parts, roots, strict=True)]
    return [".".join(part for part in each if part not in _WRAPPERS) for each in inner]


def _held_in_module(root: Module) -> Iterator[tuple[ParameterLocation, Tensor]]:
    modules, paths = _modules_and_paths(root)
    held = [
        (raw, leaf, tensor)
        for raw, module in modules.items()
        for leaf, tensor in module.named_parameters(recurse=False, remove_duplicate=False)
    ]

    @cache
    def outputs() -> set[Module]:
        # In reverse, so that the first matrix of a module is kept.
        matrices = {raw: tensor for raw, _, tensor in reversed(held) if tensor.ndim > 1}
        return output_layers(modules, paths, dict(reversed(matrices.items())))

    for raw, leaf, tensor in held:
        owner, own = modules[raw], leaf
        *above, word, name = ["", *raw.split(".")] if "parametrizations" in raw else ("", "")
        if word == "parametrizations":  # such as a weight norm, which replaces a parameter
            owner, own = modules[".".join(above[1:])], name
        yield ParameterLocation(".".join((*paths[raw], leaf)), own, owner, outputs), tensor


def modules_by_path(root: Module) -> dict[str, Module]:
    """Return all modules by name, each wrapped module in place of its wrapper."""
    modules, paths = _modules_and_paths(root)
    return {".".join(path): modules[raw] for raw, path in paths.items()}


def _modules_and_paths(root: Module) -> tuple[dict[str, Module], dict[str, tuple[str, ...]]]:
    """Return all modules by name, and the parts of each name without parts that wrappers insert."""
    modules: dict[str, Module] = dict(cast("Any", root).named_modules(remove_duplicate=False))
    paths: dict[str, tuple[str, ...]] = {"": ()}
    for raw in modules:
        above, _, own = raw.rpartition(".")
        if raw:
            inside = paths[above]
            types = type(modules[above]).__mro__ if own == "module" else ()
            is_put_in = own in _WRAPPERS or any(cls.__name__ in _HOLDERS for cls in types)
            paths[raw] = inside if is_put_in else (*inside, own)
    return modules, paths
