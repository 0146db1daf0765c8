"""Lightning integration: module, trainer, callbacks, and run length."""

from __future__ import annotations

from nshtrainer.integrations.lightning.checkpoint.files import AtomicCheckpointIO
from nshtrainer.integrations.lightning.checkpoint.rng_state import RNGStateCallback
from nshtrainer.integrations.lightning.finite_check import FiniteGradientCheck
from nshtrainer.integrations.lightning.lr_finder import FoundRates
from nshtrainer.integrations.lightning.module import LightningModuleBase
from nshtrainer.integrations.lightning.optimizer_callback import OptimizerCallback
from nshtrainer.integrations.lightning.plateau_callback import PlateauCallback
from nshtrainer.integrations.lightning.run_checks import LengthCheck, OwnershipCheck
from nshtrainer.integrations.lightning.run_length import TrainerRunLength, run_length_of
from nshtrainer.integrations.lightning.run_manifest import RunManifest
from nshtrainer.integrations.lightning.trainer import Trainer

__all__ = [
    "AtomicCheckpointIO",
    "FiniteGradientCheck",
    "FoundRates",
    "LengthCheck",
    "LightningModuleBase",
    "OptimizerCallback",
    "OwnershipCheck",
    "PlateauCallback",
    "RNGStateCallback",
    "RunManifest",
    "Trainer",
    "TrainerRunLength",
    "run_length_of",
]
