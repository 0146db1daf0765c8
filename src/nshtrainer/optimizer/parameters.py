"""From what a user gives as parameters to the group dicts that torch takes, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from pydantic import ValidationError

from nshtrainer.config import Config
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.inventory import Parameter
from nshtrainer.text.documents import Document
from nshtrainer.text.problems import describe

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.optimizer.base import Params

__all__ = ["Group", "check_options", "groups_of"]

ConfigT = TypeVar("ConfigT", bound=Config)

_TORCHS_OWN = frozenset({"params", "param_names", "name", "initial_lr"})
"""Keys of a group dict that torch, or a scheduler of torch, puts there."""


class Group(NamedTuple):
    """One group: its parameters, their names where they are known, and the options given for it."""

    label: str
    params: list[Tensor]
    names: list[str] | None
    named: bool
    options: dict[str, Any]

    def to_torch(self) -> dict[str, Any]:
        """The dict for torch, newly made: torch writes into what it is given."""
        if self.named and self.names:
            return {**self.options, "params": list(zip(self.names, self.params, strict=True))}
        return {**self.options, "params": self.params}

    def describe(self, index: int) -> str:
        """A parameter for a message: its name or place, and its shape."""
        which = repr(self.names[index]) if self.names else f"number {index}"
        return f"{which} {tuple(self.params[index].shape)}"


def groups_of(params: Params | Any) -> list[Group]:
    """Read parameters in any form that torch takes, or a module.

    Args:
        params: A module, tensors, `(name, tensor)` pairs, parameters of an inventory, or group
            dicts with one of these under `params`. Nothing in it is changed.

    Raises:
        OptimizerError: There is no parameter, one is in two groups, or something is no parameter.
    """
    import torch

    if isinstance(params, torch.Tensor) or not isinstance(params, (Iterable, torch.nn.Module)):
        kind = type(params).__name__
        raise OptimizerError(f"got one {kind}; give a list of parameters, or the module")
    if isinstance(params, torch.nn.Module):
        groups = [_group("the parameters", params, {})]
    else:
        groups = _groups_of_items(list(cast("Iterable[Any]", params)))
    _check_parameters(groups)
    return groups


def _groups_of_items(items: list[Any]) -> list[Group]:
    dicts = [isinstance(item, Mapping) for item in items]
    if not any(dicts):
        return [_group("the parameters", items, {})]
    if not all(dicts):
        raise OptimizerError("either all parameters are in group dicts or none; got both")
    return [_group_of(index, item) for index, item in enumerate(items)]


def _group_of(index: int, given: Mapping[str, Any]) -> Group:
    label = f"parameter group {index}"
    if isinstance(given.get("name"), str):
        label += f" ({given['name']!r})"
    if "params" not in given:
        raise OptimizerError(f"{label}: it has no 'params'")
    params = given["params"]
    if isinstance(params, (set, frozenset)):
        raise OptimizerError(f"{label}: params is a set, whose order changes; give a list")
    options = {key: value for key, value in given.items() if key != "params"}
    return _group(label, params, options)


def _group(label: str, params: Any, options: dict[str, Any]) -> Group:
    import torch

    if isinstance(params, torch.nn.Module):
        pairs = list(params.named_parameters())
        # The names serve messages only: torch does not let unnamed groups join named ones later.
        return Group(label, [p for _, p in pairs], [name for name, _ in pairs], False, options)
    items: list[Any] = [params] if isinstance(params, torch.Tensor) else list(params)
    if items and all(isinstance(item, Parameter) for item in items):
        names = [item.name for item in items]
        return Group(label, [item.tensor for item in items], names, False, options)
    named = [isinstance(item, tuple) for item in items]
    if any(named) and not all(named):
        raise OptimizerError(f"{label}: either all parameters have a name or none; got both")
    tensors = [item[1] for item in items] if any(named) else items
    for item in tensors:
        if not isinstance(item, torch.Tensor):
            raise OptimizerError(f"{label}: {item!r} is a {type(item).__name__}, not a parameter")
    names = [item[0] for item in items] if any(named) else options.get("param_names")
    return Group(label, tensors, names, any(named), options)


def _check_parameters(groups: Iterable[Group]) -> None:
    owner: dict[int, Group] = {}
    for group in groups:
        for index, param in enumerate(group.params):
            other = owner.setdefault(id(param), group)
            if other is not group:
                raise OptimizerError(
                    f"parameter {group.describe(index)} is in two groups: {other.label} and "
                    f"{group.label}; tied weights belong to one"
                )
    if not owner:
        raise OptimizerError(
            "there are no parameters to optimize; give model.parameters(), which is empty when it "
            "was read before, or the module"
        )


def check_options(config: ConfigT, group: Group) -> ConfigT:
    """Check the options of a group as if they had been given to the config.

    Returns:
        The config that holds for the group; an option that is a tensor is in it as a number.

    Raises:
        OptimizerError: An option is unknown or out of its range; it says which, and of what group.
    """
    given = {key: value for key, value in group.options.items() if key not in _TORCHS_OWN}
    plain = {key: _as_number(group, key, value) for key, value in given.items()}
    try:
        return config.replace(**plain)
    except ValidationError as error:
        document = Document({**dict(config), **plain}, group.label)
        raise OptimizerError(describe(error, type(config), document)) from error


def _as_number(group: Group, key: str, value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise OptimizerError(f"{group.label}: {key} has {value.numel()} elements; give one")
        return value.item()
    if isinstance(value, (tuple, list)):
        return tuple(_as_number(group, key, item) for item in cast("list[Any]", value))
    return value
