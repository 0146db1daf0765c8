"""Parameter trace: the rule that matches one parameter, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from nshtrainer.config.messages import join_names, suggest, truncate
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError
from nshtrainer.optimizer.base import innermost
from nshtrainer.optimizer.groups.assign import assign
from nshtrainer.optimizer.groups.build import marked_options
from nshtrainer.optimizer.groups.parameters import clean_names
from nshtrainer.optimizer.groups.selectors import described, selects
from nshtrainer.optimizer.routed_config import RoutingConfigBase

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.analysis.summary import GroupRow, OptimizationSummary
    from nshtrainer.optimizer.groups.parameters import Parameter
    from nshtrainer.optimizer.groups.selectors import Selection, SelectorConfig

__all__ = ["ParameterTrace", "Rule", "trace_parameter"]


@dataclass(frozen=True)
class Rule:
    """A rule, and its match with a parameter.

    Args:
        where: The path of the rule in the hyperparameters, and its name.
        select: The selector of the rule.
        takes: True if the rule takes the parameter.
        why: The reason.
    """

    where: str
    select: str
    takes: bool
    why: str


@dataclass(frozen=True, repr=False)
class ParameterTrace:
    """A parameter, its group, and its match with each rule.

    Args:
        names: All names of the parameter.
        shape: The shape of the parameter.
        modules: The classes of the modules that hold the parameter.
        roles: The roles of the parameter.
        trained: True if the parameter is trained.
        group: The row of the parameter's group; None if it is in no group.
        rules: The checked rules, in their order.
    """

    names: list[str]
    shape: list[int]
    modules: list[str]
    roles: list[str]
    trained: bool
    group: GroupRow | None
    rules: list[Rule]

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as plain data."""
        return asdict(self)

    @override
    def __str__(self) -> str:
        return "\n".join(map(printable, _lines(self)))

    __repr__ = __str__


def trace_parameter(name: str, found: OptimizationSummary) -> ParameterTrace:
    """Explain which rules matched a parameter.

    Args:
        name: A name of the parameter, as in `named_parameters()`.
        found: The summary of the optimizers, with its sources.

    Raises:
        ConfigError: No parameter has this name; the message lists similar names.
    """
    owned, configs = found.sources.parameters, found.sources.configs
    # With and without the parts that `torch.compile` and others insert.
    names = (name, *clean_names([name]))
    parameter = next((p for wanted in names for p in owned if wanted in p.names), None)
    if parameter is None:
        known = [known for each in owned for known in each.names]
        listed = f" (known: {join_names(known)})" if known else ""
        problem = f"unknown parameter {truncate(name)!r}{suggest(name, known)}{listed}"
        raise ConfigError(printable(problem))
    return ParameterTrace(
        names=list(parameter.names),
        shape=list(parameter.shaped.shape),
        modules=list(dict.fromkeys(type(place.module).__name__ for place in parameter.places)),
        roles=sorted(parameter.roles),
        trained=parameter.tensor.requires_grad,
        group=next((row for row in found.groups if parameter.name in row.names), None),
        # Of several optimizers, only the module knows which it has.
        rules=[
            rule
            for where, config in (configs if len(configs) == 1 else ())
            for rule in _rules_of(parameter, config, where, found.sources.model)
        ],
    )


def _rules_of(
    parameter: Parameter, config: Any, where: str, model: Module | None
) -> Iterator[Rule]:
    """Return the rules of a config, and those of the route that takes the parameter."""
    config = innermost(config)
    routes = config.all_routes() if isinstance(config, RoutingConfigBase) else ()
    yield from _asked(parameter, routes, f"{where}: route")
    taker = assign(routes, [parameter]).taken.get(parameter)
    if taker is not None:
        where, config = f"{where}: route {taker.name!r}", innermost(taker.optimizer)
    yield from _asked(parameter, getattr(config, "groups", ()), f"{where}: group")
    if getattr(config, "no_decay", "none") != "none":
        yield _exemption(parameter, config, f"{where}: no_decay", model)


def _exemption(parameter: Parameter, config: Any, where: str, model: Module | None) -> Rule:
    """Return the weight-decay exemption of a config as a rule."""
    takes = marked_options(config, [parameter], model)[0].get("weight_decay") == 0
    by_shape = config.no_decay == "ndim_below_2"
    is_own = parameter.shaped.ndim < 2 if by_shape else parameter.is_bias_or_norm
    field = "ndim" if by_shape else "role"
    why = f"its {field} is {_own(field, parameter)}"
    return Rule(where, config.no_decay, takes, why if takes is is_own else "the model exempts it")


def _asked(parameter: Parameter, rules: Sequence[Any], where: str) -> Iterator[Rule]:
    taker = assign(rules, [parameter]).taken.get(parameter)
    for rule in rules:
        if rule is taker:
            why = "it is the first match"
        elif taker is not None and selects(rule.select, parameter):
            why = f"matches too, but the first match applies: {taker.name!r}"
        else:
            why = why_not(rule.select, parameter)
        yield Rule(f"{where} {rule.name!r}", described(rule.select), rule is taker, why)


def why_not(selection: Selection, parameter: Parameter) -> str:
    """Explain why a selector does not match a parameter.

    >>> from torch import nn
    >>> from nshtrainer.optimizer.groups.parameters import inventory
    >>> from nshtrainer.optimizer.groups.selectors import SelectorConfig
    >>> weight = inventory(nn.Linear(2, 3))[0]
    >>> why_not(SelectorConfig(role="norm"), weight)
    'its role is matrix, not norm'
    """
    if isinstance(selection, str):
        return f"its name is not {selection}"
    if isinstance(selection, tuple):
        failing = (one for one in selection if not selects(one, parameter))
        return "; ".join(dict.fromkeys(why_not(one, parameter) for one in failing))
    return next(_failing(selection, parameter))


def _failing(selector: SelectorConfig, parameter: Parameter) -> Iterator[str]:
    """Yield the conditions of a selector that a parameter does not meet."""
    from nshtrainer.optimizer.groups.selectors import SelectorConfig

    for field, wanted in dict(selector).items():
        if wanted is None or selects(SelectorConfig(**{field: wanted}), parameter):
            continue
        if field == "none_of":
            yield f"{described(wanted)} matches, which none_of excludes"
        elif field in {"any_of", "all_of"}:
            yield why_not(wanted, parameter)
        else:
            listed = cast("tuple[Any, ...]", wanted if isinstance(wanted, tuple) else (wanted,))
            either = " or ".join(map(str, listed))
            yield f"its {field} is {_own(field, parameter)}, not {either}"


def _own(field: str, parameter: Parameter) -> str:
    """Return the parameter's own value for a condition of a selector."""
    if field == "ndim":
        return str(parameter.tensor.ndim)
    if field == "role":
        return " and ".join(sorted(parameter.roles)) or "none"
    if field == "module":
        return " and ".join(dict.fromkeys(type(p.module).__name__ for p in parameter.places))
    return " and ".join(parameter.names)


def _lines(way: ParameterTrace) -> Iterator[str]:
    """Yield a parameter, its group, and two lines for each rule."""
    state = "trained" if way.trained else "frozen"
    form = " x ".join(map(str, way.shape)) or "scalar"
    yield " = ".join(way.names)
    yield f"  {form}, in {', '.join(way.modules)}, role {', '.join(way.roles) or 'none'}, {state}"
    yield f"  {_group_text(way.group)}"
    for rule in way.rules:
        yield f"  {'applied' if rule.takes else 'skipped'}  {rule.where}: {rule.select}"
        yield f"            {rule.why}"
    if not any(rule.takes for rule in way.rules):
        yield "  matched by no rule: default settings and presets apply"


def _group_text(row: GroupRow | None) -> str:
    if row is None:
        return "in no parameter group: no optimizer updates it"
    rate = "" if row.lr is None else f", lr {row.lr:g}"
    decay = "" if row.weight_decay is None else f", weight decay {row.weight_decay:g}"
    schedule = f"; {row.schedule}" if row.schedule else ""
    return f"in group {row.name!r} of {row.update}{rate}{decay}{schedule}"
