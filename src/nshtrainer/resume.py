"""Resume policy: whether a resumed run takes values from its checkpoint or its config."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from inspect import currentframe
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast

from pydantic import StringConstraints, model_validator
from typing_extensions import Self

from nshtrainer.config import Config
from nshtrainer.config.messages import describe_unknown, dotted
from nshtrainer.config.parts import nested_parts, parts_of
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigChangedWarning, ConfigError, NshtrainerError

__all__ = [
    "SCHEDULE",
    "Change",
    "Resolution",
    "ResumeConfig",
    "as_data",
    "check_changes",
    "check_field",
    "differing",
    "drops_warnings",
    "resolve",
    "tell_of",
    "with_values",
]

SCHEDULE = "lr_scheduler"
"""The name of the schedule in `fields` and messages, whatever its field in a config."""

FieldName = Annotated[str, StringConstraints(min_length=1)]

Path: TypeAlias = tuple[Any, ...]

_INSIDE = frozenset(
    {"accelerate", "lightning", "nshtrainer", "pytorch_lightning", "torch", "transformers"}
)
"""Packages whose calls lead to a state being loaded; a warning names the line before them."""

_LENGTHS = frozenset({"run", "samples_per_step", "steps_per_epoch", "tokens_per_step"})
"""The first keys of changes of the run's length."""


class ResumeConfig(Config):
    """Policy for resuming from a checkpoint that another config may have written.

    A checkpoint contains the options and the schedule of its config, and the length of its run.
    Where the current config differs, each difference is named, and the policy decides:

    - `keep`: the checkpoint wins. Rates, decay and the curve of the schedule continue unchanged,
      for the original length of the run.
    - `extend`: for a longer run. The schedule is the config's, resolved for the new length, from
      the same position on; the options of the optimizer are kept.
    - `override`: like `keep`, but the listed `fields` come from the config.
    - `error`: a difference is an error, before anything is loaded.

    The state of an optimizer is matched to parameters by name.

    >>> ResumeConfig(policy="override", fields=["lr", "lr_scheduler.min_factor"]).fields
    ('lr', 'lr_scheduler.min_factor')
    """

    policy: Literal["keep", "extend", "override", "error"] = "keep"
    """Effect of a changed config: the checkpoint wins; the schedule follows the config for a longer
    run; the config wins in `fields`; or an error."""

    fields: tuple[FieldName, ...] = ()
    """Values that `override` takes from the config: options of the optimizer in all groups,
    such as `lr` and `weight_decay`; `lr_scheduler` for the whole schedule and the length of the
    run, or a field of it, such as `lr_scheduler.min_factor`."""

    allow_missing: bool = False
    """Let parameters that the checkpoint does not have start without a state."""

    allow_unexpected: bool = False
    """Drop the state of parameters that the model does not have."""

    @model_validator(mode="after")
    def _check_policy(self) -> Self:
        if self.policy == "override" and not self.fields:
            raise ValueError("override takes nothing; list what it takes, such as fields: [lr]")
        if self.fields and self.policy != "override":
            raise ValueError(f"{self.policy} takes no fields; write policy: override as well")
        return self

    @property
    def takes_schedule(self) -> bool:
        """True if the whole schedule is taken from the config."""
        return self.policy == "extend" or SCHEDULE in self.fields

    def schedule_fields(self) -> tuple[str, ...]:
        """Return the `fields` that are the schedule or fields of it."""
        return tuple(name for name in self.fields if name.partition(".")[0] == SCHEDULE)

    def option_fields(self) -> tuple[str, ...]:
        """Return the `fields` that are options of the optimizer."""
        return tuple(name for name in self.fields if name.partition(".")[0] != SCHEDULE)


class Change(NamedTuple):
    """A value that differs between checkpoint and config.

    Args:
        path: The path of the value, such as `("optimizer", "lr")`.
        saved: The value in the checkpoint.
        own: The value in the config.
        outcome: The decision, for the message.
        is_followed: The config is followed.
        field: The entry of `fields` that follows the config, if there is one.
    """

    path: Path
    saved: Any
    own: Any
    outcome: str = "taken from the checkpoint"
    is_followed: bool = False
    field: str = ""

    def __str__(self) -> str:
        return f"{self.difference}: {self.outcome}"

    @property
    def is_of_run(self) -> bool:
        """True for a length of the run, which is in no config."""
        return self.path[0] in _LENGTHS

    @property
    def difference(self) -> str:
        """The change without its outcome: `optimizer.lr 0.1 -> 0.2`."""
        return f"{dotted(self.path)} {_shown(self.saved)} -> {_shown(self.own)}"

    def keep(self, outcome: str = "taken from the checkpoint", field: str = "") -> Change:
        """Return the change with the checkpoint's value; `field` would follow the config."""
        return self._replace(outcome=outcome, is_followed=False, field=field)

    def follow(self, outcome: str = "taken from the config") -> Change:
        """Return the change with the config's value."""
        return self._replace(outcome=outcome, is_followed=True, field="")


# -- comparing -------------------------------------------------------------------------------------


def as_data(config: Config | None) -> dict[str, Any] | None:
    """Return a config as plain data for a checkpoint; None for no config, or for other values."""
    try:
        return None if config is None else config.to_dict()
    except ConfigError:  # a user's class may have values without a plain form
        return None


def differing(saved: Any, own: Any, path: Path = ()) -> Iterator[Change]:
    """Yield the values that differ between two configs as plain data.

    A duration is one value, and so is a component with another name. A field that only one of two
    components has is ignored: another release wrote the other one.

    Args:
        saved: The data of the checkpoint.
        own: The data of the config.
        path: The path of both.

    >>> saved, own = {"lr": 0.1, "betas": [0.9, 0.99]}, {"lr": 0.2, "betas": [0.9, 0.99]}
    >>> [change.difference for change in differing(saved, own, ("optimizer",))]
    ['optimizer.lr 0.1 -> 0.2']
    """
    one, two = _parts(saved), _parts(own)
    if one is None or two is None or one.get("name") != two.get("name"):
        if saved != own:
            yield Change(path, saved, own)
        return
    keys = dict.fromkeys((*one, *two))
    for key in [key for key in keys if "name" not in one or (key in one and key in two)]:
        yield from differing(one.get(key), two.get(key), (*path, key))


def _parts(value: Any) -> dict[Any, Any] | None:
    """Return the parts of a value that are compared one by one."""
    parts = nested_parts(value)
    if parts is None or _is_duration(parts):
        return None
    return {"name": len(parts), **parts} if isinstance(value, list) else parts


def _is_duration(value: Mapping[Any, Any]) -> bool:
    return set(value) == {"name", "value"}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        found = cast("Mapping[str, Any]", value)
        if _is_duration(found):
            return f"{found['value']} {found['name']}"
        return printable(found.get("name", dict(found)))
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, cast('list[Any]', value)))}]"
    return "none" if value is None else printable(value)


def with_values(data: Mapping[str, Any], values: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """Return the data with other values at some paths; an empty path replaces the whole.

    >>> with_values({"lr": 0.1, "groups": [{"lr": 1}]}, [(("groups", 0, "lr"), 2)])
    {'lr': 0.1, 'groups': [{'lr': 2}]}
    """
    changed: Any = dict(data)
    for path, value in values:
        changed = _with_value(changed, path, value)
    return changed


def _with_value(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    changed: Any = copy(data)
    changed[first] = _with_value(changed[first] if rest else None, tuple(rest), value)
    return changed


# -- deciding --------------------------------------------------------------------------------------


class Resolution(NamedTuple):
    """The config of a resumed run, and its changes.

    Args:
        config: The config as plain data, with the kept values of the checkpoint.
        changes: Each change, with its outcome.
        advice: Instructions to follow the config where the checkpoint is followed.
    """

    config: dict[str, Any] | None
    changes: Sequence[Change]
    advice: Sequence[str]

    def tell(self, *more: str) -> None:
        """Warn of the changes and further lines, one each; do nothing without changes."""
        if self.changes:
            lines = [*map(str, self.changes), *more, *self.advice]
            tell_of("\n  ".join(["the config has changed since the checkpoint:", *lines]))


def resolve(
    changes: Sequence[Change],
    policy: ResumeConfig,
    decide: Callable[[Change], Change],
    *,
    own: Mapping[str, Any] | None = None,
    error: type[NshtrainerError],
) -> Resolution:
    """Apply a resume policy to the changes of one component.

    Args:
        changes: What has changed since the checkpoint.
        policy: The policy of the run.
        decide: Keeps or follows one change, if the policy is not `error`.
        own: The component's config as plain data; a path begins with a word for the component.
        error: The exception to raise under the policy `error`.

    Raises:
        NshtrainerError: There are changes, and the policy forbids them.
    """
    check_changes(changes, policy, error)
    decided = [decide(change) for change in changes]
    kept = [each for each in decided if not each.is_followed]
    values = [(each.path[1:], each.saved) for each in kept if not each.is_of_run]
    config = None if own is None else with_values(own, values)
    return Resolution(config, decided, list(_advice(kept, policy)))


def check_changes(
    changes: Iterable[Change], policy: ResumeConfig, error: type[NshtrainerError]
) -> None:
    """Refuse changes if the policy is `error`.

    Raises:
        NshtrainerError: There are changes, and the policy forbids them.
    """
    named = "; ".join(change.difference for change in changes)
    if named and policy.policy == "error":
        raise error(
            f"the config has changed since the checkpoint: {named}; resume with the config that "
            "wrote it, or choose another policy than `error` for resume: keep, extend or override"
        )


def _advice(kept: Iterable[Change], policy: ResumeConfig) -> Iterator[str]:
    """Yield how to follow the config."""
    fields = [change.field for change in kept if change.field]
    if not fields:
        return
    whole = SCHEDULE in fields
    listed = [*(policy.option_fields() if whole else policy.fields), *fields]
    override = f"resume: {{policy: override, fields: [{', '.join(dict.fromkeys(listed))}]}}"
    if whole:
        yield f"to follow the config: resume: {{policy: extend}} for a longer run, else {override}"
    else:
        yield f"to take it from the config: {override}"


def check_field(
    path: Iterable[str], data: Any, kind: str, error: type[NshtrainerError], place: str = ""
) -> None:
    """Refuse an entry of `fields` that does not exist in a config.

    Args:
        path: The keys of the entry, relative to the config.
        data: The config as plain data.
        kind: The noun for one key, such as `option of the optimizer`.
        error: The exception to raise.
        place: The entry in the message, if it has more than one key.

    Raises:
        NshtrainerError: A key does not exist; the message suggests another.
    """
    for key in path:
        known = {str(part): value for part, value in parts_of(data)}
        names = [name for name in known if name != "name"]
        if key not in names:
            raise error(f"resume: fields: {place}{describe_unknown(kind, key, names)}")
        data = known[key]


# -- warnings --------------------------------------------------------------------------------------


def tell_of(text: str, category: type[Warning] = ConfigChangedWarning) -> None:
    """Warn, at the user's line that led here, in the first process of a run."""
    if _is_first_process():
        warnings.warn(text, category, stacklevel=_level_of_user())


def drops_warnings() -> bool:
    """Return True while the Trainer of transformers loads a state, and drops warnings."""
    frame = currentframe()
    while frame is not None and _package(frame.f_globals) in _INSIDE:
        if _package(frame.f_globals) == "transformers":
            return True
        frame = frame.f_back
    return False


def _is_first_process() -> bool:
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available():
        return True
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _level_of_user() -> int:
    """Return the stack level of the user's code, as `warnings.warn` counts it in the caller."""
    frame, level = currentframe(), 0
    while frame is not None and _package(frame.f_globals) in _INSIDE:
        frame, level = frame.f_back, level + 1
    return level


def _package(scope: Mapping[str, Any]) -> str:
    return str(scope.get("__name__", "")).partition(".")[0]
