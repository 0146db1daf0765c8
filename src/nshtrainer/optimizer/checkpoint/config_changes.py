"""Compare the optimizer config with the one in a checkpoint, and decide on each change.

The options of an optimizer are in its groups, which are saved with its state: for these the
checkpoint wins. Wrappers and the assignment of parameters to groups are not in a saved state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.config import GroupingConfigBase
from nshtrainer.resume import Change, as_data, check_field, differing

if TYPE_CHECKING:
    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.optimizer.checkpoint.match import CurrentGroup
    from nshtrainer.resume import ResumeConfig

__all__ = ["CONFIG", "changes_of", "check_fields", "decide", "overridden"]

Group: TypeAlias = dict[str, Any]

CONFIG = "config"
"""Key of a state dict for the config of the optimizer."""

_OPTIMIZER = "optimizer"
"""Name of the optimizer in messages, for any field that holds its config."""

_CHOSEN_ANEW = frozenset({"capturable", "foreach", "fused", "include_frozen", "tensor_lr"})
"""Fields that a loaded state does not overrule, and that do not change any update."""


def changes_of(state: Mapping[str, Any], config: OptimizerConfigBase | None) -> list[Change]:
    """Return the changes since a state was saved; none if a config is unknown.

    Args:
        state: The state of an optimizer.
        config: The config that the optimizer was built from.
    """
    saved, own = state.get(CONFIG), as_data(config)
    if saved is None or own is None:
        return []
    found = differing(saved, own, (_OPTIMIZER,))
    return [change for change in found if not _CHOSEN_ANEW.intersection(change.path[-1:])]


def decide(change: Change, config: Any, policy: ResumeConfig, state: Mapping[str, Any]) -> Change:
    """Decide if a change of the optimizer config is followed, or the saved value is kept.

    Args:
        change: The change.
        config: The config that the optimizer was built from.
        policy: The resume policy.
        state: The state that is loaded.
    """
    path = change.path[1:]
    # The path leads through the wrappers to the config that has the changed field.
    while getattr(config, "wrapped_config", None) is not None and path[:1] == (_OPTIMIZER,):
        path, config = path[1:], config.wrapped_config
    # The whole config was replaced; the checks of the state decide if it can be loaded.
    if not path:
        return change.keep(
            "its state and its options are taken from the checkpoint, where they fit"
        )
    if path[-1] in policy.fields:
        return change.follow()
    if path[0] in GroupingConfigBase.model_fields and "options" not in path:
        return change.keep("parameter groups that the checkpoint knows keep their options")
    options = {key for group in state["param_groups"] for key in group}
    # An option is kept because torch loads it with the group. SAM keeps its own under a prefix.
    if options.intersection(map(str, path)) or f"sam_{path[-1]}" in options:
        return change.keep(field=str(path[-1]))
    return change.follow("taken from the config, as it is in no state")


def overridden(group: Group, own: Group, fields: Sequence[str]) -> Group:
    """Return the group with these options as the config sets them, and their base values too."""
    # Groups have the fields of `sam` under prefixed keys.
    for name in [key for field in fields for key in (field, f"sam_{field}") if key in own]:
        group[name] = own.get(f"initial_{name}", own[name])
        for key in [key for key in group if key.startswith("initial_")]:
            # `initial_betas.0` is the base value of the first item of `betas`.
            option, _, item = key.removeprefix("initial_").partition(".")
            if option == name:
                group[key] = float(group[name][int(item)] if item else group[name])
    return group


def check_fields(policy: ResumeConfig, groups: Sequence[CurrentGroup]) -> None:
    """Refuse a policy that names an option which no group has."""
    keys = (key for group in groups for key in group.options if key != "name")
    known = dict.fromkeys(key.removeprefix("sam_") for key in keys)
    for name in policy.option_fields():
        check_field([name], known, "option of the optimizer", OptimizerError)
