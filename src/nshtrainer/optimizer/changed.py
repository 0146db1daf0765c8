"""What has changed in the config of an optimizer since its state was saved, and what of it counts.

The options of an optimizer are in its groups, which are saved with its state: there the checkpoint
wins. What is put around an optimizer, and which parameters are in which group, is in no state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshtrainer.changes import Change, all_of, as_data, differing, with_values
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.grouping import GroupingConfigBase
from nshtrainer.optimizer.wrapping import WrappingConfigBase

if TYPE_CHECKING:
    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.resume import ResumeConfig

__all__ = ["CONFIG", "advice", "changes_of", "check_changes", "in_force"]

CONFIG = "config"
"""The key of a state dict for the config of the optimizer."""

_OPTIMIZER = "optimizer"
_CHOSEN_ANEW = frozenset({"capturable", "foreach", "fused", "include_frozen", "tensor_lr"})
"""What a loaded state does not overrule, and no update depends on."""


def changes_of(
    state: Mapping[str, Any], config: OptimizerConfigBase | None, policy: ResumeConfig
) -> list[Change]:
    """The changes since a state was saved, and what becomes of each; none where nobody knows.

    Args:
        state: The state of an optimizer.
        config: What the optimizer was built from.
        policy: What is taken from it.
    """
    saved, own = state.get(CONFIG), as_data(config)
    if saved is None or own is None:
        return []
    options = {key for group in state["param_groups"] for key in group}
    return [
        _decided(change, config, policy, options)
        for change in differing(saved, own, (_OPTIMIZER,))
        if not _CHOSEN_ANEW.intersection(change.path[-1:])
    ]


def _decided(change: Change, config: Any, policy: ResumeConfig, options: set[str]) -> Change:
    outcome, is_followed = _outcome(change.path[1:], config, policy, options)
    return change._replace(outcome=outcome, is_followed=is_followed)


def _outcome(
    path: tuple[Any, ...], config: Any, policy: ResumeConfig, options: set[str]
) -> tuple[str, bool]:
    """What becomes of a change, and whether the config is followed."""
    while isinstance(config, WrappingConfigBase) and path[:1] == (_OPTIMIZER,):
        path, config = path[1:], config.optimizer
    if not path:
        return "its state and its options are taken from the checkpoint, where they fit", False
    if path[-1] in policy.fields:
        return "taken from the config", True
    if path[0] in GroupingConfigBase.model_fields and "options" not in path:
        return "parameter groups that the checkpoint knows keep their options", False
    if options.intersection(map(str, path)) or f"sam_{path[-1]}" in options:
        return "taken from the checkpoint", False
    return "taken from the config, as it is in no state", True


def check_changes(changes: Sequence[Change], policy: ResumeConfig) -> None:
    """Refuse changes where the policy is `error`.

    Raises:
        OptimizerError: There are changes, and the policy forbids them.
    """
    if changes and policy.policy == "error":
        raise OptimizerError(all_of(changes))


def in_force(
    changes: Sequence[Change], config: OptimizerConfigBase | None
) -> dict[str, Any] | None:
    """What a state is saved with: the config, with the values of the checkpoint that were kept."""
    own = as_data(config)
    kept = [(change.path[1:], change.saved) for change in changes if not change.is_followed]
    return None if own is None else with_values(own, kept)


def advice(changes: Sequence[Change], policy: ResumeConfig) -> Iterator[str]:
    """How to take from the config what was taken from the checkpoint."""
    kept = [each.path[-1] for each in changes if each.outcome == "taken from the checkpoint"]
    if kept:
        fields = ", ".join(dict.fromkeys(map(str, [*policy.fields, *kept])))
        yield f"to take it from the config: resume: {{policy: override, fields: [{fields}]}}"
