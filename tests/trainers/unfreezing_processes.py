"""What each of two processes does in runs that unfreeze parameters under DDP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from tests.trainers.processes import group, put
from tests.trainers.support import TinyConfig, trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from nshtrainer import LightningModuleBase
from nshtrainer.callbacks import BackboneFinetuningConfig, UnfreezeCallbackConfig
from nshtrainer.exceptions import OptimizerError

SAMPLES = 8
CALLBACKS: dict[str, Any] = {
    "unfreeze": UnfreezeCallbackConfig(select="backbone", after="2 epochs"),
    "backbone_finetuning": BackboneFinetuningConfig(unfreeze_backbone_at_epoch=2),
}


class Net(LightningModuleBase[TinyConfig]):
    """Two layers, of which one may be frozen at first."""

    def __init__(self) -> None:
        super().__init__({"optimizer": {"name": "sgd", "lr": 0.1}})
        torch.manual_seed(0)
        self.backbone = nn.Linear(2, 3)
        self.head = nn.Linear(3, 1)

    def configure_model(self) -> None:
        """Shard nothing, which the strategy that shards asks to be written down."""

    def training_step(self, batch: Tensor) -> Tensor:
        return (self.head(self.backbone(batch)) - batch.prod(1, keepdim=True)).square().mean()


def fitted(name: str, processes: int, rank: int = 0, strategy: Any = None) -> dict[str, Any]:
    """The weights after four epochs, of which the backbone is trained in two."""
    points = torch.randn(SAMPLES, 2, generator=torch.Generator().manual_seed(0))
    sampler: Any = DistributedSampler(points, processes, rank, shuffle=False)  # type: ignore[arg-type]
    loader = DataLoader(points, batch_size=4 // processes, sampler=sampler)  # type: ignore[arg-type]
    module = Net()
    trainer(
        max_epochs=4,
        devices=processes,
        strategy=strategy or ("ddp" if processes > 1 else "auto"),
        use_distributed_sampler=False,
        callbacks=[CALLBACKS[name].create_callback()],
    ).fit(module, loader)
    return {name: value.clone() for name, value in module.state_dict().items()}


def work(rank: int, folder: Path) -> None:
    """The whole program of one process."""
    with group(folder, rank, 2):
        for name in CALLBACKS:
            put(folder / f"{name}.pt", fitted(name, 2, rank))
        try:
            fitted("unfreeze", 2, rank, ModelParallelStrategy(2, 1))
        except OptimizerError as error:
            put(folder / "sharded.pt", str(error))
