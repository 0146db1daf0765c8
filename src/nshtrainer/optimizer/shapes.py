"""Whether saved states have the shapes of their parameters, and states that all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.matching import Match

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.optimizer.matching import Own, OwnGroup, Saved

__all__ = ["check_shapes", "joint_match"]


def check_shapes(match: Match, groups: Sequence[OwnGroup]) -> None:
    """Check that what is saved for each parameter can be its own.

    A state may hold tensors of other shapes too, such as a count of steps. So one of those that are
    no single numbers has to fit, if there are any.

    Raises:
        OptimizerError: None fits; it says of which parameter, and what its shapes are.
    """
    for own, found in _found(match, groups):
        misfit = _misfit(own.tensor, found.state or {})
        if misfit is not None:
            raise OptimizerError(
                f"the saved state does not fit: {own.name} is {tuple(own.tensor.shape)}, and its "
                f"saved {misfit}; {_advice(own, found)}"
            )


def _found(match: Match, groups: Sequence[OwnGroup]) -> Iterator[tuple[Own, Saved]]:
    """The parameters of which something was found, and what it was."""
    for group, theirs in zip(groups, match.params, strict=True):
        for own, found in zip(group.params, theirs, strict=True):
            if found is not None:
                yield own, found


def _misfit(param: Tensor, state: Mapping[str, Any]) -> str | None:
    """The first tensor of a state, if none is as long as the parameter in each dimension, or 1."""
    shapes = {key: tuple(value.shape) for key, value in state.items() if getattr(value, "ndim", 0)}
    for shape in shapes.values():
        sizes = zip(shape, param.shape, strict=False)
        if len(shape) == param.ndim and all(n in (1, size) for n, size in sizes):
            return None
    return next((f"{key} {shape}" for key, shape in shapes.items()), None)


def _advice(own: Own, found: Saved) -> str:
    if found.name is not None and own.names:
        return "give it the size that it had, or start without the state"
    return (
        "without names in the state and in the optimizer a parameter is known by its place, so "
        "give them in the order that they had"
    )


# -- one state for all -----------------------------------------------------------------------------


def joint_match(match: Match, groups: Sequence[OwnGroup], *, may_be_lost: bool) -> Match:
    """What was saved of an optimizer that keeps one state for all parameters, as L-BFGS does.

    torch keeps it under the first of them, and what it has of each lies in one row, in their order.

    Args:
        match: What was found of each parameter.
        groups: The groups of the optimizer.
        may_be_lost: Whether it may begin anew where the parameters are not the same.

    Raises:
        OptimizerError: They are not the same, or their sizes are not.
    """
    pairs = sorted(_found(match, groups), key=lambda pair: pair[1].place)
    saved = [*(found for _, found in pairs), *match.left]
    state = next((each.state for each in saved if each.state), None)
    alone = Match(match.groups, [[None for _ in group.params] for group in groups], [], [])
    if state is None:
        return alone
    if match.left or len(pairs) < sum(len(group.params) for group in groups):
        if may_be_lost:
            return alone
        raise OptimizerError(
            "the saved state is one state for all parameters together, and they are not the same "
            "any more; go on with those that it had, or without it: resume: {allow_missing: true}"
        )
    place = {id(found): place for place, (_, found) in enumerate(pairs)}
    order = [place[id(found)] for _, found in _found(match, groups)]
    sizes = [own.tensor.numel() for own, _ in pairs]
    whole = {key: _reordered(value, sizes, order) for key, value in state.items()}
    return alone._replace(params=[[pairs[0][1]._replace(state=whole), *alone.params[0][1:]]])


def _reordered(value: Any, sizes: Sequence[int], order: Sequence[int]) -> Any:
    """A row whose parts are put into another order, or a list of such rows."""
    import torch

    if isinstance(value, list):
        return [_reordered(each, sizes, order) for each in cast("list[Any]", value)]
    if not isinstance(value, torch.Tensor) or value.ndim != 1:
        return value
    if len(value) != sum(sizes):
        raise OptimizerError(
            f"the saved state does not fit: it has a row of {len(value)} numbers for parameters "
            f"that have {sum(sizes)} together; go on with the model that wrote it, or start "
            "without the state"
        )
    parts = torch.split(value, list(sizes))
    return torch.cat([parts[place] for place in order])
