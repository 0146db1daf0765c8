"""Callbacks of a trainer as configs: `EarlyStoppingCallbackConfig(patience=5)`. Imports no torch.

>>> from nshtrainer.callbacks import EarlyStoppingCallbackConfig
>>> EarlyStoppingCallbackConfig(patience=5).patience
5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshtrainer.callbacks.base import *
from nshtrainer.lazy_names import lazy_names

# ruff: noqa: F403, F405 - a star for each module is the whole list that a type checker sees

_MODULES = ("nshtrainer.callbacks.base", *callback_registry.modules)
"""Modules whose public names this package exports."""

if TYPE_CHECKING:
    from nshtrainer.callbacks.lightning_callbacks import *
    from nshtrainer.callbacks.norm_logging import *
    from nshtrainer.callbacks.unfreeze import *
else:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
