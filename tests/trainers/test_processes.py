"""Groups in two processes: what DDP and FSDP2 train is what one process trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from tests.models import Transformer, settings
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from nshtrainer.configs import AdamWConfig

CONFIG = AdamWConfig.model_validate(
    {
        "lr": 0.05,
        "eps": 1e-4,  # the bias of the keys has no gradient but what rounding leaves
        "weight_decay": 0.1,
        "no_decay": "bias_and_norm",
        "layer_decay": 0.5,
        "groups": [
            {"name": "head", "select": {"role": "head"}, "lr_mult": 2},
            {"name": "qkv", "select": "*.qkv", "options": {"betas": [0.8, 0.9]}},
        ],
    }
)
TOKENS = torch.arange(12).reshape(4, 3) % 5


def train(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Tensor, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(rows)
        nn.functional.cross_entropy(logits.flatten(0, 1), rows.flatten()).backward()
        optimizer.step()


def new_model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(depth=2)
    model.scale = nn.Parameter(torch.ones(1))  # FSDP2 takes no parameter without a dimension
    return model


def wrapped(kind: str) -> nn.Module:
    model: Any = new_model()
    if kind == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def whole(model: nn.Module) -> dict[str, Tensor]:
    return {
        name.removeprefix("module."): value.full_tensor()
        if hasattr(value, "full_tensor")
        else value
        for name, value in model.state_dict().items()
    }


def worker(rank: int, kind: str, folder: str) -> None:
    # They meet at a file: a port that is free now may be taken a moment later.
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    rows = TOKENS[2 * rank : 2 * rank + 2]
    model = wrapped(kind)
    optimizer = CONFIG.create_optimizer(model)
    train(model, optimizer, rows, 3)

    model_state, optimizer_state = get_state_dict(model, optimizer)
    dcp.save({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=f"{folder}/dcp")
    train(model, optimizer, rows, 3)

    again = wrapped(kind)
    other = CONFIG.create_optimizer(again)
    model_state, optimizer_state = get_state_dict(again, other)
    state = {"model": model_state, "optimizer": optimizer_state}
    dcp.load(state, checkpoint_id=f"{folder}/dcp")
    set_state_dict(
        again, other, model_state_dict=state["model"], optim_state_dict=state["optimizer"]
    )
    train(again, other, rows, 3)
    trained, resumed = whole(model), whole(again)
    if rank == 0:
        groups = settings(optimizer, "lr", "weight_decay", "betas")
        torch.save({"trained": trained, "resumed": resumed, "groups": groups}, f"{folder}/result")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_train_what_one_trains_and_resume(kind: str, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(worker, (kind, str(tmp_path)), nprocs=2)
    result = torch.load(tmp_path / "result", weights_only=True)

    model = new_model()
    optimizer = CONFIG.create_optimizer(model)
    assert result["groups"] == settings(optimizer, "lr", "weight_decay", "betas")
    train(model, optimizer, TOKENS, 6)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(result["trained"][name], value, rtol=1e-4, atol=1e-5)
        assert torch.equal(result["resumed"][name], result["trained"][name])
