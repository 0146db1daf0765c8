"""A loop of Accelerate's, as one process and each of several runs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from tests.peers.characters import gpt2, logged, rows, trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
from nshtrainer.integrations.accelerate import prepare, run_length

__all__ = ["Loop", "accelerator", "model", "work"]

BATCHES, EPOCHS = 10, 2
EVERY = (1, 3)


def accelerator(every: int = 1, *, sync_with_dataloader: bool = True) -> Accelerator:
    accumulation = GradientAccumulationPlugin(every, sync_with_dataloader=sync_with_dataloader)
    return Accelerator(cpu=True, gradient_accumulation_plugin=accumulation)


def model() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 1))


class Loop(NamedTuple):
    """What a loop needs, prepared: it sees two samples in each batch of each process."""

    accelerator: Any
    model: Any
    optimizer: Any
    scheduler: Any
    loader: Any
    run: Any

    @classmethod
    def of(cls, accelerator: Any, config: Any = None, *, wrapped: bool = False) -> Loop:
        """Ready to train; `wrapped`: the optimizer is made of the model that DDP has wrapped."""
        config = config or AdamWConfig(lr=1.0, no_decay="bias_and_norm")
        samples = 2 * BATCHES * accelerator.num_processes
        data = torch.linspace(-1, 1, 2 * samples).reshape(samples, 2)
        loader = accelerator.prepare(DataLoader(data, batch_size=2))
        run = run_length(accelerator, loader, num_epochs=EPOCHS)
        net = accelerator.prepare(model()) if wrapped else model()
        pair = nshtrainer.create(config, CosineScheduleConfig(), net, run)
        net, optimizer, scheduler = prepare(accelerator, net, *pair)
        return cls(accelerator, net, optimizer, scheduler, loader, run)

    def train(self, epochs: int = EPOCHS) -> list[float]:
        """As Accelerate's documents write it; the rates of the updates that were made."""
        rates: list[float] = []
        for _ in range(epochs):
            for batch in self.loader:
                with self.accelerator.accumulate(self.model):
                    rate = self.scheduler.get_last_lr()[0]
                    self.accelerator.backward(self.model(batch).square().mean())
                    self.optimizer.step()
                    self.scheduler.step()
                    self.optimizer.zero_grad()
                rates += [rate] * self.accelerator.sync_gradients
        return rates


def work(rank: int, world: int, folder: Path) -> None:
    """The whole program of one process."""
    torch.set_num_threads(1)
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    # An address is asked for, and not used: the processes meet in a file.
    address = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "GLOO_SOCKET_IFNAME": "lo"}
    os.environ.update({**ranks, **address})
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    try:
        results: dict[Any, Any] = {every: both(every, folder) for every in EVERY}
        results["trainer"] = of_a_trainer(folder)
        torch.save(results, folder / f"{rank}.pt")
        dist.barrier()  # one that ends while the other still talks takes that one down
    finally:
        dist.destroy_process_group()


def both(every: int, folder: Path) -> dict[str, Any]:
    """A run of two epochs, and another that goes on after the first."""
    whole = Loop.of(accelerator(every), wrapped=True)
    first = whole.train(1)
    whole.accelerator.save_state(str(folder / f"state{every}"))
    second = whole.train(1)
    resumed = Loop.of(accelerator(every))
    resumed.accelerator.load_state(str(folder / f"state{every}"))
    return {
        "processes": whole.accelerator.num_processes,
        "total": whole.run.total_steps,
        "samples": whole.run.samples_per_step,
        "rates": first + second,
        "resumed": resumed.train(1),
        "names": whole.optimizer.state_dict()["param_groups"][0]["param_names"],
        "weights": [values(each.model) for each in (whole, resumed)],
    }


def of_a_trainer(folder: Path) -> tuple[Any, ...]:
    """Length, steps and rates of a Trainer of transformers."""
    options = {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 2}
    made = trainer(folder, gpt2(), rows(20), num_train_epochs=2, logging_steps=1, **options)
    run = nshtrainer.run_length.run_length_of(made)
    known = run.total_steps, run.steps_per_epoch, run.samples_per_step
    made.optimizer, made.lr_scheduler = nshtrainer.create(
        AdamWConfig(lr=1.0), CosineScheduleConfig(), made.model, made
    )
    made.train()
    names = made.optimizer.state_dict()["param_groups"][0]["param_names"]
    return (*known, made.state.global_step, names, logged(made))


def values(net: nn.Module) -> list[Tensor]:
    return [param.detach().clone() for param in net.parameters()]
