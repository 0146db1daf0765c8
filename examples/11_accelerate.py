"""Accelerate: the schedule moves once an update, in one process as in several.

It needs the extra `accelerate`. With more processes an epoch has fewer updates:
`accelerate launch --cpu --num_processes 2 examples/11_accelerate.py`.

Prints:

    12 updates in 3 epochs of 10 batches
    the rates: 0.0200 0.0400 0.0600 0.0800 0.1000 0.0962 0.0854 0.0691 0.0500 0.0309 0.0146 0.0038
    after a break at 8: 0.0500 0.0309 0.0146 0.0038
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nshtrainer
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
from nshtrainer.integrations.accelerate import prepare, run_length

EPOCHS = 3


def build():
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    inputs = torch.randn(80, 2)
    targets = inputs.prod(1, keepdim=True)
    loader = accelerator.prepare(DataLoader(TensorDataset(inputs, targets), batch_size=8))
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer, scheduler = nshtrainer.create(
        AdamWConfig(lr=0.1),
        CosineScheduleConfig(warmup_duration="1 epochs"),
        model,
        run_length(accelerator, loader, num_epochs=EPOCHS),
    )
    # Not accelerator.prepare: that would move the schedule once for each process.
    return accelerator, loader, *prepare(accelerator, model, optimizer, scheduler)


def train(accelerator, loader, model, optimizer, scheduler, epochs):
    rates = []
    for _ in range(epochs):
        for inputs, targets in loader:
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.mse_loss(model(inputs), targets))
                if accelerator.sync_gradients:
                    rates += scheduler.get_last_lr()
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
    return rates


with TemporaryDirectory() as folder:
    parts = build()
    rates = train(*parts, epochs=2)
    parts[0].save_state(folder)
    rates += train(*parts, epochs=1)
    print(f"{len(rates)} updates in {EPOCHS} epochs of {len(parts[1])} batches")
    print("the rates:", *(f"{rate:.4f}" for rate in rates))

    resumed = build()
    resumed[0].load_state(folder)
    again = train(*resumed, epochs=1)
    print("after a break at 8:", *(f"{rate:.4f}" for rate in again))
