from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.utils.data import DataLoader

from nshtrainer.configs import AdamWConfig
from nshtrainer.optimizer import OptimizerConfigBase


class Regression(LightningModule):
    def __init__(self, config: OptimizerConfigBase) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).float().square().mean()

    def configure_optimizers(self) -> Any:
        return self.config.create_optimizer(self.parameters())


def fit(config: AdamWConfig) -> torch.Tensor:
    torch.manual_seed(0)
    module = Regression(config)
    # Lightning alone would turn `16-mixed` into `bf16-mixed` on a CPU.
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=4,
        gradient_clip_val=0.1,
        plugins=[MixedPrecision("16-mixed", "cpu", scaler)],  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(torch.randn(8, 4), batch_size=2))  # type: ignore[arg-type]
    assert trainer.global_step == 4
    return module.layer.weight.detach()


@pytest.mark.filterwarnings("ignore")  # Lightning's own: few workers, no loader for validation
def test_gradients_are_clipped_under_16_mixed_with_the_fused_form():
    fused, loop = fit(AdamWConfig()), fit(AdamWConfig(fused=False))
    torch.testing.assert_close(fused, loop, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        fit(AdamWConfig(fused=True))
