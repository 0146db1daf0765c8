"""Every config class and every field type, in one flat namespace.

A name is found by importing the modules below, in this order, until one has it; nothing is
imported before a name is asked for, and neither torch nor Lightning ever is.

>>> from nshtrainer.configs import AdamWConfig, StepsConfig
>>> AdamWConfig(lr=3e-4).lr
0.0003
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# ruff: noqa: F403 - a star for each module is the whole list that a type checker sees

if TYPE_CHECKING:
    from nshtrainer.config import *
    from nshtrainer.duration import *
    from nshtrainer.lr_scheduler.base import *
    from nshtrainer.lr_scheduler.compose import *
    from nshtrainer.lr_scheduler.noise import *
    from nshtrainer.lr_scheduler.plateau import *
    from nshtrainer.lr_scheduler.schedules.base import *
    from nshtrainer.lr_scheduler.schedules.cycles import *
    from nshtrainer.lr_scheduler.schedules.decays import *
    from nshtrainer.lr_scheduler.schedules.drawn import *
    from nshtrainer.lr_scheduler.schedules.horizonless import *
    from nshtrainer.lr_scheduler.schedules.stages import *
    from nshtrainer.lr_scheduler.schedules.stepped import *
    from nshtrainer.lr_scheduler.schedules.torch_base import *
    from nshtrainer.lr_scheduler.schedules.torch_cycles import *
    from nshtrainer.lr_scheduler.schedules.torch_nested import *
    from nshtrainer.lr_scheduler.schedules.torchs import *
    from nshtrainer.lr_scheduler.schedules.warmup_cosine import *
    from nshtrainer.lr_scheduler.several import *
    from nshtrainer.metric import *
    from nshtrainer.optimizer.base import *
    from nshtrainer.optimizer.grouping import *
    from nshtrainer.optimizer.muon_with_adamw import *
    from nshtrainer.optimizer.native.adam import *
    from nshtrainer.optimizer.native.adaptive import *
    from nshtrainer.optimizer.native.curvature import *
    from nshtrainer.optimizer.native.sgd import *
    from nshtrainer.optimizer.packages.pytorch_optimizer import *
    from nshtrainer.optimizer.packages.schedulefree import *
    from nshtrainer.optimizer.routing import *
    from nshtrainer.optimizer.selection import *
    from nshtrainer.optimizer.sharpness_aware import *
    from nshtrainer.optimizer.width import *
    from nshtrainer.optimizer.wrapping import *
    from nshtrainer.resume import *
    from nshtrainer.trainer_config import *
    from nshtrainer.weight_averaging import *

_MODULES = (
    "nshtrainer.config",
    "nshtrainer.metric",
    "nshtrainer.resume",
    "nshtrainer.duration",
    "nshtrainer.optimizer.base",
    "nshtrainer.optimizer.native.adam",
    "nshtrainer.optimizer.native.sgd",
    "nshtrainer.optimizer.native.adaptive",
    "nshtrainer.optimizer.native.curvature",
    "nshtrainer.optimizer.packages",
    "nshtrainer.optimizer.grouping",
    "nshtrainer.optimizer.selection",
    "nshtrainer.optimizer.width",
    "nshtrainer.optimizer.routing",
    "nshtrainer.optimizer.muon_with_adamw",
    "nshtrainer.optimizer.wrapping",
    "nshtrainer.optimizer.sharpness_aware",
    "nshtrainer.lr_scheduler.base",
    "nshtrainer.lr_scheduler.schedules.base",
    "nshtrainer.lr_scheduler.schedules.warmup_cosine",
    "nshtrainer.lr_scheduler.schedules.decays",
    "nshtrainer.lr_scheduler.schedules.stages",
    "nshtrainer.lr_scheduler.schedules.horizonless",
    "nshtrainer.lr_scheduler.schedules.stepped",
    "nshtrainer.lr_scheduler.schedules.cycles",
    "nshtrainer.lr_scheduler.schedules.drawn",
    "nshtrainer.lr_scheduler.schedules.torch_base",
    "nshtrainer.lr_scheduler.schedules.torchs",
    "nshtrainer.lr_scheduler.schedules.torch_cycles",
    "nshtrainer.lr_scheduler.schedules.torch_nested",
    "nshtrainer.lr_scheduler.compose",
    "nshtrainer.lr_scheduler.noise",
    "nshtrainer.lr_scheduler.several",
    "nshtrainer.lr_scheduler.plateau",
    "nshtrainer.trainer_config",
    "nshtrainer.weight_averaging",
)


def __getattr__(name: str) -> Any:
    """Find a public name of the modules above (PEP 562)."""
    if name == "__all__":  # for `from nshtrainer.configs import *`
        return __dir__()
    if not name.startswith("_"):
        # Schedules are looked for among schedules first, everything else elsewhere first.
        schedule = "LR" in name or "Schedule" in name
        modules = sorted(_MODULES, key=lambda module: ("lr_scheduler" in module) is not schedule)
        for module in map(import_module, modules):
            if name in module.__all__:
                value = globals()[name] = getattr(module, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({name for module in map(import_module, _MODULES) for name in module.__all__})
