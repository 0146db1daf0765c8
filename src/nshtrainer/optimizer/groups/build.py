"""Build the parameter groups of a model from the rules and presets of an optimizer config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.assign import assign
from nshtrainer.optimizer.groups.group_dicts import Group, check_parameters, groups_of
from nshtrainer.optimizer.groups.heads import method_of
from nshtrainer.optimizer.groups.layer_depth import layer_numbers
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory, modules_by_path
from nshtrainer.optimizer.groups.selectors import needs_modules

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.optimizer.groups.config import (
        GroupingConfigBase,
        ParameterGroupConfig,
    )
    from nshtrainer.optimizer.groups.parameters import Parameter

    Factors: TypeAlias = list[tuple[str, float]]
    from nshtrainer.optimizer.base import Params

    _Tags: TypeAlias = list[dict[str, None]]

__all__ = ["Settings", "build_groups", "marked_options", "settings_of"]


class Settings(NamedTuple):
    """Settings of one parameter.

    Args:
        tags: A tag from each preset, for the name of the group: the layer, the part in a width
            transfer, the weight decay, and the options that the model sets. A tag is empty if the
            preset makes no difference.
        options: Options that differ from the config.
    """

    tags: tuple[str, ...]
    options: dict[str, Any]


def settings_of(
    config: GroupingConfigBase,
    parameters: Sequence[Parameter],
    taken: Sequence[ParameterGroupConfig | None],
    root: Module | None,
) -> Iterator[Settings]:
    """Yield the settings of each parameter.

    Args:
        config: The config of an optimizer.
        parameters: All parameters of the model, in its order.
        taken: The rule of each parameter.
        root: The model, if it is known.
    """
    presets: list[Factors] = []
    decay, transfer = config.layer_decay, config.width_transfer
    if decay is not None and decay.rate != 1:
        numbers = layer_numbers(parameters, decay.layers, root)
        last = max(numbers)  # the last layer has the full rate
        presets.append([(f"layer_{number}", decay.rate ** (last - number)) for number in numbers])
    if transfer is not None:
        parts, by_part = map(transfer.part_of, parameters), transfer.factors(config.width_rule)
        presets.append([(part if by_part[part] != 1 else "", by_part[part]) for part in parts])
    marked = marked_options(config, parameters, root)
    for place, (rule, own) in enumerate(zip(taken, marked, strict=True)):
        factors = [preset[place] for preset in presets]
        tags = (*(tag for tag, _ in factors), *_option_tags(own))
        rate_factor = prod(factor for _, factor in factors)
        base = partial(config.base_value, parameters[place].tensor, rule.options if rule else {})
        yield Settings(tags, _options(base, rule, rate_factor, own))


def _option_tags(own: dict[str, Any]) -> tuple[str, str]:
    """Return the tags for a weight decay of 0 and for the other options of a parameter."""
    is_spared = own.get("weight_decay") == 0
    rest = {key: value for key, value in own.items() if not (is_spared and key == "weight_decay")}
    options = ",".join(f"{key}={value}" for key, value in sorted(rest.items()))
    return "no_decay" if is_spared else "", options.replace("/", "_")


def _options(
    base: Callable[[str], Any],
    rule: ParameterGroupConfig | None,
    factor: float,
    own: dict[str, Any],
) -> dict[str, Any]:
    """Return the options that differ from the config; the options of a rule win over all others."""
    options = dict(own)
    # A rate that the model sets is not scaled by presets, only by the rule's own factor.
    factors = {"lr": 1.0 if "lr" in own else factor, "weight_decay": 1.0}
    if rule is not None:
        factors["lr"] *= 1.0 if rule.lr_mult is None else rule.lr_mult
        factors["weight_decay"] = 1.0 if rule.weight_decay_mult is None else rule.weight_decay_mult
    for key, times in factors.items():
        if times != 1:
            options[key] = (options[key] if key in options else base(key)) * times
    options |= rule.options if rule else {}
    return {key: value for key, value in options.items() if value != base(key)}


def marked_options(
    config: GroupingConfigBase, parameters: Sequence[Parameter], root: Module | None
) -> list[dict[str, Any]]:
    """Return the options that `no_decay` and the model itself set for each parameter.

    Raises:
        OptimizerError: A parameter's `_optim` has an option that the optimizer does not have.
    """
    if config.no_decay == "none":
        return [{} for _ in parameters]
    # By name: the model lists names, and a tied weight may be listed under any of them.
    listed = _listed_by_the_model(root) if root is not None else set[str]()
    by_shape = config.no_decay == "ndim_below_2"
    marked: list[dict[str, Any]] = []
    for parameter in parameters:
        is_spared = (
            getattr(parameter.tensor, "_no_weight_decay", False)  # set by mamba-ssm
            or (listed and not listed.isdisjoint(parameter.names))
            or (parameter.shaped.ndim < 2 if by_shape else parameter.is_bias_or_norm)
        )
        own = {"weight_decay": 0.0} if is_spared else {}
        given = getattr(parameter.tensor, "_optim", None)
        if isinstance(given, Mapping):
            own |= _optim_of(parameter, cast("Mapping[str, Any]", given), config)
        marked.append(own)
    return marked


def _optim_of(
    parameter: Parameter, options: Mapping[str, Any], config: GroupingConfigBase
) -> dict[str, Any]:
    """Return the options that S4 and Hyena attach to a parameter, as `{"lr": 0.001}`."""
    wrong = {key: f"{config.name} has no {key}" for key in options.keys() - config.group_options()}
    if config.lr_problem and "lr" in options:
        wrong["lr"] = config.lr_problem
    for key, problem in wrong.items():
        raise OptimizerError(
            f"{parameter.name}: its _optim sets {key}, but {problem}. Remove it from the "
            "parameter's _optim, or set no_decay to none."
        )
    return {key: tuple(cast("Any", v)) if isinstance(v, list) else v for key, v in options.items()}


def _listed_by_the_model(root: Module) -> set[str]:
    """Return the names that the model, or a module in it, exempts from weight decay.

    `no_weight_decay()` returns names, and `no_weight_decay_keywords()` (Swin and its relatives)
    returns parts of names.
    """
    names: set[str] = set()
    methods = ("no_weight_decay", "no_weight_decay_keywords")
    if not any(method_of(module, name) for module in root.modules() for name in methods):
        return names
    for path, module in modules_by_path(root).items():
        listed = (method_of(module, "no_weight_decay") or tuple)()
        names |= {_joined(path, name) for name in listed}
        keywords = [*(method_of(module, "no_weight_decay_keywords") or tuple)()]
        if keywords:
            inside = (parameter.names for parameter in inventory(module))
            within = (name for names_of in inside for name in names_of)
            names |= {_joined(path, n) for n in within if any(word in n for word in keywords)}
    return names


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


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
            f"{_describe_fields(config)}: parameters are selected by name, and these are {got}; "
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
            f"{_describe_fields(config)}: parameters are selected by the modules that hold them, "
            "and these are names and tensors; give the module: create_optimizer(module)"
        )


def _needs_modules(config: GroupingConfigBase) -> bool:
    selections = [group.select for group in config.groups]
    if config.layer_decay and config.layer_decay.layers:
        selections.append(config.layer_decay.layers)
    if config.width_transfer:
        selections += [config.width_transfer.hidden, config.width_transfer.output]
    return config.no_decay == "bias_and_norm" or any(map(needs_modules, selections))


def _describe_fields(config: GroupingConfigBase) -> str:
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
    tags: dict[Any, _Tags] = {
        key: [dict.fromkeys(t) for t in zip(*(m.settings.tags for m in members), strict=True)]
        for key, members in parts.items()
    }
    # The name of a group depends on the other groups of its rule.
    of_rule: dict[str | None, list[_Tags]] = {}
    for key in parts:
        of_rule.setdefault(key[0], []).append(tags[key])
    made: list[Group] = []
    for key, members in parts.items():
        name = _group_name(key[0], tags[key], of_rule[key[0]])
        tensors = [one.parameter.tensor for one in members]
        names = [one.parameter.name for one in members]
        options = {"name": name, **members[0].settings.options}
        made.append(Group(f"parameter group {name!r}", tensors, names, named, options))
    return made


def _group_name(rule: str | None, tags: _Tags, of_rule: Sequence[_Tags]) -> str:
    """Return the name of the rule, with the tags that distinguish the group: `head/no_decay`."""
    words = [] if rule is None else [rule]
    for column, mine in enumerate(tags):
        # A tag that all groups of the rule share would only make the name longer.
        is_alike = all(part[column].keys() == mine.keys() for part in of_rule)
        if "" not in mine and not (rule and is_alike):
            words.append("+".join(mine))
    return "/".join(words) or "default"
