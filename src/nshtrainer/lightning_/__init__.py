"""Lightning: the module, the trainer, and what a schedule learns from them."""

from __future__ import annotations

from nshtrainer.lightning_.checkpoint_io import AtomicCheckpointIO
from nshtrainer.lightning_.driving import OptimizerCallback
from nshtrainer.lightning_.exact_resume import ExactResume
from nshtrainer.lightning_.found_rate import FoundRates
from nshtrainer.lightning_.length_check import LengthCheck
from nshtrainer.lightning_.module import LightningModuleBase
from nshtrainer.lightning_.non_finite import NonFiniteCallback
from nshtrainer.lightning_.plateau import PlateauCallback
from nshtrainer.lightning_.run_length import TrainerRunLength, run_length_of
from nshtrainer.lightning_.trainer import Trainer

__all__ = [
    "AtomicCheckpointIO",
    "ExactResume",
    "FoundRates",
    "LengthCheck",
    "LightningModuleBase",
    "NonFiniteCallback",
    "OptimizerCallback",
    "PlateauCallback",
    "Trainer",
    "TrainerRunLength",
    "run_length_of",
]
