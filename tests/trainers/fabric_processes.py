"""What each of two processes does in Fabric's loops: DDP, and FSDP2; results go to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import ModelParallelStrategy
from tests.models import settings
from tests.trainers.processes import (
    CONFIGS,
    FIRST,
    SECOND,
    batch,
    group,
    make_model,
    shard,
    whole,
)
from torch import Tensor, nn

from nshtrainer import RunLength, create
from nshtrainer.configs import LinearScheduleConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import clean_names

RUN = RunLength(total_steps=10)


def parallelize(model: Any, mesh: Any) -> nn.Module:
    return shard(model, mesh["data_parallel"])


def make_fabric(kind: str, processes: int) -> Fabric:
    strategy: Any = "ddp" if processes > 1 else "auto"
    if kind == "fsdp2":
        strategy = ModelParallelStrategy(parallelize, processes, 1)
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy)
    fabric.launch()
    return fabric


class Loop:
    """A model, its optimizer and its scheduler in Fabric's hands."""

    def __init__(self, fabric: Fabric, config: str) -> None:
        self.fabric = fabric
        self.model = fabric.setup_module(make_model())
        optimizer, self.scheduler = create(CONFIGS[config], LinearScheduleConfig(), self.model, RUN)
        self.bare = optimizer
        self.optimizer = fabric.setup_optimizers(optimizer)

    def train(self, steps: range) -> Loop:
        for step in steps:
            tokens = batch(step).chunk(self.fabric.world_size)[self.fabric.global_rank]
            logits = self.model(tokens).flatten(0, 1)
            self.fabric.backward(nn.functional.cross_entropy(logits, tokens.flatten()))
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.scheduler.step()
        return self

    def save(self, path: Path) -> None:
        state = {"model": self.model, "optimizer": self.optimizer}
        self.fabric.save(path, {**state, "scheduler": self.scheduler.state_dict()})

    def load(self, path: Path) -> Loop:
        state: Any = {"model": self.model, "optimizer": self.optimizer, "scheduler": {}}
        self.fabric.load(path, state)
        self.scheduler.load_state_dict(state["scheduler"])
        return self

    @property
    def found(self) -> dict[str, Any]:
        """The weights, the groups, and the names in what the optimizer saves."""
        named = dict(self.model.named_parameters())
        weights: list[Tensor] = [whole(param.detach()) for param in named.values()]
        saved = self.bare.state_dict()["param_groups"]
        return {
            "values": dict(zip(clean_names([*named]), weights, strict=True)),
            "groups": settings(self.bare, "lr", "weight_decay"),
            "names": [group["param_names"] for group in saved],
        }


def save_and_resume(folder: Path, kind: str, config: str, processes: int) -> dict[str, Any]:
    """A run that is saved in its middle; and one that goes on from there, if there are more."""
    fabric = make_fabric(kind, processes)
    name = f"{kind}_{config}"
    loop = Loop(fabric, config).train(FIRST)
    loop.save(folder / f"by_{processes}_{name}")
    found = loop.train(SECOND).found
    sources = range(1, processes + 1)
    resumed = {
        f"from_{source}": Loop(fabric, config)
        .load(folder / f"by_{source}_{name}")
        .train(SECOND)
        .found
        for source in sources
    }
    return {"uninterrupted": found, **resumed}


def too_early() -> str:
    """What is said where the optimizer is older than the shards."""
    fabric = make_fabric("fsdp2", 2)
    model = make_model()
    optimizer, _ = create(CONFIGS["grouped"], None, model)
    model = fabric.setup_module(model)
    tokens = batch(0)
    model(tokens).sum().backward()
    try:
        fabric.setup_optimizers(optimizer).step()
    except OptimizerError as error:
        return str(error)
    return ""


def work(rank: int, folder: Path) -> None:
    """The whole program of one process."""
    with group(folder, rank, 2):
        results = {
            f"{kind}_{config}": save_and_resume(folder, kind, config, 2)
            for kind in ("ddp", "fsdp2")
            for config in CONFIGS
        }
        early = too_early()
        if rank == 0:
            torch.save({**results, "early": early}, folder / "results.pt")
