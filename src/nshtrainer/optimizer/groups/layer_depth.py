"""Layer numbers of parameters, from the input to the output, for layer-wise decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import modules_by_path
from nshtrainer.optimizer.groups.patterns import numberer
from nshtrainer.optimizer.groups.selectors import described, selects

if TYPE_CHECKING:
    from torch.nn import Module

    from nshtrainer.optimizer.groups.parameters import Parameter
    from nshtrainer.optimizer.groups.selectors import Selection

    Numbering: TypeAlias = Callable[[Parameter], int | None]

__all__ = ["layer_numbers"]


def layer_numbers(
    parameters: Sequence[Parameter], layers: Selection | None, root: Module | None
) -> list[int]:
    """Return the layer number of each parameter; 0 is before the first layer.

    Args:
        parameters: All parameters, in the order of the model.
        layers: Selection of the layers; `None`: the only stack of modules of one class.
        root: The model, if it is known; needed to find the stack.

    Raises:
        OptimizerError: There is no such layer, or there is no stack or more than one.
    """
    number_of = _number_of(layers, root)
    found = [number_of(parameter) for parameter in parameters]
    present = sorted({number for number in found if number is not None})
    _check_all_there(present, layers, parameters)
    # Counted without gaps: a pattern may start at any number, or skip layers without parameters.
    numbers = {number: place for place, number in enumerate(present, start=1)}
    first = next(place for place, number in enumerate(found) if number is not None)

    def layer(place: int) -> int:
        number = found[place]
        if number is not None:
            return numbers[number]
        # By the role if it is decisive, else by the position in the model.
        roles = parameters[place].roles
        is_before = "embedding" in roles or (place < first and "head" not in roles)
        return 0 if is_before else len(numbers) + 1

    return [layer(place) for place in range(len(parameters))]


def _check_all_there(
    present: list[int], layers: Selection | None, parameters: Sequence[Parameter]
) -> None:
    # In a list each entry must match; a pattern must match at all.
    listed = layers if isinstance(layers, tuple) else ()
    missing = [described(layer) for place, layer in enumerate(listed) if place not in present]
    if not present:
        missing = [described(layers or "")]
    if missing:
        names = ", ".join(repr(parameter.name) for parameter in parameters[:3])
        raise OptimizerError(
            f"layer_decay: layers {', '.join(missing)} matches no parameter; the first of the "
            f"model are {names}"
        )


def _number_of(layers: Selection | None, root: Module | None) -> Numbering:
    if isinstance(layers, str):
        return _by_pattern(layers)
    if layers is not None:
        each = [*enumerate(layers if isinstance(layers, tuple) else (layers,))]
        return lambda parameter: next((i for i, one in each if selects(one, parameter)), None)
    if root is None:
        raise OptimizerError(
            "layer_decay: to find the layers takes the module; create_optimizer(module), or say "
            "what they are: layer_decay: {rate: ..., layers: encoder.layers.*}"
        )
    return _by_pattern(_find_stack(root))


def _by_pattern(pattern: str) -> Numbering:
    number = numberer(pattern)
    return lambda parameter: number(parameter.name)


def _find_stack(root: Module) -> str:
    """Return the pattern of the only outermost stack of two or more modules of one class.

    A container with a single module of this class counts as a further stack: it is a stage of the
    model with one block.
    """
    stacks: dict[str, tuple[type, int]] = {}
    for path, module in modules_by_path(root).items():
        # Blocks often contain stacks themselves, which are no layers of the model.
        outer = (pattern for pattern, (_, count) in stacks.items() if count > 1)
        is_inside = any(path.startswith(pattern.removesuffix("*")) for pattern in outer)
        found = None if is_inside else _stack_form(module)
        if found is not None:
            stacks[f"{path}.*" if path else "*"] = found
    deep = {kind for kind, count in stacks.values() if count > 1}
    like = [pattern for pattern, (kind, _) in stacks.items() if kind in deep]
    if len(like) == 1:
        return like[0]
    found = f"several stacks of layers ({', '.join(like)})" if like else "no stack of layers"
    raise OptimizerError(
        f"layer_decay: the model has {found}; say what its layers are, in a pattern or in a list: "
        "layer_decay: {rate: ..., layers: encoder.layers.*}"
    )


def _stack_form(module: Module) -> tuple[type, int] | None:
    """Return the only class of modules in a container and their number; None if it is no stack."""
    import torch

    if not isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)):
        return None
    kinds = [type(child) for child in module]
    alike = len(set(kinds)) == 1 and any(True for _ in module.parameters())
    return (kinds[0], len(kinds)) if alike else None
