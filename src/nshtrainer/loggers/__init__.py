"""Loggers as configs: `WandbLoggerConfig(project="digits")`. Imports no torch.

>>> from nshtrainer.loggers import CSVLoggerConfig
>>> CSVLoggerConfig(prefix="train").prefix
'train'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshtrainer.lazy_names import lazy_names
from nshtrainer.loggers.base import *

# ruff: noqa: F403, F405 - a star for each module is the whole list that a type checker sees

_MODULES = ("nshtrainer.loggers.base", *logger_registry.modules)
"""Modules whose public names this package exports."""

if TYPE_CHECKING:
    from nshtrainer.loggers.lightning_loggers import *
else:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
