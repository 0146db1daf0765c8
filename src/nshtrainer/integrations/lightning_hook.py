"""Import hook: plain Lightning modules save and load the configs among their hyperparameters.

Lightning pickles what `save_hyperparameters()` collects, and `torch.load` then refuses the classes
of configs. A plain module calls nothing of this package before it is saved or loaded, and Lightning
has no hook for this. So `import nshtrainer` wraps three functions of Lightning, once both are
imported. Their work is in `hyperparameters`; this module imports the standard library alone.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["LightningFinder", "install", "watch"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def watch() -> None:
    """Call `install` for each of Lightning's packages, now or once it is imported."""
    for package in _PACKAGES:
        if package in sys.modules:
            install(package)
    sys.meta_path.insert(0, LightningFinder)


class LightningFinder:
    """Finder that lets the others find Lightning, and calls `install` after the import."""

    @classmethod
    def find_spec(
        cls, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of one of Lightning's packages, and None for any other module."""
        if name not in _PACKAGES:
            return None
        others = (finder for finder in sys.meta_path if finder is not cls)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        loader: Any = spec and spec.loader
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                install(name)

            loader.exec_module = exec_module
        return spec


def install(package: str) -> None:
    """Wrap the functions of a Lightning package that save, log and load hyperparameters.

    Some of the names are private. A release without them stays as it is, with a warning: its import
    must not fail.
    """
    try:
        mixin = import_module(f"{package}.core.mixins.hparams_mixin").HyperparametersMixin
        saving: Any = import_module(f"{package}.core.saving")
        connectors = import_module(f"{package}.trainer.connectors.checkpoint_connector")
        connector = vars(connectors)["_CheckpointConnector"]
        dump = connector.dump_checkpoint
        load: Any = saving._load_state  # noqa: SLF001 - what is wrapped
        initial = mixin.hparams_initial.fget
    except (ImportError, AttributeError, KeyError) as error:
        _warn_of_release(package, error)
        return

    def dump_checkpoint(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        from nshtrainer.integrations.hyperparameters import plain

        checkpoint = dump(self, *args, **kwargs)
        for part in filter(None, (self.trainer.lightning_module, self.trainer.datamodule)):
            key = part.CHECKPOINT_HYPER_PARAMS_KEY
            if key in checkpoint:
                checkpoint[key] = plain(checkpoint[key])
        return checkpoint

    def load_state(cls: Any, checkpoint: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        from nshtrainer.integrations.hyperparameters import restored

        return load(cls, checkpoint, *args, **{**kwargs, **restored(cls, checkpoint, kwargs)})

    def hparams_initial(self: Any) -> Any:
        from nshtrainer.integrations.hyperparameters import plain

        return plain(initial(self))

    connector.dump_checkpoint = dump_checkpoint
    saving._load_state = load_state  # noqa: SLF001
    mixin.hparams_initial = property(hparams_initial, doc=initial.__doc__)


def _warn_of_release(package: str, error: Exception) -> None:
    from nshtrainer.exceptions import NshtrainerWarning

    warnings.warn(
        f"{package}: this release is not supported ({error!r}), so configs in hyperparameters are "
        "pickled; install lightning 2.6.6 or later",
        NshtrainerWarning,
        stacklevel=2,
    )
