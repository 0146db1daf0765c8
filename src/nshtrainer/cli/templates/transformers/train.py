"""Train a text classifier with transformers' Trainer: python train.py [key=value ...]."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import nshtrainer
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig


class TrainConfig(nshtrainer.Config):
    """The keys of run.yaml."""

    hidden_size: int = 32
    """Size of the token vectors."""

    num_texts: int = 1024
    """Texts to train on."""

    batch_size: int = 32
    """Texts in a batch."""

    num_epochs: int = 5
    """Passes over the data."""

    seed: int = 1
    """Seed of the initial weights and of the order of the data."""

    optimizer: OptimizerConfig
    """The optimizer."""

    lr_scheduler: LRSchedulerConfig
    """The schedule of the learning rate."""


def read_config(overrides: Sequence[str] = ()) -> TrainConfig:
    """Read run.yaml, with overrides such as `optimizer.lr=3e-3`."""
    return TrainConfig.from_file(Path(__file__).with_name("run.yaml"), overrides=overrides)


def make_data(config: TrainConfig) -> list[dict[str, Any]]:
    """Return random tokens, labeled by the larger of the first two."""
    tokens = torch.randint(100, (config.num_texts, 8))
    labels = (tokens[:, 0] > tokens[:, 1]).long()
    return [
        {"input_ids": text, "labels": label} for text, label in zip(tokens, labels, strict=True)
    ]


def make_model(config: TrainConfig) -> BertForSequenceClassification:
    """Return a small model without pretrained weights."""
    sizes = BertConfig(
        vocab_size=100,
        hidden_size=config.hidden_size,
        intermediate_size=2 * config.hidden_size,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    return BertForSequenceClassification(sizes)


def train(config: TrainConfig, folder: str = "runs") -> list[float]:
    """Train a model, and return the loss of each epoch."""
    torch.manual_seed(config.seed)
    model = make_model(config)
    arguments = TrainingArguments(
        folder,
        num_train_epochs=config.num_epochs,
        per_device_train_batch_size=config.batch_size,
        logging_strategy="epoch",
        report_to=[],
        seed=config.seed,
    )
    trainer = Trainer(model, arguments, train_dataset=make_data(config))
    # Once there is a Trainer, since it knows the length of the run.
    trainer.optimizer, trainer.lr_scheduler = nshtrainer.create(
        config.optimizer, config.lr_scheduler, model, trainer
    )
    trainer.train()
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


if __name__ == "__main__":
    train(read_config(sys.argv[1:]))
