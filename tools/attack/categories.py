"""The categories, by the names of their modules."""

from __future__ import annotations

__all__ = ["MODULES"]

MODULES = {name: f"tools.attack.{name}" for name in ("damaged", "edited", "states", "writers")}
