"""Config of a callback that freezes parameters until a moment of the run."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator
from typing_extensions import Self

from nshtrainer.callbacks.base import callback_registry
from nshtrainer.callbacks.lightning_callbacks import LightningCallbackConfigBase
from nshtrainer.duration import DurationField
from nshtrainer.optimizer.groups.selectors import Selection
from nshtrainer.types import Label

__all__ = ["UnfreezeCallbackConfig"]


@callback_registry.register
class UnfreezeCallbackConfig(LightningCallbackConfigBase):
    """Freeze parameters at the start of a run, and train them from a moment on.

    The parameters are in the optimizer from the start, with the options of their group and without
    state, so that a schedule covers them and a resumed run continues exactly.

    >>> UnfreezeCallbackConfig(groups=("encoder",), after="3 epochs").groups
    ('encoder',)
    """

    target = "nshtrainer.integrations.lightning.callbacks.unfreezing:Unfreezing"

    name: Literal["unfreeze"] = "unfreeze"

    after: DurationField
    """Time from the start of the run for which the parameters are frozen, such as `3 epochs`."""

    groups: tuple[Label, ...] = ()
    """Parameter groups, by name. Groups that a preset splits, such as `body/no_decay`, are meant
    too."""

    select: Selection | None = None
    """Parameters, by a selection as in the rules of an optimizer, instead of `groups`. Parameters
    that are in no optimizer stay as they are."""

    @model_validator(mode="after")
    def _selects_one_way(self) -> Self:
        if bool(self.groups) == (self.select is not None):
            raise ValueError("give the parameters by groups or by select, one of them")
        return self
