"""The older name of Lightning's package: objects of the same attributes."""

from __future__ import annotations

from nshtrainer.integrations.lightning.run_length import run_length_of

__all__ = ["run_length_of"]
