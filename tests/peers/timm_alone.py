"""timm without torchvision, whose wheels do not go with torch's builds for the CPU.

timm needs it for pictures and for what takes models apart. A mock stands for it while timm is
imported, and is gone afterwards: to everybody else torchvision is not installed.
"""

from __future__ import annotations

import sys
from unittest.mock import MagicMock

__all__ = ["timm"]

IMPORTED = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models.feature_extraction",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)

sys.modules.update(dict.fromkeys(IMPORTED, MagicMock()))
try:
    import timm
    import timm.optim
    import timm.scheduler
finally:
    for name in IMPORTED:
        del sys.modules[name]
