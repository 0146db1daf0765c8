"""The state of an optimizer that keeps one for all parameters, as L-BFGS does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.match import STATE_KEYS, Match
from nshtrainer.optimizer.checkpoint.state_check import check_row_state

if TYPE_CHECKING:
    from nshtrainer.optimizer.checkpoint.match import Own, OwnGroup, Saved

__all__ = ["joint_match"]


def _found(match: Match, groups: Sequence[OwnGroup]) -> Iterator[tuple[Own, Saved]]:
    """The parameters of which something was found, and what it was."""
    for group, theirs in zip(groups, match.params, strict=True):
        for own, found in zip(group.params, theirs, strict=True):
            if found is not None:
                yield own, found


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
    row = {key: value for key, value in state.items() if key not in STATE_KEYS}
    checked = check_row_state(row, sum(sizes))
    whole = {key: _reordered(value, sizes, order) for key, value in checked.items()}
    own = [each._replace(state=_kept(each)) for _, each in _found(match, groups)]
    first = own[0]._replace(state={**whole, **(own[0].state or {})})
    return alone._replace(params=[[first, *own[1:]]])


def _kept(found: Saved) -> dict[str, Any] | None:
    """What hooks keep in the state of one parameter."""
    state: Mapping[str, Any] = found.state or {}
    return {key: value for key, value in state.items() if key in STATE_KEYS} or None


def _reordered(value: Any, sizes: Sequence[int], order: Sequence[int]) -> Any:
    """A row whose parts are put into another order, or a list of such rows."""
    import torch

    if isinstance(value, list):
        return [_reordered(each, sizes, order) for each in cast("list[Any]", value)]
    if not isinstance(value, torch.Tensor) or value.ndim != 1:
        return value
    parts = torch.split(value, list(sizes))
    return torch.cat([parts[place] for place in order])
