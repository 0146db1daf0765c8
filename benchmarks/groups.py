"""Parameter groups: what it takes to make them, and what merging them saves in every step.

    python benchmarks/groups.py [--rounds 15]

The model has 84 blocks of a transformer of width 64: 1,010 tensors. Its parameters have k settings:
weight decay or none, and two rules. Compared are the groups that the config makes, the same groups
written down by hand (in our config, and in torch alone, fused too), and one group for each
parameter, as some libraries make. In turns, in one process and one thread; a ratio is the median
over the rounds.

The aim: building takes at most as long as 20 steps of the optimizer, and a step at most 1.1 times
as long as with k groups written by hand. Against torch's fused kernel alone there is also the look
at the gradients before each step, which costs the same without groups.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _rounds import Rounds, verdict
from torch import nn

from nshtrainer.configs import AdamWConfig

CONFIG = AdamWConfig.model_validate(
    {
        "no_decay": "bias_and_norm",
        "groups": [
            {"name": "head", "select": {"role": "head"}, "lr_mult": 2},
            {"name": "qkv", "select": "re:.*\\.qkv\\.weight", "options": {"betas": [0.9, 0.95]}},
        ],
    }
)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


def make_model(depth: int = 84, width: int = 64) -> nn.Module:
    model = nn.ModuleDict({"embed": nn.Embedding(32, width), "head": nn.Linear(width, 32, False)})
    model["blocks"] = nn.ModuleList([Block(width) for _ in range(depth)])
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    return model


def compare_building(model: nn.Module, rounds: int) -> None:
    timed = Rounds(
        {
            "ours": lambda: CONFIG.create_optimizer(model),
            "bare": lambda: AdamWConfig().create_optimizer(model),
            "torch": lambda: torch.optim.AdamW(model.parameters()),
            "step": CONFIG.create_optimizer(model).step,
        },
        rounds=rounds,
        repeats=3,
    )
    for name in ("ours", "bare", "torch"):
        print(f"build, {name:6} {timed.microseconds(name) / 1000:8.2f} ms")
    steps = timed.ratio("ours", "step")
    print(f"building our groups: {steps:.1f} steps (aim: at most 20, {verdict(met=steps <= 20)})\n")


def compare_steps(ours: torch.optim.Optimizer, rounds: int) -> None:
    groups: Any = [
        {key: group[key] for key in ("params", "lr", "betas", "weight_decay")}
        for group in ours.param_groups
    ]
    each = [{**group, "params": [param]} for group in groups for param in group["params"]]
    calls = {
        "ours": ours.step,
        "k groups by hand": AdamWConfig().create_optimizer(groups).step,
        "k groups, torch": torch.optim.AdamW(groups, fused=True).step,
        "a group each": AdamWConfig().create_optimizer(each).step,
        "a group each, torch": torch.optim.AdamW(each, fused=True).step,
    }
    timed = Rounds(calls, rounds=rounds, repeats=3)
    for name in calls:
        print(f"step, {name:19} {timed.microseconds(name) / 1000:8.2f} ms")
    ratio, bare = (timed.ratio("ours", f"k groups{which}") for which in (" by hand", ", torch"))
    met = verdict(met=ratio <= 1.1)
    print(f"a step: {ratio:.2f} of k groups by hand (aim: at most 1.1, {met})")
    print(f"and {bare:.2f} of torch's kernel alone")
    times = timed.ratio("a group each", "ours")
    print(f"a group for each parameter takes {times:.1f} times as long as ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    model = make_model()
    ours = CONFIG.create_optimizer(model)
    tensors, settings = len(list(model.parameters())), len(ours.param_groups)
    print(f"{tensors} tensors, {settings} groups, torch {torch.__version__}\n")
    compare_building(model, rounds)
    compare_steps(ours, rounds)


if __name__ == "__main__":
    main()
