"""Build the parameter groups of a model as a config describes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.assign import assign
from nshtrainer.optimizer.groups.group_dicts import Group, check_parameters, groups_of
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory
from nshtrainer.optimizer.groups.presets import settings_of
from nshtrainer.optimizer.groups.selectors import needs_modules

if TYPE_CHECKING:
    from nshtrainer.optimizer.base import Params
    from nshtrainer.optimizer.groups.config import GroupingConfigBase, ParameterGroupConfig
    from nshtrainer.optimizer.groups.parameters import Parameter
    from nshtrainer.optimizer.groups.presets import Settings

    _Tags: TypeAlias = list[dict[str, None]]

__all__ = ["build_groups"]


class _Assigned(NamedTuple):
    """A parameter with the rule that took it, and with what holds for it."""

    parameter: Parameter
    rule: str | None
    settings: Settings


def build_groups(config: GroupingConfigBase, params: Params | Any) -> list[Group]:
    """Build the groups that a config describes, or those that are given, each parameter in one.

    Parameters that are frozen are left out, unless the config includes them. What a rule freezes is
    frozen here.

    Args:
        config: The config of an optimizer.
        params: The module, or its `named_parameters()` where names and dimensions are enough; what
            torch's optimizers take, where the config tells no parameters apart.

    Raises:
        OptimizerError: There are no names, or no modules where they are needed; a rule takes
            nothing, or only what is frozen; there are no parameters, or one is there twice.
    """
    if config.asks_for_groups:
        groups = _assigned_groups(config, params)
    else:
        groups = groups_of(params, include_frozen=config.include_frozen)
    check_parameters(groups)
    return groups


def _assigned_groups(config: GroupingConfigBase, params: Any) -> list[Group]:
    import torch

    part: ParameterSubset = params
    if not isinstance(params, ParameterSubset):
        model = params if isinstance(params, torch.nn.Module) else None
        every = tuple(inventory(_pairs(config, params) if model is None else model))
        part = ParameterSubset(model, every, frozenset(every))
    elif part.model is None:
        _refuse_names_alone(config)
    parameters = part.inventory
    taken: dict[Parameter, ParameterGroupConfig] = {}
    if config.groups:
        taken = _assigned_rules(config, [p for p in parameters if p in part.chosen])
    rules = [taken.get(parameter) for parameter in parameters]
    settings = list(settings_of(config, parameters, rules, part.model))
    for parameter, rule in taken.items():
        if rule.freeze:
            parameter.tensor.requires_grad_(False)
    assigned = [
        _Assigned(parameter, rule and rule.name, held)
        for parameter, rule, held in zip(parameters, rules, settings, strict=True)
        if parameter in part.chosen and (config.include_frozen or parameter.tensor.requires_grad)
    ]
    return _merged(assigned, named=part.model is None)


def _assigned_rules(
    config: GroupingConfigBase, parameters: Sequence[Parameter]
) -> dict[Parameter, ParameterGroupConfig]:
    """Return the rule of each parameter that one takes; each rule has to take one."""

    def is_left_out(rule: ParameterGroupConfig, parameter: Parameter) -> bool:
        return not (rule.freeze or config.include_frozen or parameter.tensor.requires_grad)

    assignment = assign(config.groups, parameters, is_left_out)
    for place, rule in enumerate(config.groups):
        if rule.name in assignment.reasons:
            where = f"{type(config).__name__}: groups.{place} ({rule.name!r})"
            raise OptimizerError(f"{where}: {assignment.reasons[rule.name]}")
    return assignment.taken


# -- what is given ---------------------------------------------------------------------------------


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
    selections = [group.select for group in config.groups]
    if config.layer_decay and config.layer_decay.layers:
        selections.append(config.layer_decay.layers)
    if config.width_transfer:
        selections += [config.width_transfer.hidden, config.width_transfer.output]
    return config.no_decay == "bias_and_norm" or any(map(needs_modules, selections))


def _asked(config: GroupingConfigBase) -> str:
    """The fields that ask for groups, for a message."""
    asked = {
        "groups": bool(config.groups),
        f"no_decay: {config.no_decay}": config.no_decay != "none",
        "layer_decay": config.layer_decay is not None,
        "width_transfer": config.width_transfer is not None,
    }
    return f"{type(config).__name__}: {', '.join(what for what, true in asked.items() if true)}"


# -- groups ----------------------------------------------------------------------------------------


def _merged(assigned: Sequence[_Assigned], named: bool) -> list[Group]:
    """One group for equal settings; a rule's parameters stay among themselves."""
    parts: dict[Any, list[_Assigned]] = {}
    for one in assigned:
        parts.setdefault((one.rule, frozenset(one.settings.options.items())), []).append(one)
    of_rule: dict[str | None, list[_Tags]] = {}
    for (rule, _), members in parts.items():
        of_rule.setdefault(rule, []).append(_tags(members))
    made: list[Group] = []
    for (rule, _), members in parts.items():
        name = _name(rule, _tags(members), of_rule[rule])
        tensors = [one.parameter.tensor for one in members]
        names = [one.parameter.name for one in members]
        options = {"name": name, **members[0].settings.options}
        made.append(Group(f"parameter group {name!r}", tensors, names, named, options))
    return made


def _tags(members: Sequence[_Assigned]) -> _Tags:
    """What each preset calls the members of a group, without repetition."""
    return [dict.fromkeys(tags) for tags in zip(*(m.settings.tags for m in members), strict=True)]


def _name(rule: str | None, tags: _Tags, of_rule: Sequence[_Tags]) -> str:
    """A rule's own name, and what sets a part of it apart: `head`, `head/no_decay`."""
    words = [] if rule is None else [rule]
    for column, mine in enumerate(tags):
        is_alike = all(part[column].keys() == mine.keys() for part in of_rule)
        if "" not in mine and not (rule and is_alike):
            words.append("+".join(mine))
    return "/".join(words) or "default"
