"""The optimizers of `torch.optim`, one short class each."""

from __future__ import annotations

from nshtrainer.optimizer.native.adam import (
    AdamaxConfig,
    AdamConfig,
    AdamWConfig,
    NAdamConfig,
    RAdamConfig,
    SparseAdamConfig,
)
from nshtrainer.optimizer.native.adaptive import (
    AdadeltaConfig,
    AdafactorConfig,
    AdagradConfig,
    RMSpropConfig,
    RpropConfig,
)
from nshtrainer.optimizer.native.curvature import LBFGSConfig, MuonConfig
from nshtrainer.optimizer.native.sgd import ASGDConfig, SGDConfig

__all__ = [
    "ASGDConfig",
    "AdadeltaConfig",
    "AdafactorConfig",
    "AdagradConfig",
    "AdamConfig",
    "AdamWConfig",
    "AdamaxConfig",
    "LBFGSConfig",
    "MuonConfig",
    "NAdamConfig",
    "RAdamConfig",
    "RMSpropConfig",
    "RpropConfig",
    "SGDConfig",
    "SparseAdamConfig",
]
