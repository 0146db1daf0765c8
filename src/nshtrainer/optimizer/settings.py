"""What holds for each parameter: what its rule says, and what the presets say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from nshtrainer.optimizer.inventory import modules_by_path
from nshtrainer.optimizer.layers import layer_numbers

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.optimizer.grouping import GroupingConfigBase, ParameterGroupConfig
    from nshtrainer.optimizer.inventory import Parameter

    Factors: TypeAlias = list[tuple[str, float]]

__all__ = ["Settings", "settings_of"]


class Settings(NamedTuple):
    """What holds for one parameter.

    Args:
        tags: What each preset calls it, for the name of its group: its layer, its part in a width
            transfer, whether it decays. It is empty where the preset makes no difference.
        options: Options that differ from those of the config.
    """

    tags: tuple[str, ...]
    options: dict[str, Any]


def settings_of(
    config: GroupingConfigBase,
    parameters: Sequence[Parameter],
    taken: Sequence[ParameterGroupConfig | None],
    root: Module | None,
) -> Iterator[Settings]:
    """The settings of each parameter.

    Args:
        config: The config of an optimizer.
        parameters: All parameters of the model, in its order.
        taken: The rule that took each.
        root: The model, where it is known.
    """
    spared = _spared(config, parameters, root)
    presets = (_layer_factors(config, parameters, root), _width_factors(config, parameters))
    for place, rule in enumerate(taken):
        factors = [preset[place] for preset in presets]
        is_spared = place in spared
        tags = (*(tag for tag, _ in factors), "no_decay" if is_spared else "")
        rate_factor = prod(factor for _, factor in factors)
        yield Settings(tags, _options(config, rule, rate_factor, is_spared))


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
) -> Factors:
    decay = config.layer_decay
    if decay is None or decay.rate == 1:
        return [("", 1.0)] * len(parameters)
    numbers = layer_numbers(parameters, decay.layers, root)
    last = max(numbers)
    return [(f"layer_{number}", decay.rate ** (last - number)) for number in numbers]


def _width_factors(config: GroupingConfigBase, parameters: Sequence[Parameter]) -> Factors:
    transfer = config.width_transfer
    if transfer is None:
        return [("", 1.0)] * len(parameters)
    parts = [transfer.part_of(parameter) for parameter in parameters]
    factors = transfer.factors(config.width_rule)
    return [(part if factors[part] != 1 else "", factors[part]) for part in parts]
