"""Typed, serializable configs for PyTorch optimizers, parameter groups and LR schedules.

Submodules are imported on first use: `import nshtrainer` costs next to nothing, and a program that
only reads configs never imports torch.

>>> import nshtrainer
>>> nshtrainer.RunLength(total_steps=1000).total_steps
1000
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshtrainer import configs, exceptions, lr_scheduler, optimizer
    from nshtrainer.config import Config
    from nshtrainer.config.document import large_files
    from nshtrainer.create import create
    from nshtrainer.integrations.lightning.lightning_cli import LightningCLI
    from nshtrainer.integrations.lightning.module import LightningModuleBase
    from nshtrainer.integrations.lightning.trainer import Trainer
    from nshtrainer.metric import MetricConfig
    from nshtrainer.run_length import RunLength
    from nshtrainer.telemetry import watch_telemetry
    from nshtrainer.trainer_config import TrainerConfig

__version__ = "2.0.0.dev0"

__all__ = [
    "Config",
    "LightningCLI",
    "LightningModuleBase",
    "MetricConfig",
    "RunLength",
    "Trainer",
    "TrainerConfig",
    "__version__",
    "configs",
    "create",
    "exceptions",
    "large_files",
    "lr_scheduler",
    "optimizer",
    "watch_telemetry",
]

_HOMES = {
    "Config": "nshtrainer.config",
    "LightningCLI": "nshtrainer.integrations.lightning.lightning_cli",
    "LightningModuleBase": "nshtrainer.integrations.lightning.module",
    "MetricConfig": "nshtrainer.metric",
    "RunLength": "nshtrainer.run_length",
    "Trainer": "nshtrainer.integrations.lightning.trainer",
    "TrainerConfig": "nshtrainer.trainer_config",
    "create": "nshtrainer.create",
    "large_files": "nshtrainer.config.document",
    "watch_telemetry": "nshtrainer.telemetry",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name)
    # Importing a submodule sets it as an attribute; a name within one has to be set here.
    value = getattr(import_module(home), name) if home else import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
