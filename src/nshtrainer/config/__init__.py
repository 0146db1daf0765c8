"""Typed configs: values, the text that they come from, and the errors in it."""

from __future__ import annotations

from nshtrainer.config.base import Config

__all__ = ["Config"]
