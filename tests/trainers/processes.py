"""What each of several processes does in the tests of distributed training; results go to files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from tests.models import Transformer
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from nshtrainer import RunLength
from nshtrainer.configs import MuonWithAdamWConfig

STEPS = 3

CONFIG: Any = MuonWithAdamWConfig.from_mapping(
    {"adamw": {"lr": 1e-2, "no_decay": "bias_and_norm"}, "muon": {"lr": 0.02}}
)


def make_model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(width=8, depth=2)


def batch(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randint(5, (4, 3), generator=generator)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Each process sees its share of the batch; the gradients are averaged over all."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    for step in steps:
        tokens = batch(step).chunk(world)[rank]
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: whole(param.detach()) for name, param in model.named_parameters()}


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.clone()


def sharded() -> nn.Module:
    model = make_model()
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def schedule(optimizer: torch.optim.Optimizer) -> Any:
    from nshtrainer.configs import LinearScheduleConfig

    return LinearScheduleConfig().create_scheduler(optimizer, RunLength(total_steps=10))


def ddp(folder: Path) -> None:
    model = DistributedDataParallel(make_model())
    train(model, CONFIG.create_optimizer(model), range(STEPS))
    put(folder / "ddp.pt", values(model.module))


def fsdp(folder: Path) -> None:
    """Trains, saves half-way, and goes on."""
    model = sharded()
    optimizer = CONFIG.create_optimizer(model)
    train(model, optimizer, range(STEPS))
    put(folder / "fsdp.pt", values(model))
    save(model, optimizer, folder / "by_two")
    train(model, optimizer, range(STEPS, 2 * STEPS))
    put(folder / "fsdp_longer.pt", values(model))


def resumed(folder: Path, source: str) -> None:
    """Goes on from what this or another number of processes saved."""
    model = sharded()
    optimizer = CONFIG.create_optimizer(model)
    load(model, optimizer, folder / source)
    train(model, optimizer, range(STEPS, 2 * STEPS))
    put(folder / f"{source}_resumed.pt", values(model))


def save(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder)


def load(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    weights, state = get_state_dict(model, optimizer)
    saved = {"model": weights, "optimizer": state}
    dcp.load(saved, checkpoint_id=folder)
    set_state_dict(
        model,
        optimizer,
        model_state_dict=saved["model"],
        optim_state_dict=saved["optimizer"],
    )


def put(path: Path, result: Any) -> None:
    if dist.get_rank() == 0:
        torch.save(result, path)


def work(rank: int, world: int, folder: Path) -> None:
    """The whole program of one process."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    try:
        ddp(folder)
        fsdp(folder)
        resumed(folder, "by_two")
        resumed(folder, "by_one")
    finally:
        dist.destroy_process_group()
