"""State of an optimizer that keeps one state for all parameters, as L-BFGS does."""

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
    """Match the one state that an optimizer such as L-BFGS keeps for all parameters.

    torch keeps this state under the first parameter. Its tensors are rows in which all parameters
    lie one after the other, in their order.

    Args:
        match: The saved parameter for each parameter.
        groups: The groups of the optimizer.
        may_be_lost: Start without the state if the parameters have changed, instead of raising.

    Raises:
        OptimizerError: The parameters, or their sizes, have changed.
    """
    found = [(own, was) for own, was in match.pairs(groups) if was is not None]
    # The saved order is the order of the rows.
    pairs = sorted(found, key=lambda pair: pair[1].place)
    saved = [*(was for _, was in pairs), *match.left]
    state = next((each.state for each in saved if each.state), None)
    alone = StateMatch(match.groups, [[None for _ in group.params] for group in groups], [], [])
    if state is None:
        return alone
    # A row cannot be cut or extended: its products with other rows are part of the state.
    if match.left or len(pairs) < sum(len(group.params) for group in groups):
        if may_be_lost:
            return alone
        raise OptimizerError(
            "the saved state is one state for all parameters together, and they have changed; "
            "resume with the same parameters, or without it: resume: {allow_missing: true}"
        )
    place = {id(was): place for place, (_, was) in enumerate(pairs)}
    order = [place[id(was)] for _, was in found]
    sizes = [own.tensor.numel() for own, _ in pairs]
    row = {key: value for key, value in state.items() if key not in STATE_KEYS}
    checked = check_row_state(row, sum(sizes))
    whole = {key: _reordered(value, sizes, order) for key, value in checked.items()}
    # The whole state lies under the first parameter; hooks keep theirs under each.
    own: list[SavedParam | None] = []
    for index, (_, was) in enumerate(found):
        kept = {key: was.state[key] for key in STATE_KEYS if key in (was.state or {})}
        own.append(was._replace(state=(kept or None) if index else whole | kept))
    return alone._replace(params=[own])


def _reordered(value: Any, sizes: Sequence[int], order: Sequence[int]) -> Any:
    """Return a row with its parts in another order, or a list of such rows."""
    import torch

    if isinstance(value, list):
        return [_reordered(each, sizes, order) for each in cast("list[Any]", value)]
    if not isinstance(value, torch.Tensor) or value.ndim != 1:
        return value
    parts = torch.split(value, list(sizes))
    return torch.cat([parts[place] for place in order])
