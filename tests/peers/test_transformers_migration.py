"""From the `TrainingArguments` of an existing script to configs, as docs/tutorials has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.peers.characters import trainer
from torch import Tensor, nn

import nshtrainer
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
from nshtrainer.exceptions import ConfigChangedWarning

PAGE = Path(__file__).parents[2] / "docs/tutorials/transformers.md"


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor, return_loss: bool = True) -> Any:
        return {"loss": (self.net(x) - x.prod(dim=1, keepdim=True)).square().mean()}


def with_arguments(folder: Path) -> Any:
    generator = torch.Generator().manual_seed(0)
    rows = [{"x": row} for row in torch.randn(40, 2, generator=generator)]
    options: Any = {"lr_scheduler_type": "cosine", "warmup_steps": 5, "weight_decay": 0.1}
    options |= {"learning_rate": 1e-3, "num_train_epochs": 3, "logging_steps": 1}
    options |= {"save_strategy": "steps", "save_steps": 10, "per_device_train_batch_size": 4}
    return trainer(folder, Product(), rows, **options)


def with_configs(folder: Path) -> Any:
    (block,) = re.findall(r"## From existing .*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    configs: dict[str, Any] = {
        "AdamWConfig": AdamWConfig,
        "CosineScheduleConfig": CosineScheduleConfig,
    }
    exec(block, configs)
    made = with_arguments(folder)
    made.optimizer, made.lr_scheduler = nshtrainer.create(
        configs["same_optimizer"], configs["same_schedule"], made.model, made
    )
    return made


def losses(made: Any) -> list[float]:
    return [row["loss"] for row in made.state.log_history if "loss" in row]


def test_the_losses_are_those_of_before_and_its_checkpoints_resume(tmp_path: Path) -> None:
    before, after = with_arguments(tmp_path / "before"), with_configs(tmp_path / "after")
    before.train()
    after.train()
    assert len(losses(before)) == 30
    assert losses(after) == pytest.approx(losses(before), rel=1e-5)

    resumed = with_configs(tmp_path / "resumed")
    with pytest.warns(ConfigChangedWarning, match="another scheduler -> cosine: taken"):
        resumed.train(resume_from_checkpoint=str(tmp_path / "before/checkpoint-10"))
    assert losses(resumed)[-20:] == pytest.approx(losses(before)[-20:], rel=1e-5)
