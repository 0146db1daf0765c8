"""The model of the picture in the README."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig


class LanguageModelConfig(nshtrainer.Config):
    """The `model` part of run.yaml."""

    width: int = 128
    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None


class LanguageModel(nshtrainer.LightningModuleBase[LanguageModelConfig]):
    """A transformer of four layers."""

    def __init__(self, hparams: LanguageModelConfig) -> None:
        super().__init__(hparams)
        width = self.hparams.width
        self.tokens = nn.Embedding(1000, width)
        layers = [nn.TransformerEncoderLayer(width, 4, batch_first=True) for _ in range(4)]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 1000)

    def training_step(self, batch: Tensor) -> Tensor:
        """Return the loss of predicting each next token."""
        hidden = self.tokens(batch[:, :-1])
        for layer in self.layers:
            hidden = layer(hidden)
        logits = self.lm_head(self.norm(hidden))
        return nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:])

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return random tokens."""
        return DataLoader(torch.randint(1000, (320, 33)), batch_size=16)
