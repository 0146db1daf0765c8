from __future__ import annotations

from tests.cli.support import home

__all__ = ["home"]
