"""Build the parameter groups of a model from an optimizer config."""

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
    """Parameter with its rule and its settings."""

    parameter: Parameter
    rule: str | None
    settings: Settings


def build_groups(config: GroupingConfigBase, params: Params | Any) -> list[Group]:
    """Build the groups from the rules and presets of a config, or from given groups.

    Frozen parameters are left out, unless the config includes them. Rules with `freeze` freeze
    their parameters here.

    Args:
        config: The config of an optimizer.
        params: The module, or its `named_parameters()` if names and dimensions are enough. A config
            without rules and presets takes the same forms as torch's optimizers.

    Raises:
        OptimizerError: Names or modules are needed but not given; a rule takes no parameter, or
            only frozen ones; there are no parameters, or one is given twice.
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
    # Settings need all parameters of the model, also of a part: the depth of a layer is relative.
    settings = list(settings_of(config, parameters, rules, part.model))
    # After the checks of rules and presets, since this changes the model.
    for parameter, rule in taken.items():
        if rule.freeze:
            parameter.tensor.requires_grad_(False)
    assigned = [
        _Assigned(parameter, rule and rule.name, held)
        for parameter, rule, held in zip(parameters, rules, settings, strict=True)
        if parameter in part.chosen and (config.include_frozen or parameter.tensor.requires_grad)
    ]
    # A module's names are not passed to torch, which would refuse a later group without names.
    return _merged(assigned, named=part.model is None)


def _assigned_rules(
    config: GroupingConfigBase, parameters: Sequence[Parameter]
) -> dict[Parameter, ParameterGroupConfig]:
    """Return the rule of each parameter that a rule takes; a required rule must take one."""

    def is_left_out(rule: ParameterGroupConfig, parameter: Parameter) -> bool:
        return not (rule.freeze or config.include_frozen or parameter.tensor.requires_grad)

    assignment = assign(config.groups, parameters, is_left_out)
    for place, rule in enumerate(config.groups):
        if rule.name in assignment.reasons:
            where = f"{type(config).__name__}: groups.{place} ({rule.name!r})"
            raise OptimizerError(f"{where}: {assignment.reasons[rule.name]}")
    return assignment.taken


# -- given parameters ------------------------------------------------------------------------------


def _pairs(config: GroupingConfigBase, params: Any) -> list[tuple[str, Any]]:
    """Return `(name, tensor)` pairs, for a config that needs only names and dimensions."""
    import torch

    is_several = isinstance(params, Iterable) and not isinstance(params, torch.Tensor)
    items: list[Any] = list(cast("Iterable[Any]", params)) if is_several else [params]
    if not items or not all(isinstance(item, tuple) for item in items):
        got = "group dicts" if any(isinstance(item, Mapping) for item in items) else "bare tensors"
        raise OptimizerError(
            f"{_asked(config)}: parameters are selected by name, and these are {got}; "
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
            f"{_asked(config)}: parameters are selected by the modules that hold them, and these "
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
    """Return the fields that need groups, for a message."""
    asked = {
        "groups": bool(config.groups),
        f"no_decay: {config.no_decay}": config.no_decay != "none",
        "layer_decay": config.layer_decay is not None,
        "width_transfer": config.width_transfer is not None,
    }
    return f"{type(config).__name__}: {', '.join(what for what, true in asked.items() if true)}"


# -- groups ----------------------------------------------------------------------------------------


def _merged(assigned: Sequence[_Assigned], named: bool) -> list[Group]:
    """Join parameters of one rule with equal settings into one group."""
    parts: dict[Any, list[_Assigned]] = {}
    for one in assigned:
        parts.setdefault((one.rule, frozenset(one.settings.options.items())), []).append(one)
    # The name of a group depends on the other groups of its rule, so these are collected first.
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
    """Return the tags of each preset for the members of a group, without repetition."""
    return [dict.fromkeys(tags) for tags in zip(*(m.settings.tags for m in members), strict=True)]


def _name(rule: str | None, tags: _Tags, of_rule: Sequence[_Tags]) -> str:
    """Return the name of the rule, with the tags that distinguish the group: `head/no_decay`."""
    words = [] if rule is None else [rule]
    for column, mine in enumerate(tags):
        # A tag that all groups of the rule share would only make the name longer.
        is_alike = all(part[column].keys() == mine.keys() for part in of_rule)
        if "" not in mine and not (rule and is_alike):
            words.append("+".join(mine))
    return "/".join(words) or "default"
