"""Resume policy: what a run that goes on takes from its checkpoint, and what from its config."""

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
    "is_unheard",
    "resolve",
    "tell_of",
    "with_values",
]

SCHEDULE = "lr_scheduler"
"""What `fields` and messages call the schedule, whatever the field of a config that holds it."""

FieldName = Annotated[str, StringConstraints(min_length=1)]

Path: TypeAlias = tuple[Any, ...]

_INSIDE = frozenset(
    {"accelerate", "lightning", "nshtrainer", "pytorch_lightning", "torch", "transformers"}
)
"""Packages whose calls lead to a state being loaded; a warning names the line before them."""

_LENGTHS = frozenset({"run", "samples_per_step", "steps_per_epoch", "tokens_per_step"})
"""Where changes of the length of a run are."""


class ResumeConfig(Config):
    """How a run goes on from a checkpoint that another config may have written.

    A checkpoint has the options and the schedule that it was written under, and the length of the
    run. Where the config says otherwise, each difference is named, and the policy decides:

    - `keep`: the checkpoint wins. Rates, decay and the curve of the schedule go on as they were,
      for the run that they were meant for.
    - `extend`: for a longer run. The schedule is that of the config, resolved for the new length,
      from the same position on; the options of the optimizer stay as they were.
    - `override`: as `keep`, but the `fields` that are listed come from the config.
    - `error`: a difference is an error, before anything is loaded.

    The state of an optimizer belongs to parameters by their names.

    >>> ResumeConfig(policy="override", fields=["lr", "lr_scheduler.min_factor"]).fields
    ('lr', 'lr_scheduler.min_factor')
    """

    policy: Literal["keep", "extend", "override", "error"] = "keep"
    """What happens where the config has changed: the checkpoint wins; the schedule follows the
    config for a longer run; the config wins in `fields`; or it is an error."""

    fields: tuple[FieldName, ...] = ()
    """What `override` takes from the config: options of the optimizer in every parameter group,
    such as `lr` and `weight_decay`; `lr_scheduler` for the whole schedule and the length of the
    run, or a field of it, such as `lr_scheduler.min_factor`."""

    allow_missing: bool = False
    """Whether parameters that the checkpoint does not know may start without a state."""

    allow_unexpected: bool = False
    """Whether the state of parameters that the model does not have may be left out."""

    @model_validator(mode="after")
    def _fields_are_for_override(self) -> Self:
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
        """The `fields` that are the schedule or fields of it."""
        return tuple(name for name in self.fields if name.partition(".")[0] == SCHEDULE)

    def option_fields(self) -> tuple[str, ...]:
        """The `fields` that are options of the optimizer."""
        return tuple(name for name in self.fields if name.partition(".")[0] != SCHEDULE)


class Change(NamedTuple):
    """A value that is not what it was.

    Args:
        path: Where it is, such as `("optimizer", "lr")`.
        saved: What the checkpoint has.
        own: What the config has.
        outcome: What becomes of it.
        is_followed: Whether the config is followed.
        field: What `fields` lists to follow the config, if there is such a field.
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
        """The change without what becomes of it: `optimizer.lr 0.1 -> 0.2`."""
        return f"{dotted(self.path)} {_shown(self.saved)} -> {_shown(self.own)}"

    def keep(self, outcome: str = "taken from the checkpoint", field: str = "") -> Change:
        """Return the change with the value of the checkpoint; `field` lists how to follow it."""
        return self._replace(outcome=outcome, is_followed=False, field=field)

    def follow(self, outcome: str = "taken from the config") -> Change:
        """Return the change with the value of the config."""
        return self._replace(outcome=outcome, is_followed=True, field="")


# -- comparing -------------------------------------------------------------------------------------


def as_data(config: Config | None) -> dict[str, Any] | None:
    """A config as plain data for a checkpoint; None for none, or where it holds other values."""
    try:
        return None if config is None else config.to_dict()
    except ConfigError:  # the class of a user may hold what has no plain form
        return None


def differing(saved: Any, own: Any, path: Path = ()) -> Iterator[Change]:
    """The values that are not the same in two configs as plain data.

    A duration is one value, and so is a component of another name. A field that only one of two
    components has is passed over: the other was written by another release.

    Args:
        saved: What the checkpoint has.
        own: What the config has.
        path: Where both are.

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
    """What is compared one by one within a value."""
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
    """The data with other values in some places; the whole, where a path is empty.

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
    """What a run goes on with.

    Args:
        config: The config as plain data, with the values of the checkpoint that are kept.
        changes: Each change, with what becomes of it.
        advice: How to follow the config where the checkpoint is followed.
    """

    config: dict[str, Any] | None
    changes: Sequence[Change]
    advice: Sequence[str]

    def tell(self, *more: str) -> None:
        """Warn of the changes, a line for each, and more lines; nothing is said of none."""
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
        decide: Keeps or follows one change, where the policy is not `error`.
        own: The component's config as plain data; a path begins with a word for the component.
        error: What is raised under the policy `error`.

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
    """Refuse changes where the policy is `error`.

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
    """Say how to follow the config."""
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
    """Refuse an entry of `fields` that leads to nothing in a config.

    Args:
        path: The keys of the entry, from the config on.
        data: The config as plain data.
        kind: The noun for what one key is, such as `option of the optimizer`.
        error: What is raised.
        place: The entry in the message, where that is more than one key.

    Raises:
        NshtrainerError: A key is not there; the message suggests another.
    """
    for key in path:
        known = {str(part): value for part, value in parts_of(data)}
        names = [name for name in known if name != "name"]
        if key not in names:
            raise error(f"resume: fields: {place}{describe_unknown(kind, key, names)}")
        data = known[key]


# -- saying ----------------------------------------------------------------------------------------


def tell_of(text: str, category: type[Warning] = ConfigChangedWarning) -> None:
    """Warn, at the line of the user's that led here, in the first of the processes of a run."""
    if _is_first_process():
        warnings.warn(text, category, stacklevel=_level_of_user())


def is_unheard() -> bool:
    """Return True while the Trainer of transformers loads a state, and drops what is warned of."""
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
    """How far up the user's own code is, as `warnings.warn` counts in the function that asks."""
    frame, level = currentframe(), 0
    while frame is not None and _package(frame.f_globals) in _INSIDE:
        frame, level = frame.f_back, level + 1
    return level


def _package(scope: Mapping[str, Any]) -> str:
    return str(scope.get("__name__", "")).partition(".")[0]
