"""Report missing and unexpected parameters when loading optimizer state."""

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
"""Largest number of names in a message."""


def check_names(
    match: StateMatch, groups: Sequence[CurrentGroup], names: Collection[str], policy: ResumeConfig
) -> None:
    """Check that a saved state has the parameters of the model, except where the policy allows it.

    A frozen parameter need not have a state, and one that is in the model but not in the optimizer
    is not unexpected.

    Args:
        match: The match of the state with the optimizer.
        groups: The groups of the optimizer.
        names: All names in the model.
        policy: The resume policy.

    Raises:
        OptimizerError: A parameter is missing or unexpected; the message lists the names.
    """
    # A frozen parameter has no state in a run that never trained it.
    new = [own for own, was in match.pairs(groups) if was is None and own.tensor.requires_grad]
    missing = [] if policy.allow_missing else new
    # A state whose parameter is frozen now is kept (`parked`), so it is not unexpected.
    extra = [each.name or "one without a name" for each in match.left if each.name not in names]
    unexpected = [] if policy.allow_unexpected else extra
    allow = {"allow_missing": missing, "allow_unexpected": unexpected}
    if missing or unexpected:
        fields = ", ".join(f"{field}: true" for field, given in allow.items() if given)
        raise OptimizerError(
            f"optimizer state does not match the model: "
            f"{'; '.join(_said(missing, match.foreign, extra))}; give them the names that "
            f"they had, or load it anyway with resume: {{{fields}}}"
        )


def _said(
    missing: Sequence[CurrentParam], foreign: Sequence[CurrentParam], extra: Sequence[str]
) -> Iterator[str]:
    """Yield the missing, the moved and the unexpected parameters, in words."""
    others = {id(own.tensor) for own in foreign}
    unknown = [own.name for own in missing if id(own.tensor) not in others]
    moved = [own.name for own in missing if id(own.tensor) in others]
    if unknown:
        near = find_similar(unknown[0], extra)
        was = f" (was the first {near[0]!r}?)" if near else ""
        yield f"missing (here, and not in the state) {join_quoted(unknown, _MOST)}{was}"
    if moved:
        yield f"another optimizer had {join_quoted(moved, _MOST)}"
    if extra:
        yield f"unexpected (in the state, and not in the model) {join_quoted(extra, _MOST)}"
