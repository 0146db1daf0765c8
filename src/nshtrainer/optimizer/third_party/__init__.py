"""Configs of optimizers of other packages: a module for each package, imported on use.

>>> from nshtrainer.optimizer.third_party import LionConfig
>>> LionConfig(lr=1e-4).extra
'pytorch-optimizer'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nshtrainer.optimizer.third_party.index import INDEX

# ruff: noqa: F403 - a star for each module is the whole list that a type checker sees

if TYPE_CHECKING:
    from nshtrainer.optimizer.third_party.bitsandbytes import *
    from nshtrainer.optimizer.third_party.pytorch_optimizer import *
    from nshtrainer.optimizer.third_party.schedulefree import *
    from nshtrainer.optimizer.third_party.torchao import *
else:
    _HOMES = {cls: module for module, members in INDEX.items() for cls, _ in members.values()}

    __all__ = list(_HOMES)

    def __getattr__(name):
        """Import a class when it is first asked for (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
