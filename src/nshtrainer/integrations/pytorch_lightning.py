"""The `pytorch_lightning` package, whose objects have the attributes of `lightning.pytorch`."""

from __future__ import annotations

from nshtrainer.integrations.lightning.run_length import run_length_of

__all__ = ["run_length_of"]
