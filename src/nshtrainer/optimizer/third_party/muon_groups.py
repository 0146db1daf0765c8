"""Groups for the Muons of pytorch_optimizer: matrices, and other parameters for AdamW."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.lazy_parameters import check_no_lazy

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.optimizer.groups.group_dicts import Group

__all__ = ["as_named", "by_dimensions", "of_adamw", "uses_muon"]

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
