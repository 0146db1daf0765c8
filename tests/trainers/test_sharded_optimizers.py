"""Every optimizer with parameters that FSDP2 shards: what it declares is what is measured."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from nshtrainer.configs import AdanConfig, RoutedOptimizerConfig, SOAPConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import optimizer_registry

TOOL = Path(__file__).parents[2] / "tools" / "package_optimizers"


@pytest.fixture
def fsdp2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(TOOL)
    yield importlib.import_module("fsdp2")
    sys.modules.pop("fsdp2")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process, which holds the only shard of everything."""
    dist.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def sharded() -> Any:
    model: Any = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


@pytest.mark.slow
def test_every_optimizer_does_what_it_declares_in_two_processes(fsdp2: Any) -> None:
    found = fsdp2.measured(fsdp2.measurable())
    assert found == {name: fsdp2.declared(name) for name in found}


@pytest.mark.parametrize("name", ["adamw", "adafactor", "lion", "adan", "soap"])
def test_some_do_what_they_declare_in_one_process(
    name: str, alone: None, fsdp2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsdp2, "PROCESSES", 1)
    declared, cls = fsdp2.declared(name), optimizer_registry[name]
    monkeypatch.setattr(cls, "under_fsdp2", "works")
    assert fsdp2.outcome(cls) == declared


def test_what_does_not_work_is_refused_before_the_first_step(alone: None) -> None:
    says = r"SOAPConfig does not work where FSDP2 shards parameters: its step fails\. .*AdamW"
    with pytest.raises(OptimizerError, match=says + r".*'0\.weight' \(8, 3\)"):
        SOAPConfig().create_optimizer(sharded())
    routes = [{"name": "all", "select": "*", "optimizer": "soap"}]
    with pytest.raises(OptimizerError, match=says):
        RoutedOptimizerConfig(routes=routes).create_optimizer(sharded())


def test_lists_that_do_not_take_shards_are_looped_over_unless_asked_for(alone: None) -> None:
    flags = [
        config.create_optimizer(model).param_groups[0]["foreach"]
        for config, model in [
            (AdanConfig(), sharded()),
            (AdanConfig(foreach=True), sharded()),
            (AdanConfig(), nn.Linear(2, 1)),
        ]
    ]
    assert flags == [False, True, None]
