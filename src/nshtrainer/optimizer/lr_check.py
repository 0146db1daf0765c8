"""Check that the optimizer reads the learning rate of each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nshtrainer.exceptions import OptimizerError
from nshtrainer.rate_use import RateUse

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.config import GroupingConfigBase
    from nshtrainer.optimizer.groups.group_dicts import Group

__all__ = ["check_rates", "rate_requirements", "rate_use_of"]


def check_rates(config: GroupingConfigBase, groups: Sequence[Group]) -> None:
    """Check that the groups of a config with an `lr_problem` have no learning rate of their own.

    Raises:
        OptimizerError: The optimizer does not read the learning rate of a group.
    """
    own: Any = getattr(config, "lr", None)
    rates = [group.options.get("lr", own) for group in groups]
    read = rates[0] if config.lr_scope == "optimizer" else own
    if any(rate != read for rate in rates):
        raise OptimizerError(
            f"{type(config).__name__}: {config.lr_problem}. Leave lr out of the groups"
        )


def rate_requirements(config: type[GroupingConfigBase]) -> dict[str, bool]:
    """Return each possible requirement on the learning rate, in words, and True if it applies."""
    field, value = config.lr_requires or ("", "")
    return {
        "one `lr` for all groups": config.lr_scope == "optimizer",
        "no schedule of `lr`": config.lr_scope == "first_step" or config.lr_is_written,
        f"`{field}: {str(value).lower()}` for a schedule": config.lr_requires is not None,
        "an `lr` above 0": config.lr_zero == "never",
        "a first `lr` above 0": config.lr_zero == "not_first",
    }


def rate_use_of(config: GroupingConfigBase) -> RateUse:
    """Return how an optimizer uses its learning rate, for schedules."""
    problem = config.lr_problem if config.lr_requires else None
    if config.lr_scope == "first_step":
        problem = f"{config.name} reads lr at its first step only"
    if config.lr_is_written:
        problem = f"{config.name} replaces lr by one of its own"
    return RateUse(config.name, config.lr_scope, config.lr_zero, problem)
