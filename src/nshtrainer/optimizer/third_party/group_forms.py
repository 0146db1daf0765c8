"""Groups that optimizers of pytorch_optimizer need: matrices apart for Muon, pairs for LoRA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import check_no_lazy

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.optimizer.groups.group_dicts import Group
    from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase

__all__ = ["as_named", "by_dimensions", "check_pairs", "of_adamw", "uses_muon"]

_ADAMW = {
    "adamw_lr": "lr",
    "adamw_betas": "betas",
    "adamw_eps": "eps",
    "adamw_wd": "weight_decay",
}
"""Fields -> their names in a group for AdamW."""


def uses_muon(param: Tensor, options: Mapping[str, Any]) -> bool:
    """Return True if a parameter gets orthogonal updates, by its group or by its dimensions."""
    chosen = options.get("use_muon")
    return param.ndim >= 2 if chosen is None else chosen


def of_adamw(key: str) -> str:
    """Return the field that has the value of an option for parameters of AdamW."""
    return next((field for field, name in _ADAMW.items() if name == key), key)


def by_dimensions(group: Group) -> Iterator[Group]:
    """Yield the group unchanged if it has `use_muon`, and otherwise its matrices and the rest.

    Raises:
        OptimizerError: An option has no effect on any parameter of the group.
    """
    if group.options.get("use_muon") is not None:
        parts = [group]
    else:
        check_no_lazy(group.label, group.params)
        parts = [part for use_muon in (True, False) for part in _part(group, use_muon)]
    own = group.options.keys() & _ADAMW.keys()
    if own and all(part.options["use_muon"] for part in parts):
        raise OptimizerError(
            f"{group.label}: {', '.join(sorted(own))} has no effect on matrices. Set use_muon to "
            "false for AdamW, or remove it"
        )
    yield from parts


def _part(group: Group, use_muon: bool) -> Iterator[Group]:
    places = [at for at, param in enumerate(group.params) if uses_muon(param, {}) is use_muon]
    if places:
        yield group._replace(
            params=[group.params[at] for at in places],
            names=[group.names[at] for at in places] if group.names else None,
            options={**group.options, "use_muon": use_muon},
        )


def as_named(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a group under the names that the optimizer reads."""
    plain = {key: value for key, value in options.items() if key not in _ADAMW}
    if options["use_muon"]:
        return plain
    return plain | {name: options[key] for key, name in _ADAMW.items() if key in options}


def check_pairs(
    config: TorchOptimizerConfigBase, pairs_by: tuple[str, str], groups: Iterable[Group]
) -> None:
    """Check that each group lists its parameters in pairs, each pair with a common rank.

    Args:
        config: The config of the optimizer.
        pairs_by: The fields with the dimension that the two parameters of each pair share.
        groups: The groups.

    Raises:
        OptimizerError: A parameter has no partner, so that it would never be trained.
    """
    for group in groups:
        left, right = (group.options.get(field, getattr(config, field)) for field in pairs_by)
        for place in range(0, len(group.params), 2):
            pair = group.params[place : place + 2]
            if len(pair) < 2 or _size(pair[0], left) != _size(pair[1], right):
                raise OptimizerError(
                    f"{type(config).__name__}: {group.label}: {group.describe(place)} is not "
                    "followed by the other factor of a LoRA pair, so it would not be trained. Give "
                    "the parameters of LoRA alone, each A before its B"
                )


def _size(param: Tensor, dimension: int) -> int | None:
    """Return the size of a dimension, or `None` if there is no such dimension."""
    return param.shape[dimension] if -param.ndim <= dimension < param.ndim else None
