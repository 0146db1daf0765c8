"""Which rule takes a parameter, and what is wrong with a rule that takes none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, TypeAlias

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.nearest import listed, nearest
from nshtrainer.optimizer.selection import described, selects, spelled_out

if TYPE_CHECKING:
    from nshtrainer.optimizer.grouping import GroupingConfigBase, ParameterGroupConfig
    from nshtrainer.optimizer.inventory import Parameter

    Rules: TypeAlias = Sequence[ParameterGroupConfig]
    Taken: TypeAlias = list[ParameterGroupConfig | None]

__all__ = ["FirstRule", "check_rules", "freeze"]


class FirstRule:
    """Tells the first rule that selects a parameter.

    Rules that spell names out are looked up by these, so that ten thousand of them take no longer
    for a parameter than one; all others are tried in turn.

    Args:
        rules: The rules, in order.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._by_name: dict[str, int] = {}
        self._others: list[int] = []
        for index, rule in enumerate(rules):
            names = spelled_out(rule.select)
            for name in names:
                self._by_name.setdefault(name, index)
            if not names:
                self._others.append(index)

    def of(self, parameter: Parameter) -> ParameterGroupConfig | None:
        """The rule that takes a parameter, if one does."""
        around = chain.from_iterable(
            accumulate(name.split("."), "{}.{}".format) for name in parameter.names
        )
        named = min((self._by_name[name] for name in around if name in self._by_name), default=None)
        for index in self._others:
            if named is not None and named < index:
                break
            if selects(self._rules[index].select, parameter):
                return self._rules[index]
        return None if named is None else self._rules[named]


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
    of_rule: dict[int, list[Parameter]] = {}
    for parameter, taker in zip(parameters, taken, strict=True):
        of_rule.setdefault(id(taker), []).append(parameter)
    for place, rule in enumerate(config.groups):
        mine = of_rule.get(id(rule), [])
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
