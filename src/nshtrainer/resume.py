"""What a run that goes on takes from its checkpoint, and what from its config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator
from typing_extensions import Self

from nshtrainer.config import Config

__all__ = ["ResumeConfig"]

FieldName = Annotated[str, StringConstraints(min_length=1)]


class ResumeConfig(Config):
    """How a run goes on from a checkpoint that another config may have written.

    The state of an optimizer belongs to parameters by their names, and with it come its options:
    the checkpoint wins. With the policy `override` the fields that are listed come from the config,
    and a schedule multiplies the new rate from then on.

    >>> ResumeConfig(policy="override", fields=["lr", "weight_decay"]).fields
    ('lr', 'weight_decay')
    """

    policy: Literal["keep", "override"] = "keep"
    """What happens where the config has changed: the checkpoint wins, or the config in `fields`."""

    fields: tuple[FieldName, ...] = ()
    """Options of the optimizer, such as `lr` and `weight_decay`, that `override` takes from the
    config, in every parameter group."""

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
