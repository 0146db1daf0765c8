"""What each of two processes does in Lightning runs: DDP, and FSDP2; results go to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import ModelParallelStrategy
from tests.trainers.processes import CONFIGS, batch, group, make_model, put, shard, values
from tests.trainers.support import Rates, TinyConfig, trainer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, DistributedSampler

from nshtrainer import LightningModuleBase
from nshtrainer.exceptions import OptimizerError
from nshtrainer.run_length import run_length_of

SCHEDULE = {
    "name": "linear_warmup_cosine_decay",
    "warmup_duration": "0.5 epochs",
    "max_duration": "100%",
    "min_lr_factor": 0.1,
}
PLATEAU = {
    "name": "reduce_lr_on_plateau",
    "metric": {"monitor": "val/loss", "mode": "min"},
    "patience": 0,
    "factor": 0.5,
}
AVERAGES: Any = {
    "ema": {"name": "ema", "decay": 0.5},
    "swa": {"name": "swa", "start": "50%", "every": "2 steps"},
}
KINDS = ("ddp", "fsdp2")
SAMPLES = 16


class Net(LightningModuleBase[TinyConfig]):
    """Learns to repeat letters; it shards itself where the strategy has a mesh."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.net = make_model()
        self.norm = nn.Identity()

    def configure_model(self) -> None:
        mesh = self.device_mesh
        if mesh is not None and not isinstance(self.net.norm.weight, DTensor):
            shard(self.net, mesh["data_parallel"])

    def training_step(self, tokens: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.net(tokens).flatten(0, 1), tokens.flatten())

    def validation_step(self, tokens: Tensor) -> None:
        self.log("val/loss", self.training_step(tokens), sync_dist=True)


class Whole(Net):
    """The same, never sharded."""

    configure_model = LightningModuleBase.configure_model


class Apart(Whole):
    """Logs a loss that falls in the first process and rises in the second."""

    def validation_step(self, tokens: Tensor) -> None:
        sign = -1 if self.global_rank == 0 else 1
        self.log("val/loss", float(sign * self.current_epoch), sync_dist=False)


class Early(Net):
    """Has an optimizer before it is sharded."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.made = self.hparams.optimizer.create_optimizer(self)

    def configure_optimizers(self) -> Any:
        return self.made


def loader(processes: int, size: int = 4) -> DataLoader[Tensor]:
    """Batches that have the same samples in them over all processes, however many there are."""
    tokens: Any = torch.cat([batch(step) for step in range(SAMPLES // 4)])
    rank = dist.get_rank() if processes > 1 else 0
    sampler: Any = DistributedSampler(tokens, processes, rank, shuffle=False)
    return DataLoader(tokens, batch_size=size // processes, sampler=sampler)


def strategy(kind: str, processes: int, *, as_folder: bool = True) -> Any:
    if kind == "fsdp2":
        return ModelParallelStrategy(processes, 1, save_distributed_checkpoint=as_folder)
    return "ddp" if processes > 1 else "auto"


def fitted(kind: str, config: str, processes: int, **options: Any) -> dict[str, Any]:
    """The weights after a run, the rates on the way, and the last loss of the validation."""
    rates, resume = Rates(), options.pop("resume", None)
    averaging, cls = options.pop("averaging", None), options.pop("cls", Net)
    schedule = options.pop("schedule", SCHEDULE)
    run = trainer(
        config={"weight_averaging": averaging},
        devices=processes,
        max_epochs=options.pop("max_epochs", 2),
        use_distributed_sampler=False,  # Lightning's own shuffles
        strategy=strategy(kind, processes, as_folder=options.pop("as_folder", True)),
        callbacks=[rates, *options.pop("callbacks", [])],
        **options,
    )
    module = cls({"optimizer": CONFIGS[config], "lr_scheduler": schedule})
    data = loader(processes)
    run.fit(module, data, data, ckpt_path=resume)
    loss = float(run.callback_metrics["val/loss"])
    return {"values": values(module), "rates": rates.seen, "loss": loss}


def saver(folder: Path, name: str) -> ModelCheckpoint:
    return ModelCheckpoint(folder / name, filename="{epoch}", every_n_epochs=1, save_top_k=-1)


def first(folder: Path, name: str) -> Path:
    """The checkpoint after the first epoch."""
    return folder / name / "epoch=0.ckpt"


def train_and_resume(folder: Path, kind: str, config: str) -> None:
    """A run, one that goes on from its middle, and one that goes on from that of one process."""
    name = f"{kind}_{config}"
    for file in ("", "_file") if kind == "fsdp2" else ("",):
        options: Any = {"as_folder": not file}
        save = saver(folder, f"by_two_{name}{file}")
        put(folder / f"{name}{file}.pt", fitted(kind, config, 2, callbacks=[save], **options))
        for source in ("by_two", "by_one"):
            path = first(folder, f"{source}_{name}{file}")
            result = fitted(kind, config, 2, resume=path, **options)
            put(folder / f"{source}_{name}{file}_resumed.pt", result)


def average(folder: Path, name: str) -> None:
    """A run with an average of the weights, and one that goes on from its middle."""
    options: Any = {"averaging": AVERAGES[name], "cls": Whole}
    save = saver(folder, f"by_two_{name}")
    put(folder / f"{name}.pt", fitted("ddp", "grouped", 2, callbacks=[save], **options))
    result = fitted("ddp", "grouped", 2, resume=first(folder, f"by_two_{name}"), **options)
    put(folder / f"{name}_resumed.pt", result)


class Counting(Whole):
    """Says how many samples an update has, where the strategy is ready."""

    def configure_model(self) -> None:
        pass

    def configure_optimizers(self) -> Any:
        self.samples = run_length_of(self).samples_per_step
        return super().configure_optimizers()


def samples(data_parallel: int, tensor_parallel: int) -> float | None:
    """Samples in an update, with batches of four in each process."""
    mesh = ModelParallelStrategy(data_parallel, tensor_parallel)
    module = Counting({"optimizer": "sgd"})
    trainer(devices=2, strategy=mesh, max_steps=1).fit(module, loader(1))
    return module.samples


def refused(**options: Any) -> str:
    """What is said against a run of FSDP2."""
    try:
        fitted("fsdp2", "grouped", 2, **options)
    except OptimizerError as error:
        return str(error)
    return ""


def work(rank: int, folder: Path) -> None:
    """The whole program of one process."""
    with group(folder, rank, 2):
        for kind in KINDS:
            for config in CONFIGS:
                train_and_resume(folder, kind, config)
        for name in AVERAGES:
            average(folder, name)
        plateau = fitted("ddp", "grouped", 2, cls=Apart, schedule=PLATEAU, max_epochs=4)
        torch.save(plateau["rates"], folder / f"plateau_{rank}.pt")
        put(folder / "samples.pt", [samples(2, 1), samples(1, 2)])
        put(folder / "early.pt", refused(cls=Early))
        put(folder / "averaged.pt", refused(averaging="ema"))
