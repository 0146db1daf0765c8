"""The import hook for Lightning, with packages that stand for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nshtrainer.configs import SGDConfig
from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.integrations import lightning_hook
from nshtrainer.integrations.lightning_hook import LightningFinder, watch

SGD = SGDConfig(lr=0.5)

FILES = {
    "__init__.py": "",
    "core/__init__.py": "",
    "core/mixins/__init__.py": "",
    "core/mixins/hparams_mixin.py": """
class HyperparametersMixin:
    CHECKPOINT_HYPER_PARAMS_KEY, CHECKPOINT_HYPER_PARAMS_NAME = "hparams", "name"

    def __init__(self, optimizer: "SGDConfig"):
        self.optimizer = optimizer

    @property
    def hparams_initial(self):
        return {"optimizer": self.optimizer}
""",
    "core/saving.py": """
def _load_state(cls, checkpoint, **given):
    return cls(**{**checkpoint["hparams"], **given})
""",
    "trainer/__init__.py": "",
    "trainer/connectors/__init__.py": "",
    "trainer/connectors/checkpoint_connector.py": """
class _CheckpointConnector:
    def dump_checkpoint(self):
        return {"hparams": self.trainer.lightning_module.hparams_initial_, "other": 1}
""",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, text in FILES.items():
        path = tmp_path / "like_lightning" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(lightning_hook, "_PACKAGES", ("like_lightning", "not_installed"))
    yield "like_lightning"
    for name in [name for name in sys.modules if name.startswith("like_lightning")]:
        del sys.modules[name]


@pytest.mark.parametrize("first", ["this package", "Lightning"])
def test_what_is_saved_logged_and_loaded_is_converted(package: str, first: str) -> None:
    if first == "Lightning":
        import_module(package)
    watch()
    import_module(package)
    module = import_module(f"{package}.core.mixins.hparams_mixin")
    saving: Any = import_module(f"{package}.core.saving")
    connector = import_module(f"{package}.trainer.connectors.checkpoint_connector")
    vars(module)["SGDConfig"] = SGDConfig

    made = module.HyperparametersMixin(SGD)
    assert made.hparams_initial == {"optimizer": SGD.to_dict()}
    made.hparams_initial_ = {"optimizer": SGD}
    dumping = connector._CheckpointConnector()
    dumping.trainer = SimpleNamespace(lightning_module=made, datamodule=None)
    saved = dumping.dump_checkpoint()
    assert saved == {"hparams": {"optimizer": SGD.to_dict()}, "other": 1}
    dumping.trainer.datamodule = SimpleNamespace(CHECKPOINT_HYPER_PARAMS_KEY="none")
    assert dumping.dump_checkpoint() == saved
    assert saving._load_state(module.HyperparametersMixin, saved).optimizer == SGD


def test_other_modules_are_found_as_ever(package: str) -> None:
    assert LightningFinder.find_spec("json") is None
    assert LightningFinder.find_spec("not_installed") is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("core/saving.py", ""),
        ("core/mixins/hparams_mixin.py", "class HyperparametersMixin: pass"),
        ("trainer/connectors/checkpoint_connector.py", "class CheckpointConnector: pass"),
        ("trainer/connectors/checkpoint_connector.py", None),
    ],
)
def test_another_release_is_imported_as_it_is_with_a_warning(
    package: str, tmp_path: Path, file: str, text: str | None
) -> None:
    path = tmp_path / package / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")
    watch()
    with pytest.warns(NshtrainerWarning, match="like_lightning: this release is not supported"):
        import_module(package)
    mixin: Any = import_module(f"{package}.core.mixins.hparams_mixin").HyperparametersMixin
    initial = getattr(mixin, "hparams_initial", None)
    assert initial is None or initial.fget.__module__.startswith(package)
