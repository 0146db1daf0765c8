from __future__ import annotations

from tests.cli.support import home, schemas_once, whole

__all__ = ["home", "schemas_once", "whole"]
