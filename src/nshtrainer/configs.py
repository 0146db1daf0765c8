"""Every config class and every field type, in one flat namespace.

The optimizers are also in `nshtrainer.optimizer`, the schedules in `nshtrainer.lr_scheduler`. A
name is imported on first use, without torch or Lightning.

>>> from nshtrainer.configs import AdamWConfig, StepsConfig
>>> AdamWConfig(lr=3e-4).lr
0.0003
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshtrainer.lazy_names import lazy_names

# ruff: noqa: F403 - a star for each module is the whole list that a type checker sees

_MODULES = [
    "nshtrainer.config",
    "nshtrainer.metric",
    "nshtrainer.resume",
    "nshtrainer.duration",
    "nshtrainer.optimizer",
    "nshtrainer.lr_scheduler",
    "nshtrainer.loggers",
    "nshtrainer.callbacks",
    "nshtrainer.trainer_config",
    "nshtrainer.weight_averaging",
]
"""The modules whose public names are names of this module."""

if TYPE_CHECKING:
    from nshtrainer.callbacks import *
    from nshtrainer.config import *
    from nshtrainer.duration import *
    from nshtrainer.loggers import *
    from nshtrainer.lr_scheduler import *
    from nshtrainer.metric import *
    from nshtrainer.optimizer import *
    from nshtrainer.resume import *
    from nshtrainer.trainer_config import *
    from nshtrainer.weight_averaging import *
else:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
