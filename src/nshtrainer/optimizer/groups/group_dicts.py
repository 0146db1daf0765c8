"""Read parameters in any form into groups, and check them and their options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ValidationError

from nshtrainer.config import Config
from nshtrainer.config.document import Document
from nshtrainer.config.errors import describe
from nshtrainer.config.messages import join_names, truncate
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory, is_lazy

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.base import Params
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = [
    "Group",
    "check_options",
    "check_parameters",
    "described",
    "groups_of",
    "is_sharded",
    "names_in",
    "refuse_stacks",
]

ConfigT = TypeVar("ConfigT", bound=Config)

_TORCHS_OWN = frozenset({"params", "param_names", "name", "initial_lr"})
"""Keys of a group dict that torch, or a torch scheduler, writes."""


class Group(NamedTuple):
    """Parameter group: its parameters, their names if they are known, and the given options."""

    label: str
    params: list[Tensor]
    names: list[str] | None
    named: bool
    options: dict[str, Any]

    def describe(self, index: int) -> str:
        """Return a parameter for a message: its name or index, and its shape."""
        which = repr(self.names[index]) if self.names else f"number {index}"
        param = self.params[index]
        return f"{which} {'(lazy)' if is_lazy(param) else tuple(param.shape)}"


def described(groups: Iterable[Group], which: Callable[[Tensor], bool]) -> list[str]:
    """Return the parameters for which a predicate is true, for a message."""
    return [
        group.describe(place)
        for group in groups
        for place, param in enumerate(group.params)
        if which(param)
    ]


def is_sharded(param: Any) -> bool:
    """Return True if each process has only a part of the parameter, as with FSDP2."""
    return any(placement.is_shard() for placement in getattr(param, "placements", ()))


def groups_of(params: Params | Any, *, include_frozen: bool = False) -> list[Group]:
    """Read parameters in any form that torch takes, or a module.

    Args:
        params: A module, a part of one, tensors, `(name, tensor)` pairs, or group dicts with one
            of these under `params`. Nothing in it is changed.
        include_frozen: Include the frozen parameters of a module. Parameters that are given one by
            one are always included.

    Raises:
        OptimizerError: An item is no parameter, or different forms are mixed.
    """
    import torch

    if isinstance(params, ParameterSubset):
        chosen = [p for p in params.inventory if p in params.chosen]
        tensors, names = [p.tensor for p in chosen], [p.name for p in chosen]
        return [Group("the parameters", tensors, names, params.model is None, {})]
    is_one = isinstance(params, (torch.Tensor, torch.optim.Optimizer, str, Mapping, BaseModel))
    if is_one or not isinstance(params, (Iterable, torch.nn.Module)):
        raise OptimizerError(_no_parameters(params))
    if isinstance(params, torch.nn.Module):
        return [_group("the parameters", params, {}, include_frozen)]
    return _groups_of_items(list(cast("Iterable[Any]", params)), include_frozen)


def _no_parameters(params: Any) -> str:
    kind = type(params).__name__
    if callable(params) and getattr(params, "__name__", "").endswith("parameters"):
        return f"got the method {params.__name__}; call it: model.{params.__name__}()"
    return f"got one {kind}; give a list of parameters, or the module"


def _groups_of_items(items: list[Any], include_frozen: bool) -> list[Group]:
    dicts = [isinstance(item, Mapping) for item in items]
    if not any(dicts):
        return [_group("the parameters", items, {}, include_frozen)]
    if not all(dicts):
        raise OptimizerError("params mixes group dicts and bare parameters; pass one or the other")
    return [_group_of(index, item, include_frozen) for index, item in enumerate(items)]


def _group_of(index: int, given: Mapping[str, Any], include_frozen: bool) -> Group:
    label = f"parameter group {index}"
    if isinstance(given.get("name"), str):
        label += f" ({given['name']!r})"
    if "params" not in given:
        raise OptimizerError(f"{label}: it has no 'params'")
    params = given["params"]
    # The order of a state is the order of the parameters.
    if isinstance(params, (set, frozenset)):
        raise OptimizerError(f"{label}: params is a set, whose order changes; give a list")
    options = {key: value for key, value in given.items() if key != "params"}
    return _group(label, params, options, include_frozen)


def _group(label: str, params: Any, options: dict[str, Any], include_frozen: bool) -> Group:
    import torch

    if isinstance(params, torch.nn.Module):
        all_of_it = params.named_parameters()
        pairs = [(name, p) for name, p in all_of_it if include_frozen or p.requires_grad]
        # Without names for torch, which would otherwise refuse a later group without names.
        return Group(label, [p for _, p in pairs], [name for name, _ in pairs], False, options)
    items: list[Any] = [params] if isinstance(params, torch.Tensor) else list(params)
    named = [isinstance(item, tuple) for item in items]
    if any(named) and not all(named):
        raise OptimizerError(f"{label}: mixes named and bare parameters; pass one or the other")
    tensors = [item[1] for item in items] if any(named) else items
    for item in tensors:
        if not isinstance(item, torch.Tensor):
            kind = type(item).__name__
            problem = f"{truncate(repr(item))} is a {kind}, not a parameter"
            raise OptimizerError(f"{label}: {problem}; give the module, or its parameters()")
    names = [item[0] for item in items] if any(named) else options.get("param_names")
    return Group(label, tensors, names, any(named), options)


def names_in(groups: Iterable[Group]) -> list[tuple[str, Tensor]]:
    """Return the parameters whose names are known, as `(name, tensor)` pairs."""
    # A group without names adds no pair.
    return [pair for group in groups for pair in zip(group.names or (), group.params, strict=False)]


def check_parameters(groups: Iterable[Group]) -> None:
    """Check that there are parameters, and none of them twice.

    Raises:
        OptimizerError: There is no parameter, or one is given twice; the message has its groups.
    """
    # By identity, since `==` compares the elements of tensors.
    owner: dict[int, Group] = {}
    for group in groups:
        for index, param in enumerate(group.params):
            other = owner.get(id(param))
            owner[id(param)] = group
            if other is not None:
                where = f"twice in {group.label}"
                if other is not group:
                    where = f"in two groups: {other.label} and {group.label}"
                raise OptimizerError(
                    f"parameter {group.describe(index)} is {where}; give a tied weight once, or "
                    "the module, which knows its tied weights"
                )
    if not owner:
        raise OptimizerError(
            "there are no parameters to optimize; give model.parameters(), which is empty when it "
            "was read before, or the module, with a parameter that is not frozen"
        )


def check_options(config: ConfigT, group: Group) -> ConfigT:
    """Check the options of a group as fields of the config.

    Returns:
        The config with the options of the group; a tensor option is a number in it.

    Raises:
        OptimizerError: An option is unknown or out of its range; the message has option and group.
    """
    given = {key: value for key, value in group.options.items() if key not in _TORCHS_OWN}
    plain = {key: _as_number(group, key, value) for key, value in given.items()}
    try:
        return config.replace(**plain)
    except ValidationError as error:
        # The error then reads as in a config file, with the group as its place.
        document = Document({**dict(config), **plain}, group.label)
        raise OptimizerError(describe(error, type(config), document)) from error


def _as_number(group: Group, key: str, value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        # Ranges apply to numbers; the group itself keeps the tensor.
        if value.numel() != 1:
            raise OptimizerError(f"{group.label}: {key} has {value.numel()} elements; give one")
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(_as_number(group, key, item) for item in cast("list[Any]", value))
    return value


def refuse_stacks(optimizer: Optimizer, params: Any, name: str) -> None:
    """Check that each parameter that Muon takes is a matrix or the kernel of a convolution.

    Args:
        optimizer: The optimizer, whose groups may have `use_muon`.
        params: The parameters that it was built from. Without a module, a parameter of 3 dimensions
            is refused: it may be the matrices of several experts.
        name: The name of the config, for the message.

    Raises:
        OptimizerError: A parameter is neither, such as the matrices of several experts.
    """
    muons = [group for group in optimizer.param_groups if group.get("use_muon", True)]
    flattened: list[Tensor] = [p for group in muons for p in group["params"] if p.ndim > 2]
    known = _parameters(params)
    # Without modules, 4 or 5 dimensions are a kernel; 3 may be either.
    stacks = [
        f"{known[id(p)].name!r} {tuple(p.shape)}" if id(p) in known else f"{tuple(p.shape)}"
        for p in flattened
        if (not known[id(p)].is_kernel if id(p) in known else p.ndim == 3)
    ]
    if stacks:
        raise OptimizerError(
            f"{name}: a stack of matrices would be made orthogonal as one matrix, as the kernels "
            f"of convolutions are. Not known as kernels are: {join_names(stacks)}. Give these to "
            "AdamW, or give the module that has the convolution"
        )


def _parameters(params: Any) -> dict[int, Parameter]:
    """Return the parameters whose modules are known, by the identity of the tensor."""
    import torch

    if isinstance(params, torch.nn.Module):
        return {id(p.tensor): p for p in inventory(params)}
    if isinstance(params, ParameterSubset) and params.model is not None:
        return {id(p.tensor): p for p in params.inventory}
    return {}
