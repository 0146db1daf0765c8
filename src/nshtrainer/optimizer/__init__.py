"""Optimizers as configs: `AdamWConfig(lr=1e-3).create_optimizer(model)`. Imports no torch."""

from __future__ import annotations

from nshtrainer.optimizer.base import (
    OptimizerConfig,
    OptimizerConfigBase,
    Params,
    optimizer_registry,
)

__all__ = ["OptimizerConfig", "OptimizerConfigBase", "Params", "optimizer_registry"]
