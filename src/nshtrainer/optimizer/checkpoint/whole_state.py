"""The state of an optimizer that keeps one for all parameters, as L-BFGS does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.match import STATE_KEYS, StateMatch
from nshtrainer.optimizer.checkpoint.state_check import check_row_state

if TYPE_CHECKING:
    from nshtrainer.optimizer.checkpoint.match import CurrentGroup, SavedParam

__all__ = ["joint_match"]


def joint_match(
    match: StateMatch, groups: Sequence[CurrentGroup], *, may_be_lost: bool
) -> StateMatch:
    """What was saved of an optimizer that keeps one state for all parameters, as L-BFGS does.

    torch keeps it under the first of them, and what it has of each lies in one row, in their order.

    Args:
        match: What was found of each parameter.
        groups: The groups of the optimizer.
        may_be_lost: Whether it may begin anew where the parameters are not the same.

    Raises:
        OptimizerError: They are not the same, or their sizes are not.
    """
    found = [(own, was) for own, was in match.pairs(groups) if was is not None]
    pairs = sorted(found, key=lambda pair: pair[1].place)
    saved = [*(was for _, was in pairs), *match.left]
    state = next((each.state for each in saved if each.state), None)
    alone = StateMatch(match.groups, [[None for _ in group.params] for group in groups], [], [])
    if state is None:
        return alone
    if match.left or len(pairs) < sum(len(group.params) for group in groups):
        if may_be_lost:
            return alone
        raise OptimizerError(
            "the saved state is one state for all parameters together, and they are not the same "
            "any more; go on with those that it had, or without it: resume: {allow_missing: true}"
        )
    place = {id(was): place for place, (_, was) in enumerate(pairs)}
    order = [place[id(was)] for _, was in found]
    sizes = [own.tensor.numel() for own, _ in pairs]
    row = {key: value for key, value in state.items() if key not in STATE_KEYS}
    checked = check_row_state(row, sum(sizes))
    whole = {key: _reordered(value, sizes, order) for key, value in checked.items()}
    own: list[SavedParam | None] = []
    for index, (_, was) in enumerate(found):
        kept = {key: was.state[key] for key in STATE_KEYS if key in (was.state or {})}
        own.append(was._replace(state=(kept or None) if index else whole | kept))
    return alone._replace(params=[own])


def _reordered(value: Any, sizes: Sequence[int], order: Sequence[int]) -> Any:
    """A row whose parts are put into another order, or a list of such rows."""
    import torch

    if isinstance(value, list):
        return [_reordered(each, sizes, order) for each in cast("list[Any]", value)]
    if not isinstance(value, torch.Tensor) or value.ndim != 1:
        return value
    parts = torch.split(value, list(sizes))
    return torch.cat([parts[place] for place in order])
