"""Optimizers as configs: `AdamWConfig(lr=1e-3).create_optimizer(model)`. Imports no torch.

>>> from nshtrainer.optimizer import AdamWConfig
>>> AdamWConfig(lr=3e-4).lr
0.0003
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshtrainer.lazy_names import lazy_names
from nshtrainer.optimizer.base import *

# ruff: noqa: F403, F405 - a star for each module is the whole list that a type checker sees

_MODULES = (
    "nshtrainer.optimizer.base",
    "nshtrainer.optimizer.groups.config",
    "nshtrainer.optimizer.groups.selectors",
    "nshtrainer.optimizer.groups.scaling",
    *optimizer_registry.modules,
    "nshtrainer.optimizer.third_party",
)
"""Modules whose public names this package exports."""

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.config import *
    from nshtrainer.optimizer.groups.scaling import *
    from nshtrainer.optimizer.groups.selectors import *
    from nshtrainer.optimizer.routed_config import *
    from nshtrainer.optimizer.third_party import *
    from nshtrainer.optimizer.torch_optim.adam import *
    from nshtrainer.optimizer.torch_optim.adaptive import *
    from nshtrainer.optimizer.torch_optim.curvature import *
    from nshtrainer.optimizer.torch_optim.sgd import *
    from nshtrainer.optimizer.wrappers.config import *
else:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
