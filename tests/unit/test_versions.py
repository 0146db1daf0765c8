"""Releases of PyTorch and of other packages that lack something, or do not go together."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nshtrainer.configs import AOAdamW8bitConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.lr_scheduler.driver.metric_scheduler import GreedyLR
from nshtrainer.optimizer import build, optimizer_registry
from nshtrainer.optimizer.third_party import index
from nshtrainer.optimizer.torch_optim import portable_muon as muon

PACKAGES = [next(iter(members)) for members in index.INDEX.values()]
"""An optimizer of each package."""


@pytest.fixture(autouse=True)
def _no_class_is_remembered() -> Any:
    build.target_class.cache_clear()
    yield
    build.target_class.cache_clear()


def imported_again(module: ModuleType) -> Any:
    """Execute the source of a module once more, in a module of its own."""
    spec = importlib.util.spec_from_file_location("imported_again", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


def test_the_module_of_muon_is_importable_where_torch_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.optim, "Muon")
    fresh = imported_again(muon)
    assert fresh.bfloat16_is_emulated() in {True, False}
    with pytest.raises(
        OptimizerError, match=r"torch 2\S* has no torch.optim.Muon; install a newer"
    ):
        fresh.PortableMuon([torch.nn.Parameter(torch.eye(2))], lr=0.1)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("best", [None, 2.0, 0.0])
def test_greedy_knows_an_improvement_as_torch_does(
    mode: str, threshold_mode: str, best: float | None
):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    options: Any = {"mode": mode, "threshold_mode": threshold_mode, "threshold": 0.25}
    ours = GreedyLR(optimizer, max_lr=1.0, **options)
    theirs = ReduceLROnPlateau(optimizer, **options)
    assert ours.best == theirs.best
    if best is not None:
        ours.best = theirs.best = best
    is_better: Any = getattr(theirs, "_is_better", None) or theirs.is_better  # type: ignore[attr-defined]
    for value in (-3.0, 0.0, 1.4, 1.5, 1.6, 1.75, 2.0, 2.25, 2.5, 2.6, float("inf"), float("nan")):
        assert ours._improves(value) == is_better(value, theirs.best)


def test_greedy_needs_no_private_name_of_torchs(monkeypatch: pytest.MonkeyPatch):
    for name in {"_is_better", "is_better"} & set(dir(ReduceLROnPlateau)):
        monkeypatch.delattr(ReduceLROnPlateau, name)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    GreedyLR(optimizer, max_lr=1.0, patience=0, factor=0.5).step(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.2


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("error", [AttributeError("torch has no attribute 'x'"), ImportError("x")])
def test_a_package_that_does_not_go_with_torch_is_a_clear_error(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    def broken(module: str) -> ModuleType:
        raise error

    config = optimizer_registry[name]()
    package = config.target.partition(":")[0].partition(".")[0]  # type: ignore[attr-defined]
    monkeypatch.setattr(build, "import_module", broken)
    message = rf"{package} \S+ cannot be imported beside torch 2\S+: {type(error).__name__}"
    with pytest.raises(OptimizerError, match=message) as raised:
        config.create_optimizer([torch.nn.Parameter(torch.eye(2))])
    assert raised.value.__cause__ is error


def test_a_class_that_a_package_lacks_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "import_module", lambda _: ModuleType("none"))
    with pytest.raises(
        OptimizerError, match=r"torchao \S+ has no torchao.optim.AdamW8bit; install"
    ):
        AOAdamW8bitConfig().create_optimizer([torch.nn.Parameter(torch.eye(2))])


def test_a_package_of_another_name_is_named_without_a_version() -> None:
    assert build.version_of("torch.optim:SGD").startswith("torch 2.")
    assert build.version_of("os.path:join") == "os"
