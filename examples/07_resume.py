"""Stop in the middle, resume, and get the result of an uninterrupted run, bit by bit.

Prints:

    stopped after step 4, at a learning rate of 0.0775
    resumed from step 4 and ended after step 10
    equal to the run that was not interrupted: True
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, LinearWarmupCosineDecayLRSchedulerConfig

TOTAL = 10
SCHEDULE = LinearWarmupCosineDecayLRSchedulerConfig(
    warmup_duration="1 steps", max_duration=f"{TOTAL} steps", min_lr_factor=0.1
)


def build():
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = AdamWConfig(lr=0.1).create_optimizer(model)
    scheduler = SCHEDULE.create_scheduler(optimizer, RunLength(total_steps=TOTAL))["scheduler"]
    return model, optimizer, scheduler


def train(parts, first, last):
    model, optimizer, scheduler = parts
    for step in range(first, last):
        batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        scheduler.step()


whole = build()
train(whole, 0, TOTAL)

with TemporaryDirectory() as folder:
    stopped = build()
    train(stopped, 0, 4)
    # The state of the schedule is its position; all of it is plain data and tensors.
    path = Path(folder) / "last.ckpt"
    torch.save([part.state_dict() for part in stopped], path)
    rate = stopped[1].param_groups[0]["lr"]
    print(f"stopped after step 4, at a learning rate of {rate:.4f}")

    resumed = build()
    for part, state in zip(resumed, torch.load(path, weights_only=True), strict=True):
        part.load_state_dict(state)
    position = resumed[2].last_epoch
    train(resumed, position, TOTAL)
    print(f"resumed from step {position} and ended after step {resumed[2].last_epoch}")

same = all(map(torch.equal, whole[0].parameters(), resumed[0].parameters()))
print(f"equal to the run that was not interrupted: {same}")
