from __future__ import annotations

from tests.cli.support import home, whole

__all__ = ["home", "whole"]
