"""Optimizers as configs: `AdamWConfig(lr=1e-3).create_optimizer(model)`. Imports no torch.

>>> from nshtrainer.optimizer import AdamWConfig
>>> AdamWConfig(lr=3e-4).lr
0.0003
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshtrainer.lazy import lazy_names
from nshtrainer.optimizer.base import *

# ruff: noqa: F403, F405 - a star for each module is the whole list that a type checker sees

_MODULES = (
    "nshtrainer.optimizer.base",
    "nshtrainer.optimizer.grouping",
    "nshtrainer.optimizer.selection",
    "nshtrainer.optimizer.width",
    *optimizer_registry.modules,
    "nshtrainer.optimizer.packages",
)
"""The modules whose public names are names of this package."""

if TYPE_CHECKING:
    from nshtrainer.optimizer.grouping import *
    from nshtrainer.optimizer.muon_with_adamw import *
    from nshtrainer.optimizer.native.adam import *
    from nshtrainer.optimizer.native.adaptive import *
    from nshtrainer.optimizer.native.curvature import *
    from nshtrainer.optimizer.native.sgd import *
    from nshtrainer.optimizer.packages import *
    from nshtrainer.optimizer.routing import *
    from nshtrainer.optimizer.selection import *
    from nshtrainer.optimizer.sharpness_aware import *
    from nshtrainer.optimizer.width import *
    from nshtrainer.optimizer.wrapping import *
else:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
