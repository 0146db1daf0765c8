"""What each of several processes does in the tests of distributed training; results go to files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from tests.models import Transformer, settings
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, LinearScheduleConfig, MuonWithAdamWConfig
from nshtrainer.optimizer.torch_optim import portable_muon as muon

STEPS = 3

# A gradient of zero is a rounding error, which a smaller eps would make an update of.
CONFIGS: dict[str, Any] = {
    "routed": MuonWithAdamWConfig.from_mapping(
        {"adamw": {"lr": 1e-2, "eps": 1e-3, "no_decay": "bias_and_norm"}, "muon": {"lr": 0.02}}
    ),
    "grouped": AdamWConfig.from_mapping(
        {
            "lr": 0.05,
            "eps": 1e-3,
            "weight_decay": 0.1,
            "no_decay": "bias_and_norm",
            "layer_decay": 0.5,
            "groups": [
                {"name": "head", "select": {"role": "head"}, "lr_mult": 2},
                {"name": "qkv", "select": "*.qkv", "options": {"betas": [0.8, 0.9]}},
            ],
        }
    ),
}


def make_model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(width=8, depth=2)
    model.scale = nn.Parameter(torch.ones(1))  # FSDP2 refuses parameters without a dimension
    return model


def batch(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randint(5, (4, 3), generator=generator)


class Run(NamedTuple):
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any

    @classmethod
    def of(cls, model: nn.Module, config: str) -> Run:
        optimizer = CONFIGS[config].create_optimizer(model)
        made = LinearScheduleConfig().create_scheduler(optimizer, RunLength(total_steps=10))
        return cls(model, optimizer, made["scheduler"])

    def train(self, steps: range) -> Run:
        """Each process sees its share of the batch; the gradients are averaged over all."""
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        for step in steps:
            tokens = batch(step).chunk(world)[rank]
            logits = self.model(tokens).flatten(0, 1)
            nn.functional.cross_entropy(logits, tokens.flatten()).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.scheduler.step()
        return self

    def save(self, folder: Path) -> None:
        dcp.save(self._state(), checkpoint_id=folder)

    def load(self, folder: Path) -> Run:
        state = self._state()
        dcp.load(state, checkpoint_id=folder)
        weights, moments = state["model"], state["optimizer"]
        set_state_dict(
            self.model, self.optimizer, model_state_dict=weights, optim_state_dict=moments
        )
        self.scheduler.load_state_dict(state["scheduler"])
        return self

    def _state(self) -> dict[str, Any]:
        weights, moments = get_state_dict(self.model, self.optimizer)
        return {
            "model": weights,
            "optimizer": moments,
            "scheduler": self.scheduler.state_dict(),
        }


FIRST, SECOND = range(STEPS), range(STEPS, 2 * STEPS)


def values(model: nn.Module) -> dict[str, Tensor]:
    named = model.named_parameters()
    return {name.removeprefix("module."): whole(param.detach()) for name, param in named}


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def shard(model: Transformer, mesh: DeviceMesh) -> nn.Module:
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def sharded() -> nn.Module:
    return shard(make_model(), init_device_mesh("cpu", (dist.get_world_size(),)))


def distributed() -> nn.Module:
    return DistributedDataParallel(make_model())


KINDS = {"ddp": distributed, "fsdp": sharded}


def train(folder: Path, kind: str, config: str) -> None:
    """Trains, saves half-way, and goes on."""
    run = Run.of(KINDS[kind](), config).train(FIRST)
    put(folder / f"{kind}_groups.pt", settings(run.optimizer, "lr", "weight_decay"))
    put(folder / f"{kind}.pt", values(run.model))
    run.save(folder / f"by_{kind}")
    put(folder / f"{kind}_longer.pt", values(run.train(SECOND).model))


def resume(folder: Path, kind: str, config: str, source: str) -> None:
    """Goes on from what this or another number of processes saved."""
    run = Run.of(KINDS[kind](), config).load(folder / f"by_{source}").train(SECOND)
    put(folder / f"{kind}_from_{source}.pt", values(run.model))


def put(path: Path, result: Any) -> None:
    if dist.get_rank() == 0:
        torch.save(result, path)


@contextlib.contextmanager
def by_itself() -> Iterator[None]:
    """A run of one process, whose group is left when it is over, and nothing in the environment."""
    with mock.patch.dict(os.environ):
        try:
            yield
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()


def always() -> bool:
    """In place of the question whether bfloat16 is emulated: its roundings would hide the rest."""
    return True


@contextlib.contextmanager
def group(folder: Path, rank: int, world: int) -> Iterator[None]:
    """Several processes, which meet at a file: a free port may be taken a moment later.

    They leave together: of one that is gone first the others may be aborted. Lightning takes
    processes that are there already by their rank.
    """
    torch.set_num_threads(1)
    muon.bfloat16_is_emulated = always  # type: ignore[assignment]
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", GLOO_SOCKET_IFNAME="lo")
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    try:
        yield
        dist.barrier()
    finally:
        dist.destroy_process_group()


def work(rank: int, world: int, folder: Path, config: str) -> None:
    """The whole program of one process."""
    with group(folder, rank, world):
        for kind in KINDS:
            train(folder, kind, config)
            for source in (kind, "one"):
                resume(folder, kind, config, source)
