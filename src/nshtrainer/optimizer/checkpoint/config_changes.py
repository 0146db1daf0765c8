"""Compare the config of an optimizer with the one in its state, and decide on each change.

The options of an optimizer are in its groups, which are saved with its state: there the checkpoint
wins. What is put around an optimizer, and which parameters are in which group, is in no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nshtrainer.optimizer.groups.config import GroupingConfigBase
from nshtrainer.resume import Change, as_data, differing

if TYPE_CHECKING:
    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.resume import ResumeConfig

__all__ = ["CONFIG", "changes_of", "decide"]

CONFIG = "config"
"""The key of a state dict for the config of the optimizer."""

_OPTIMIZER = "optimizer"
"""What messages call the optimizer, whatever the field of a config that holds it."""

_CHOSEN_ANEW = frozenset({"capturable", "foreach", "fused", "include_frozen", "tensor_lr"})
"""What a loaded state does not overrule, and no update depends on."""


def changes_of(state: Mapping[str, Any], config: OptimizerConfigBase | None) -> list[Change]:
    """Return the changes since a state was saved; none where a config is unknown.

    Args:
        state: The state of an optimizer.
        config: What the optimizer was built from.
    """
    saved, own = state.get(CONFIG), as_data(config)
    if saved is None or own is None:
        return []
    found = differing(saved, own, (_OPTIMIZER,))
    return [change for change in found if not _CHOSEN_ANEW.intersection(change.path[-1:])]


def decide(change: Change, config: Any, policy: ResumeConfig, state: Mapping[str, Any]) -> Change:
    """Return what becomes of a change of the config of an optimizer.

    Args:
        change: The change.
        config: What the optimizer was built from.
        policy: What is taken from it.
        state: The state that is loaded.
    """
    path = change.path[1:]
    while getattr(config, "wrapped_config", None) is not None and path[:1] == (_OPTIMIZER,):
        path, config = path[1:], config.wrapped_config
    if not path:
        return change.keep(
            "its state and its options are taken from the checkpoint, where they fit"
        )
    if path[-1] in policy.fields:
        return change.follow()
    if path[0] in GroupingConfigBase.model_fields and "options" not in path:
        return change.keep("parameter groups that the checkpoint knows keep their options")
    options = {key for group in state["param_groups"] for key in group}
    if options.intersection(map(str, path)) or f"sam_{path[-1]}" in options:
        return change.keep(field=str(path[-1]))
    return change.follow("taken from the config, as it is in no state")
