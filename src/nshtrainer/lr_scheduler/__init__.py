"""Learning-rate schedules: configs that resolve to curves, and the scheduler that drives them.

>>> from nshtrainer.lr_scheduler import CosineScheduleConfig
>>> CosineScheduleConfig().name
'cosine'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshtrainer.lazy_names import lazy_names
from nshtrainer.lr_scheduler.base import *
from nshtrainer.run_length import RunLength as RunLength
from nshtrainer.run_length import run_length_of as run_length_of

# ruff: noqa: F403, F405 - a star for each module is the whole list that a type checker sees

_MODULES = (
    "nshtrainer.lr_scheduler.base",
    "nshtrainer.lr_scheduler.curve_schedule",
    "nshtrainer.lr_scheduler.track",
    *lr_scheduler_registry.modules,
    "nshtrainer.lr_scheduler.schedules.base",
    "nshtrainer.lr_scheduler.torch_schedules.base",
)
"""The modules whose public names are names of this package."""

if TYPE_CHECKING:
    from nshtrainer.lr_scheduler.compose import *
    from nshtrainer.lr_scheduler.curve_schedule import *
    from nshtrainer.lr_scheduler.per_group import *
    from nshtrainer.lr_scheduler.plateau import *
    from nshtrainer.lr_scheduler.schedules.base import *
    from nshtrainer.lr_scheduler.schedules.cycles import *
    from nshtrainer.lr_scheduler.schedules.decays import *
    from nshtrainer.lr_scheduler.schedules.power_law import *
    from nshtrainer.lr_scheduler.schedules.stages import *
    from nshtrainer.lr_scheduler.schedules.steps import *
    from nshtrainer.lr_scheduler.torch_schedules.base import *
    from nshtrainer.lr_scheduler.torch_schedules.cyclic import *
    from nshtrainer.lr_scheduler.torch_schedules.nested import *
    from nshtrainer.lr_scheduler.torch_schedules.simple import *
    from nshtrainer.lr_scheduler.track import *
else:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES, ("RunLength", "run_length_of"))
