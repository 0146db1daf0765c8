"""Makes parameter groups of a model as a config describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.inventory import Part, inventory, modules_by_path
from nshtrainer.optimizer.layers import layer_numbers
from nshtrainer.optimizer.nearest import listed, nearest
from nshtrainer.optimizer.parameters import Group
from nshtrainer.optimizer.selection import described, needs_modules, selects

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.optimizer.base import Params
    from nshtrainer.optimizer.grouping import GroupingConfigBase, ParameterGroupConfig
    from nshtrainer.optimizer.inventory import Parameter

    Rules = Sequence[ParameterGroupConfig]
    Taken = list[ParameterGroupConfig | None]

__all__ = ["assigned_groups"]


class _Assigned(NamedTuple):
    """A parameter with the rule that took it, and with what holds for it."""

    parameter: Parameter
    rule: str | None
    tags: tuple[str, ...]
    options: dict[str, Any]


def assigned_groups(config: GroupingConfigBase, params: Params | Any) -> list[Group]:
    """The groups that a config describes, each parameter in exactly one of them.

    Parameters that are frozen are left out, unless the config includes them. What a rule freezes is
    frozen here.

    Args:
        config: The config of an optimizer.
        params: The module, or its `named_parameters()` where names and dimensions are enough.

    Raises:
        OptimizerError: There are no names, or no modules where they are needed; a rule takes
            nothing, or only what is frozen.
    """
    part = _part(config, params)
    own = [parameter for parameter in part.inventory if parameter in part.chosen]
    taken = [_rule_for(parameter, config.groups) for parameter in own]
    _freeze(own, taken)
    _check_rules(config, own, taken)
    assigned = [
        one
        for one in _assigned(config, part)
        if one.parameter in part.chosen
        and (config.include_frozen or one.parameter.tensor.requires_grad)
    ]
    return _merged(assigned, named=part.model is None)


# -- what is given ---------------------------------------------------------------------------------


def _part(config: GroupingConfigBase, params: Any) -> Part:
    """What is given, as a part of a model; mostly it is the whole."""
    import torch

    if isinstance(params, Part):
        if params.model is None:
            _refuse_names_alone(config)
        return params
    model = params if isinstance(params, torch.nn.Module) else None
    parameters = tuple(inventory(_pairs(config, params) if model is None else model))
    return Part(model, parameters, frozenset(parameters))


def _pairs(config: GroupingConfigBase, params: Any) -> list[tuple[str, Any]]:
    """The named parameters, where names and dimensions are all that is asked for."""
    import torch

    is_several = isinstance(params, Iterable) and not isinstance(params, torch.Tensor)
    items: list[Any] = list(cast("Iterable[Any]", params)) if is_several else [params]
    if not items or not all(isinstance(item, tuple) for item in items):
        got = "group dicts" if any(isinstance(item, Mapping) for item in items) else "bare tensors"
        raise OptimizerError(
            f"{_asked(config)}: parameters are told apart by their names, and these are {got}; "
            "give the module: create_optimizer(module)"
        )
    for name, tensor in items:
        if not isinstance(tensor, torch.Tensor):
            raise OptimizerError(f"{name!r} is a {type(tensor).__name__}, not a parameter")
    _refuse_names_alone(config)
    return items


def _refuse_names_alone(config: GroupingConfigBase) -> None:
    if _needs_modules(config):
        raise OptimizerError(
            f"{_asked(config)}: parameters are told apart by the modules that hold them, and these "
            "are names and tensors; give the module: create_optimizer(module)"
        )


def _needs_modules(config: GroupingConfigBase) -> bool:
    layers = config.layer_decay and config.layer_decay.layers
    selections = [*(group.select for group in config.groups), *([layers] if layers else [])]
    return config.no_decay == "bias_and_norm" or any(map(needs_modules, selections))


def _asked(config: GroupingConfigBase) -> str:
    """The fields that ask for groups, for a message."""
    asked = {
        "groups": bool(config.groups),
        f"no_decay: {config.no_decay}": config.no_decay != "none",
        "layer_decay": config.layer_decay is not None,
    }
    return f"{type(config).__name__}: {', '.join(what for what, true in asked.items() if true)}"


# -- rules -----------------------------------------------------------------------------------------


def _rule_for(parameter: Parameter, rules: Rules) -> ParameterGroupConfig | None:
    return next((rule for rule in rules if selects(rule.select, parameter)), None)


def _freeze(parameters: Sequence[Parameter], taken: Taken) -> None:
    for parameter, rule in zip(parameters, taken, strict=True):
        if rule is not None and rule.freeze:
            parameter.tensor.requires_grad_(False)


def _check_rules(config: GroupingConfigBase, parameters: Sequence[Parameter], taken: Taken) -> None:
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
    earlier = {
        taker.name: parameter.name
        for parameter, taker in zip(parameters, taken, strict=True)
        if taker is not None and selects(rule.select, parameter)
    }
    if earlier:
        who = ", ".join(f"{name!r} took {example!r}" for name, example in earlier.items())
        return f"comes too late, the first rule that matches wins: {who}; put it before them"
    return f"matches no parameter; {nearest(rule.select, parameters)}"


# -- settings --------------------------------------------------------------------------------------


def _assigned(config: GroupingConfigBase, part: Part) -> Iterator[_Assigned]:
    spared = _spared(config, part.inventory, part.model)
    layers = _layer_factors(config, part.inventory, part.model)
    for place, parameter in enumerate(part.inventory):
        rule = _rule_for(parameter, config.groups)
        layer, factor = layers[place] if layers else (None, 1.0)
        is_spared = place in spared
        tags = (
            *([] if layer is None else [f"layer_{layer}"]),
            *(["no_decay"] if is_spared else []),
        )
        options = _options(config, rule, factor, is_spared)
        yield _Assigned(parameter, rule and rule.name, tags, options)


def _options(
    config: GroupingConfigBase, rule: ParameterGroupConfig | None, factor: float, is_spared: bool
) -> dict[str, Any]:
    """What differs from the config; what a rule says outright wins over everything else."""
    rate_factor = factor * _or_one(rule and rule.lr_mult)
    options: dict[str, Any] = {}
    if rate_factor != 1:
        options["lr"] = getattr(config, "lr") * rate_factor  # noqa: B009 - a field of the subclass
    if is_spared:
        options["weight_decay"] = 0.0
    elif rule is not None and rule.weight_decay_mult is not None:
        options["weight_decay"] = getattr(config, "weight_decay") * rule.weight_decay_mult  # noqa: B009
    options |= rule.options if rule else {}
    return {key: value for key, value in options.items() if value != getattr(config, key)}


def _or_one(factor: float | None) -> float:
    return 1.0 if factor is None else factor


def _spared(
    config: GroupingConfigBase, parameters: Sequence[Parameter], root: Module | None
) -> set[int]:
    """The places of the parameters that have no weight decay."""
    if config.no_decay == "none":
        return set()
    told = _told_by_the_model(root) if root is not None else set[str]()
    return {
        place
        for place, parameter in enumerate(parameters)
        if _is_spared(config.no_decay, parameter) or not told.isdisjoint(parameter.names)
    }


def _is_spared(preset: str, parameter: Parameter) -> bool:
    if preset == "ndim_below_2":
        return parameter.tensor.ndim < 2
    return not parameter.roles.isdisjoint({"bias", "norm"})


def _told_by_the_model(root: Module) -> set[str]:
    """The names that `no_weight_decay()` gives, of the model or of a module in it."""
    names: set[str] = set()
    for path, module in modules_by_path(root).items():
        method = getattr(module, "no_weight_decay", None)
        if callable(method):
            told = cast("Iterable[str]", method())
            names |= {f"{path}.{name}" if path else name for name in told}
    return names


def _layer_factors(
    config: GroupingConfigBase, parameters: Sequence[Parameter], root: Module | None
) -> list[tuple[int, float]]:
    decay = config.layer_decay
    if decay is None:
        return []
    numbers = layer_numbers(parameters, decay.layers, root)
    return [(number, decay.rate ** (max(numbers) - number)) for number in numbers]


# -- groups ----------------------------------------------------------------------------------------


def _merged(assigned: Sequence[_Assigned], named: bool) -> list[Group]:
    """One group for equal settings; a rule's parameters stay among themselves."""
    parts: dict[Any, list[_Assigned]] = {}
    for one in assigned:
        parts.setdefault((one.rule, frozenset(one.options.items())), []).append(one)
    common = _common_tags(assigned)
    return [
        _group(_name(rule, members, common[rule]), members, named)
        for (rule, _), members in parts.items()
    ]


def _common_tags(assigned: Iterable[_Assigned]) -> dict[str | None, set[str]]:
    """What all parameters of a rule have in common, and so need not be said in a name."""
    common: dict[str | None, set[str]] = {None: set()}
    for one in assigned:
        common.setdefault(one.rule, set(one.tags)).intersection_update(one.tags)
    return common


def _name(rule: str | None, members: Sequence[_Assigned], common: set[str]) -> str:
    """A rule's own name, and what sets a part of it apart: `head`, `head/no_decay`."""
    shared = set(members[0].tags).intersection(*[one.tags for one in members]) - common
    tags = [tag for tag in members[0].tags if tag in shared]
    return "/".join(([] if rule is None else [rule]) + tags) or "default"


def _group(name: str, members: list[_Assigned], named: bool) -> Group:
    return Group(
        label=f"parameter group {name!r}",
        params=[one.parameter.tensor for one in members],
        names=[one.parameter.name for one in members],
        named=named,
        options={"name": name, **members[0].options},
    )
