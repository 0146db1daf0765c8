"""A Lightning training step: our module, optimizer and scheduler against the same by hand.

    python benchmarks/lightning_step.py [--rounds 7] [--steps 1500]

Both train the same network on the same batches with AdamW and a warm-up with cosine, under a plain
`lightning.Trainer` without logger, checkpoints and progress bar. By hand means what one would
write: `torch.optim.AdamW` and `LambdaLR` with `interval: step`. Neither looks for gradients that
are not finite, which `non_finite.py` measures. Timed is the CPU time of `fit` over the number of
steps, in turns; a ratio is the median over the rounds.

The aim: not slower.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import statistics
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightning.pytorch as lightning
import torch
from _rounds import verdict
from _training import cpu_microseconds
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import nshtrainer
from nshtrainer.configs import (
    AdamWConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfig,
    OptimizerConfig,
)
from nshtrainer.types import NonFinite


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


class HparamsConfig(nshtrainer.Config):
    optimizer: OptimizerConfig = AdamWConfig(lr=1e-3)
    lr_scheduler: LRSchedulerConfig | None = None
    non_finite: NonFinite = "ignore"


class Ours(nshtrainer.LightningModuleBase[HparamsConfig]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.network = network()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return cross_entropy(self.network(batch[0]), batch[1])


class ByHand(lightning.LightningModule):
    def __init__(self, warmup: int, total: int) -> None:
        super().__init__()
        self.network = network()
        self.warmup, self.total = warmup, total

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return cross_entropy(self.network(batch[0]), batch[1])

    def factor(self, step: int) -> float:
        if step < self.warmup:
            return step / self.warmup
        progress = (step - self.warmup) / (self.total - self.warmup)
        return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def ours(steps: int) -> lightning.LightningModule:
    schedule = LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=f"{steps // 10} steps", max_duration=f"{steps} steps"
    )
    return Ours(HparamsConfig(lr_scheduler=schedule))


def by_hand(steps: int) -> lightning.LightningModule:
    return ByHand(steps // 10, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for make in (ours, by_hand):
        cpu_microseconds(lightning.Trainer, make(100), 100)
    rows = [
        tuple(
            cpu_microseconds(lightning.Trainer, make(arguments.steps), arguments.steps)
            for make in (ours, by_hand)
        )
        for _ in range(arguments.rounds)
    ]
    own, hand = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(row[0] / row[1] for row in rows)
    print(f"by hand {hand:.0f} us a step, ours {own:.0f} us a step")
    print(f"ours / by hand {ratio:.2f} (aim: at most 1.0, {verdict(met=ratio <= 1.0)})")


if __name__ == "__main__":
    main()
