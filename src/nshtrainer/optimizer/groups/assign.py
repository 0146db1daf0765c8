"""Assignment of parameters to rules: the first rule that selects a parameter takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from nshtrainer.config.messages import join_quoted
from nshtrainer.optimizer.groups.selectors import described, nearest, selects, spelled_out

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = ["Assignment", "assign"]


class _Rule(Protocol):
    """Rule of a parameter group, or a route."""

    @property
    def name(self) -> str: ...
    @property
    def select(self) -> Any: ...
    @property
    def required(self) -> bool: ...


RuleT = TypeVar("RuleT", bound=_Rule)


@dataclass(frozen=True)
class Assignment(Generic[RuleT]):
    """Parameters by rule, and the reasons for rules without parameters.

    Args:
        taken: The rule of each parameter that a rule took.
        unmatched: The parameters that no rule took.
        reasons: The reason for each required rule that took nothing, by its name.
    """

    taken: dict[Parameter, RuleT]
    unmatched: list[Parameter]
    reasons: dict[str, str]


def assign(
    rules: Sequence[RuleT],
    parameters: Iterable[Parameter],
    is_left_out: Callable[[RuleT, Parameter], bool] = lambda _rule, _parameter: False,
) -> Assignment[RuleT]:
    """Assign each parameter to the first rule that selects it.

    Args:
        rules: The rules in order, with distinct names.
        parameters: The parameters.
        is_left_out: Returns True for a frozen parameter that its rule does not use.
    """
    known = list(parameters)
    first = _FirstRule(rules)
    found = {parameter: first.of(parameter) for parameter in known}
    taken = {parameter: rule for parameter, rule in found.items() if rule is not None}
    # A rule with frozen parameters only is as useless as one that matches nothing.
    served = {rule.name for p, rule in taken.items() if not is_left_out(rule, p)}
    idle = [rule for rule in rules if rule.required and rule.name not in served]
    return Assignment(
        taken=taken,
        unmatched=[parameter for parameter in known if parameter not in taken],
        reasons={rule.name: _reason(rule, known, taken) for rule in idle},
    )


def _reason(rule: RuleT, parameters: Sequence[Parameter], taken: dict[Parameter, RuleT]) -> str:
    """Return the reason why a rule took nothing: no match, an earlier rule, or frozen matches."""
    where = f"select {described(rule.select)}"
    matched = [parameter for parameter in parameters if selects(rule.select, parameter)]
    if not matched:
        return f"{where} matches no parameter; {nearest(rule.select, parameters)}"
    # A later rule cannot have taken a parameter that this one matches.
    names = join_quoted(parameter.name for parameter in matched)
    earlier = dict.fromkeys(taken[p].name for p in matched if taken[p].name != rule.name)
    if earlier:
        return (
            f"{where} comes too late: {names} went to {', '.join(map(repr, earlier))}; the first "
            "that matches wins, so put it before"
        )
    return (
        f"{where} matches frozen parameters only: {names}; unfreeze them, set include_frozen, "
        "leave it out, or write required: false"
    )


class _FirstRule(Generic[RuleT]):
    """Search for the first rule that selects a parameter.

    Rules that consist of whole names are looked up by name, so that ten thousand of them take no
    longer for a parameter than one. All others are tried in turn.
    """

    def __init__(self, rules: Sequence[RuleT]) -> None:
        self._rules = rules
        self._by_name: dict[str, int] = {}
        self._others: list[int] = []
        for index, rule in enumerate(rules):
            names = spelled_out(rule.select)
            for name in names:
                self._by_name.setdefault(name, index)
            if not names:
                self._others.append(index)

    def of(self, parameter: Parameter) -> RuleT | None:
        """Return the rule that takes a parameter, if one does."""
        # A name also selects all that is in the module of that name: `a`, `a.b` and `a.b.weight`.
        around = chain.from_iterable(
            accumulate(name.split("."), "{}.{}".format) for name in parameter.names
        )
        named = min((self._by_name[name] for name in around if name in self._by_name), default=None)
        for index in self._others:
            # A later rule cannot win over the one that was found by name.
            if named is not None and named < index:
                break
            if selects(self._rules[index].select, parameter):
                return self._rules[index]
        return None if named is None else self._rules[named]
