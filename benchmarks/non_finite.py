"""A Lightning training step that looks for what is not finite, against one that does not.

    python benchmarks/non_finite.py [--rounds 7] [--steps 600]

The same network is trained on the same batches with AdamW under an `nshtrainer.Trainer` with
`non_finite` at `stop`, `skip` and `ignore`: one of 9 thousand parameters, where every call counts,
and one of 4 million, where reading the gradients does. `clipped` is `stop` and a
`gradient_clip_val`, against `ignore` and the same. Timed is the CPU time of `fit` over the number
of steps, in turns; a ratio is the median over the rounds.

The aim: at most 1.3 times the small step that does not look, and 1.15 times the larger one.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _rounds import verdict
from _training import cpu_microseconds
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import nshtrainer
from nshtrainer.configs import AdamWConfig, OptimizerConfig

MODELS = {"9k parameters": (64, 1, 1.3), "4M parameters": (1400, 20, 1.15)}
"""The width of the hidden layers, how many times fewer steps are timed, and the aim."""

VARIANTS: dict[str, dict[str, Any]] = {
    "ignore": {"non_finite": "ignore"},
    "stop": {"non_finite": "stop"},
    "skip": {"non_finite": "skip"},
    "ignore, clipped": {"non_finite": "ignore", "gradient_clip_val": 1.0},
    "stop, clipped": {"non_finite": "stop", "gradient_clip_val": 1.0},
}
PAIRS = {"stop": "ignore", "skip": "ignore", "stop, clipped": "ignore, clipped"}


class HparamsConfig(nshtrainer.Config):
    width: int
    optimizer: OptimizerConfig = AdamWConfig(lr=1e-3)


class Network(nshtrainer.LightningModuleBase[HparamsConfig]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        torch.manual_seed(0)
        width = self.hparams.width
        layers = [nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        if width > 64:
            layers += [nn.Linear(width, width), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Linear(width, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return cross_entropy(self.network(batch[0]), batch[1])


def measure(name: str, rounds: int, steps: int) -> None:
    width, fewer, aim = MODELS[name]
    rows = [
        {
            key: cpu_microseconds(
                nshtrainer.Trainer, Network({"width": width}), steps // fewer, options
            )
            for key, options in VARIANTS.items()
        }
        for _ in range(rounds + 1)
    ][1:]
    base = statistics.median(row["ignore"] for row in rows)
    print(f"{name}: {base:.0f} us a step that does not look")
    for key, against in PAIRS.items():
        ratio = statistics.median(row[key] / row[against] for row in rows)
        print(f"  {key} / {against} {ratio:.2f} (aim: at most {aim}, {verdict(met=ratio <= aim)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for name in MODELS:
        measure(name, arguments.rounds, arguments.steps)


if __name__ == "__main__":
    main()
