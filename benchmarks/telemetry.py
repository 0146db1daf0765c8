"""Telemetry every 50 steps: AdamW steps with it against the same steps without.

    python benchmarks/telemetry.py [--rounds 15]

Both optimizers are torch's fused AdamW over 24 million parameters in 70 tensors, about those of a
small GPT. A round times one plain step, and the extra time of one measured step, in turns; the cost
is the latter, spread over 50 steps, as a share of the former.

The aim: at most 1 %.
"""

from __future__ import annotations

import argparse

import torch
from _rounds import Rounds, verdict
from torch import nn

import nshtrainer

EVERY = 50


def optimizer_of(*, watched: bool) -> torch.optim.Optimizer:
    torch.manual_seed(0)
    shapes = [(768, 3072)] * 10 + [(768,)] * 60
    params = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer = torch.optim.AdamW(params, fused=True)
    if watched:
        nshtrainer.watch_telemetry(optimizer, every=1)
    return optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plain, watched = optimizer_of(watched=False), optimizer_of(watched=True)
    calls = {"plain": plain.step, "watched": watched.step}
    rounds = Rounds(calls, rounds=arguments.rounds, repeats=4)
    cost = (rounds.ratio("watched", "plain") - 1) / EVERY
    print(f"telemetry every {EVERY} steps: {100 * cost:.2f} % of a step of AdamW ", end="")
    print(verdict(met=cost <= 0.01))


if __name__ == "__main__":
    main()
