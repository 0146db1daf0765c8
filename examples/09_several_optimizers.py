"""Muon for the hidden matrices, AdamW for the rest: one optimizer, one schedule, one checkpoint.

Prints:

    muon   blocks.0.linear.weight, blocks.1.linear.weight
    adamw  embedding.weight, blocks.0.norm.weight, ... and 8 more
    the next letter of a pangram: right for 5 % before, 100 % after 60 updates
    muon 0.02 -> 0.0002, adamw 0.003 -> 0.00003
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nshtrainer import RunLength
from nshtrainer.configs import CosineScheduleConfig, MuonWithAdamWConfig

TEXT = "the quick brown fox jumps over a lazy dog; "
LETTERS = sorted(set(TEXT))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(self.norm(x)))


class NextLetter(nn.Module):
    """Guesses a letter from the four before it."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), width)
        self.blocks = nn.ModuleList([Block(4 * width), Block(4 * width)])
        self.norm = nn.LayerNorm(4 * width)
        self.head = nn.Linear(4 * width, len(LETTERS), bias=False)

    def forward(self, letters: Tensor) -> Tensor:
        x = self.embedding(letters).flatten(1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> str:
    right = model(inputs).argmax(1) == targets
    return f"{right.float().mean():.0%}".replace("%", " %")


torch.manual_seed(0)
letters = torch.tensor([LETTERS.index(letter) for letter in TEXT + TEXT[:4]])
inputs, targets = letters.unfold(0, 4, 1)[:-1], letters[4:]
model = NextLetter()

config = MuonWithAdamWConfig.from_mapping({"adamw": {"lr": 0.003}})
routing = config.routing(model)
for route in ("muon", "adamw"):
    names = [name for name, taken in routing.items() if taken == route]
    rest = f", ... and {len(names) - 2} more" if len(names) > 2 else ""
    print(f"{route:6} {', '.join(names[:2])}{rest}")

optimizer = config.create_optimizer(model)
schedule = CosineScheduleConfig(min_factor=0.01)
scheduler = schedule.create_scheduler(optimizer, RunLength(total_steps=60))["scheduler"]
first = [f"{group['lr']:g}" for group in optimizer.param_groups]
before = accuracy(model, inputs, targets)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()
after = accuracy(model, inputs, targets)
print(f"the next letter of a pangram: right for {before} before, {after} after 60 updates")

last = [f"{group['lr']:.5f}".rstrip("0") for group in optimizer.param_groups]
names = [group["name"] for group in optimizer.param_groups]
print(", ".join(f"{name} {a} -> {b}" for name, a, b in zip(names, first, last, strict=True)))
