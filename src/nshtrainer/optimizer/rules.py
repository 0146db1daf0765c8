"""Which rule takes a parameter, and what is wrong with a rule that takes none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nshtrainer.exceptions import OptimizerError
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
                f"matches frozen parameters only: {_some(p.name for p in mine)}; unfreeze them, "
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
    return f"matches no parameter; {_nearest(rule.select, parameters)}"


def _nearest(selection: Any, parameters: Sequence[Parameter]) -> str:
    """What the model has that is most like what was looked for."""
    names = [name for parameter in parameters for name in parameter.names]
    types = {name for parameter in parameters for p in parameter.places for name in p.types}
    known = dict.fromkeys([*(path for name in names for path in _paths(name)), *types])
    near = [
        match
        for text in _texts(selection)
        for match in difflib.get_close_matches(text.strip("*."), known, n=3)
    ]
    if near:
        return f"the nearest are {_some(dict.fromkeys(near))}"
    roles = sorted({role for parameter in parameters for role in parameter.roles})
    return f"the model has {_some(names)}, with the roles {', '.join(roles) or 'unknown'}"


def _paths(name: str) -> Iterator[str]:
    """A name, and those of the modules around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _texts(selection: Any) -> Iterator[str]:
    """The patterns and names of classes in a selection."""
    if isinstance(selection, str):
        yield selection.removeprefix("re:")
    elif isinstance(selection, tuple):
        for one in cast("tuple[Any, ...]", selection):
            yield from _texts(one)
    elif selection is not None:
        for field in ("name", "module", "any_of", "all_of"):
            yield from _texts(getattr(selection, field))


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(repr, listed[:most])) + more
