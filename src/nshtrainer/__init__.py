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

from nshtrainer.integrations.lightning_hook import watch

if TYPE_CHECKING:
    from nshtrainer import callbacks, configs, exceptions, loggers, lr_scheduler, optimizer
    from nshtrainer.analysis.explanation import explain
    from nshtrainer.config import Config
    from nshtrainer.config.document import large_files
    from nshtrainer.creation import create
    from nshtrainer.integrations.lightning.lightning_cli import LightningCLI
    from nshtrainer.integrations.lightning.module import LightningModuleBase
    from nshtrainer.integrations.lightning.run_manifest import RunManifest
    from nshtrainer.integrations.lightning.trainer import Trainer
    from nshtrainer.metric import MetricConfig
    from nshtrainer.run_length import RunLength
    from nshtrainer.runs.fit import fit
    from nshtrainer.runs.loaded_run import load_run
    from nshtrainer.telemetry import watch_telemetry
    from nshtrainer.trainer_config import TrainerConfig

__version__ = "2.0.0.dev0"

__all__ = [
    "Config",
    "LightningCLI",
    "LightningModuleBase",
    "MetricConfig",
    "RunLength",
    "RunManifest",
    "Trainer",
    "TrainerConfig",
    "__version__",
    "callbacks",
    "configs",
    "create",
    "exceptions",
    "explain",
    "fit",
    "large_files",
    "load_run",
    "loggers",
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
    "RunManifest": "nshtrainer.integrations.lightning.run_manifest",
    "Trainer": "nshtrainer.integrations.lightning.trainer",
    "TrainerConfig": "nshtrainer.trainer_config",
    "create": "nshtrainer.creation",
    "explain": "nshtrainer.analysis.explanation",
    "fit": "nshtrainer.runs.fit",
    "large_files": "nshtrainer.config.document",
    "load_run": "nshtrainer.runs.loaded_run",
    "watch_telemetry": "nshtrainer.telemetry",
}


watch()


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
