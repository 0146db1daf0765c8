"""Parameters that a saved state does not know, and those that the model does not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from nshtrainer.config.messages import find_similar, join_quoted
from nshtrainer.exceptions import OptimizerError

if TYPE_CHECKING:
    from nshtrainer.optimizer.checkpoint.match import CurrentGroup, CurrentParam, StateMatch
    from nshtrainer.resume import ResumeConfig

__all__ = ["check_names"]

_MOST = 10
"""Names in a message."""


def check_names(
    match: StateMatch, groups: Sequence[CurrentGroup], names: Collection[str], policy: ResumeConfig
) -> None:
    """Check that a saved state and the model have the same parameters, as far as they must.

    A frozen parameter need not have a state, and one that the model has and the optimizer has not
    is no stranger.

    Args:
        match: What was found in the state.
        groups: The groups of the optimizer.
        names: All names in the model.
        policy: What may differ.

    Raises:
        OptimizerError: A parameter is missing or unexpected; it says which.
    """
    new = [own for own, was in match.pairs(groups) if was is None and own.tensor.requires_grad]
    missing = [] if policy.allow_missing else new
    strangers = [each.name or "one without a name" for each in match.left if each.name not in names]
    unexpected = [] if policy.allow_unexpected else strangers
    allow = {"allow_missing": missing, "allow_unexpected": unexpected}
    if missing or unexpected:
        fields = ", ".join(f"{field}: true" for field, given in allow.items() if given)
        raise OptimizerError(
            f"the saved state is that of other parameters: "
            f"{'; '.join(_said(missing, match.foreign, strangers))}; give them the names that they "
            f"had, or go on all the same with resume: {{{fields}}}"
        )


def _said(
    missing: Sequence[CurrentParam], foreign: Sequence[CurrentParam], strangers: Sequence[str]
) -> Iterator[str]:
    others = {id(own.tensor) for own in foreign}
    unknown = [own.name for own in missing if id(own.tensor) not in others]
    moved = [own.name for own in missing if id(own.tensor) in others]
    if unknown:
        near = find_similar(unknown[0], strangers)
        was = f" (was the first {near[0]!r}?)" if near else ""
        yield f"missing (here, and not in the state) {join_quoted(unknown, _MOST)}{was}"
    if moved:
        yield f"another optimizer had {join_quoted(moved, _MOST)}"
    if strangers:
        yield f"unexpected (in the state, and not in the model) {join_quoted(strangers, _MOST)}"
