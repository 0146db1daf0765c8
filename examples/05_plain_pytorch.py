"""No trainer: the same configs in a loop of your own.

Prints:

    100 steps, accuracy above 0.9: True
    the learning rate at the end: 0.00002
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import nshtrainer
from nshtrainer import Config, RunLength
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig


class MyConfig(Config):
    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig


config = MyConfig.from_yaml("""
    optimizer: {name: adamw, lr: 0.02, weight_decay: 0.01}
    lr_scheduler:
        name: linear_warmup_cosine_decay
        warmup_duration: 10 steps
        max_duration: 100%
        min_lr_factor: 0.001
""")

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

# A plain loop knows its length; under a trainer it is read from that.
run = RunLength(total_steps=100)
optimizer, scheduler = nshtrainer.create(config.optimizer, config.lr_scheduler, model, run)

for _ in range(100):
    batch = torch.randint(len(images), (256,))
    loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()

accuracy = (model(images).argmax(dim=1) == labels).float().mean().item()
print(f"100 steps, accuracy above 0.9: {accuracy > 0.9}")
print(f"the learning rate at the end: {optimizer.param_groups[0]['lr']:.5f}")
