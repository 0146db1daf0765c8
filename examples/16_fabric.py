"""Lightning Fabric: its loop is yours, and `nshtrainer.create` builds what it steps.

Prints:

    groups: default, no_decay
    stopped after 30 of 60 steps, at a learning rate of 0.0118
    resumed, and ended at 0.0002 with an accuracy above 0.9: True
    equal to the run that was not interrupted: True
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from lightning.fabric import Fabric
from sklearn.datasets import load_digits
from torch import nn

import nshtrainer
from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, LinearWarmupCosineDecayLRSchedulerConfig

STEPS = 60
OPTIMIZER = AdamWConfig(lr=0.02, no_decay="bias_and_norm")
SCHEDULE = LinearWarmupCosineDecayLRSchedulerConfig(
    warmup_duration="10%", max_duration="100%", min_lr_factor=0.01
)

# With `devices=2, strategy="ddp"` two processes run the same code.
fabric = Fabric(accelerator="cpu", devices=1)
fabric.launch()

digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)


def build():
    fabric.seed_everything(0, verbose=False)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    # First the model: a strategy may put other parameters in the place of these.
    model = fabric.setup_module(model)
    run = RunLength(total_steps=STEPS)
    optimizer, scheduler = nshtrainer.create(OPTIMIZER, SCHEDULE, model, run)
    return model, fabric.setup_optimizers(optimizer), scheduler


def train(model, optimizer, scheduler, first, last):
    for step in range(first, last):
        chosen = torch.randint(len(images), (256,), generator=torch.Generator().manual_seed(step))
        mine = chosen.chunk(fabric.world_size)[fabric.global_rank]
        optimizer.zero_grad()
        fabric.backward(nn.functional.cross_entropy(model(images[mine]), labels[mine]))
        optimizer.step()
        scheduler.step()


whole = build()
train(*whole, 0, STEPS)

with TemporaryDirectory() as folder:
    path = Path(fabric.broadcast(folder)) / "half.ckpt"
    model, optimizer, scheduler = build()
    fabric.print("groups:", ", ".join(group["name"] for group in optimizer.param_groups))
    train(model, optimizer, scheduler, 0, STEPS // 2)
    state = {"model": model, "optimizer": optimizer, "scheduler": scheduler.state_dict()}
    fabric.save(path, state)
    rate = optimizer.param_groups[0]["lr"]
    fabric.print(f"stopped after {STEPS // 2} of {STEPS} steps, at a learning rate of {rate:.4f}")

    model, optimizer, scheduler = build()
    state = {"model": model, "optimizer": optimizer, "scheduler": {}}
    fabric.load(path, state)
    scheduler.load_state_dict(state["scheduler"])

train(model, optimizer, scheduler, scheduler.last_epoch, STEPS)
accuracy = (model(images).argmax(dim=1) == labels).float().mean().item()
rate = optimizer.param_groups[0]["lr"]
fabric.print(f"resumed, and ended at {rate:.4f} with an accuracy above 0.9: {accuracy > 0.9}")
same = all(map(torch.equal, whole[0].parameters(), model.parameters()))
fabric.print(f"equal to the run that was not interrupted: {same}")
