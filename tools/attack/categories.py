"""The categories, by the names of their modules."""

from __future__ import annotations

__all__ = ["MODULES"]

NAMES = ("damaged", "edited", "output", "signals", "states", "writers")
MODULES = {name: f"tools.attack.{name}" for name in NAMES}
