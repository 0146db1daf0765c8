"""Hydra composes the files, and a config validates the result.

The files are in examples/hydra/conf. `python examples/13_hydra.py optimizer=sgd base_lr=0.05` takes
another one of them and another rate. The names in them pick registered components: nothing is
imported because a file says so, as it would be for `_target_`.

Prints:

    adamw, lr 0.02, betas [0.9, 0.95]
    the loss fell to less than a tenth: True
"""

from __future__ import annotations

from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from nshtrainer import Config, RunLength
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig

FILES = Path(__file__).parent / "hydra" / "conf"


class RunConfig(Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig
    steps: int
    base_lr: float


@hydra.main(config_path=str(FILES), config_name="run", version_base="1.3")
def main(composed: DictConfig) -> None:
    config = RunConfig.model_validate(composed)
    options = config.optimizer.to_dict()
    shown = {key: options[key] for key in ("lr", "betas", "momentum") if key in options}
    print(options["name"], *(f"{key} {value}" for key, value in shown.items()), sep=", ")

    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    inputs = torch.randn(64, 4)
    targets = inputs.sum(1, keepdim=True)
    optimizer = config.optimizer.create_optimizer(model)
    run = RunLength(total_steps=config.steps)
    scheduler = config.lr_scheduler.create_scheduler(optimizer, run)["scheduler"]
    losses: list[float] = []
    for _ in range(config.steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    print(f"the loss fell to less than a tenth: {losses[-1] < losses[0] / 10}")


if __name__ == "__main__":
    main()
