"""Which rule takes a parameter, and what is wrong with a rule that takes none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.nearest import listed, nearest
from nshtrainer.optimizer.selection import described, selects

if TYPE_CHECKING:
    from nshtrainer.optimizer.grouping import GroupingConfigBase, ParameterGroupConfig
    from nshtrainer.optimizer.inventory import Parameter

    Rules: TypeAlias = Sequence[ParameterGroupConfig]
    Taken: TypeAlias = list[ParameterGroupConfig | None]

__all__ = ["check_rules", "freeze", "rule_for"]


def rule_for(parameter: Parameter, rules: Rules) -> ParameterGroupConfig | None:
    """The first rule that selects a parameter."""
    return next((rule for rule in rules if selects(rule.select, parameter)), None)


def freeze(parameters: Sequence[Parameter], taken: Taken) -> None:
    """Turn the gradient off for what was taken by a rule that freezes."""
    for parameter, rule in zip(parameters, taken, strict=True):
        if rule is not None and rule.freeze:
            parameter.tensor.requires_grad_(False)


def check_rules(config: GroupingConfigBase, parameters: Sequence[Parameter], taken: Taken) -> None:
    """Check that every rule took something that is trained, unless it need not.

    Raises:
        OptimizerError: One took nothing; it says why, and what is nearest.
    """
    for place, rule in enumerate(config.groups):
        mine = [p for p, taker in zip(parameters, taken, strict=True) if taker is rule]
        problem = None
        if not mine:
            problem = _why_nothing(rule, parameters, taken)
        elif not rule.freeze and not config.include_frozen and _all_frozen(mine):
            problem = (
                f"matches frozen parameters only: {listed(p.name for p in mine)}; unfreeze them, "
                "set include_frozen, or leave the rule out"
            )
        if problem and rule.required:
            where = f"groups.{place} ({rule.name!r}): select {described(rule.select)}"
            raise OptimizerError(f"{type(config).__name__}: {where} {problem}")


def _all_frozen(parameters: Iterable[Parameter]) -> bool:
    return not any(parameter.tensor.requires_grad for parameter in parameters)


def _why_nothing(rule: ParameterGroupConfig, parameters: Sequence[Parameter], taken: Taken) -> str:
    """What is wrong with a rule that took nothing."""
    earlier: dict[str, str] = {}
    for parameter, taker in zip(parameters, taken, strict=True):
        if taker is not None and selects(rule.select, parameter):
            earlier.setdefault(taker.name, parameter.name)
    if earlier:
        who = ", ".join(f"{name!r} took {example!r}" for name, example in earlier.items())
        return f"comes too late, the first rule that matches wins: {who}; put it before them"
    return f"matches no parameter; {nearest(rule.select, parameters)}"
