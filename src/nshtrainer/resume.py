"""What a run that goes on takes from its checkpoint, and what from its config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator
from typing_extensions import Self

from nshtrainer.config import Config

__all__ = ["SCHEDULE", "ResumeConfig"]

SCHEDULE = "lr_scheduler"
"""What `fields` and messages call the schedule, whatever the field of a config that holds it."""

FieldName = Annotated[str, StringConstraints(min_length=1)]


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

    def schedule_fields(self) -> tuple[str, ...]:
        """The `fields` that are the schedule or fields of it."""
        return tuple(name for name in self.fields if name.partition(".")[0] == SCHEDULE)

    def option_fields(self) -> tuple[str, ...]:
        """The `fields` that are options of the optimizer."""
        return tuple(name for name in self.fields if name.partition(".")[0] != SCHEDULE)
