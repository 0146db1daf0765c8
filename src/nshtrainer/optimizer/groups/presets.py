"""Per-parameter options: rules, weight-decay exemptions, layer decay, width transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.heads import method_of
from nshtrainer.optimizer.groups.layer_depth import layer_numbers
from nshtrainer.optimizer.groups.parameters import inventory, modules_by_path

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.optimizer.groups.config import (
        GroupingConfigBase,
        LayerDecayConfig,
        ParameterGroupConfig,
    )
    from nshtrainer.optimizer.groups.parameters import Parameter
    from nshtrainer.optimizer.groups.scaling import WidthTransferConfig

    Factors: TypeAlias = list[tuple[str, float]]

__all__ = ["Settings", "marked_options", "settings_of"]


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
    if config.layer_decay is not None and config.layer_decay.rate != 1:
        presets.append(_layer_factors(config.layer_decay, parameters, root))
    if config.width_transfer is not None:
        presets.append(_width_factors(config.width_transfer, config, parameters))
    marked = marked_options(config, parameters, root)
    for place, (rule, own) in enumerate(zip(taken, marked, strict=True)):
        factors = [preset[place] for preset in presets]
        tags = (*(tag for tag, _ in factors), *_tags(own))
        rate_factor = prod(factor for _, factor in factors)
        base = partial(config.base_value, parameters[place].tensor, rule.options if rule else {})
        yield Settings(tags, _options(base, rule, rate_factor, own))


def _tags(own: dict[str, Any]) -> tuple[str, str]:
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
        factors["lr"] *= _or_one(rule.lr_mult)
        factors["weight_decay"] = _or_one(rule.weight_decay_mult)
    for key, times in factors.items():
        if times != 1:
            options[key] = (options[key] if key in options else base(key)) * times
    options |= rule.options if rule else {}
    return {key: value for key, value in options.items() if value != base(key)}


def _or_one(factor: float | None) -> float:
    return 1.0 if factor is None else factor


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


def _layer_factors(
    decay: LayerDecayConfig, parameters: Sequence[Parameter], root: Module | None
) -> Factors:
    # The last layer has the full rate.
    numbers = layer_numbers(parameters, decay.layers, root)
    last = max(numbers)
    return [(f"layer_{number}", decay.rate ** (last - number)) for number in numbers]


def _width_factors(
    transfer: WidthTransferConfig, config: GroupingConfigBase, parameters: Sequence[Parameter]
) -> Factors:
    parts = [transfer.part_of(parameter) for parameter in parameters]
    factors = transfer.factors(config.width_rule)
    return [(part if factors[part] != 1 else "", factors[part]) for part in parts]
