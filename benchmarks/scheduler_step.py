"""One scheduler step: ours against torch's LambdaLR, transformers' cosine and a bare loop.

    python benchmarks/scheduler_step.py [--rounds 15]

All drive the same warm-up and cosine over 1, 10, 100 and 1000 groups of one base rate. The bare
loop computes the closed form and writes base * factor into each group: the least that one
could write by hand. Timed in turns in one process; a ratio is the median over the rounds.
transformers is compared where it is installed.

The aim: at least 5, 8, 15 and 15 times as fast as LambdaLR; at most 2.2 times the bare loop at one
group, and at most 1.0 of it at 100 and more.
"""

from __future__ import annotations

import argparse
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _rounds import Rounds, verdict

from nshtrainer import RunLength
from nshtrainer.configs import LinearWarmupCosineDecayLRSchedulerConfig

WARMUP, TOTAL = 1_000, 100_000_000
FASTER_THAN_LAMBDA = {1: 5, 10: 8, 100: 15, 1000: 15}
OF_THE_BARE_LOOP = {1: 2.2, 10: 2.2, 100: 1.0, 1000: 1.0}


def factor(step: int) -> float:
    if step < WARMUP:
        return step / WARMUP
    return 0.5 * (1.0 + math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP)))


def bare(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    groups = optimizer.param_groups
    bases = [group["lr"] for group in groups]
    position = 0

    def step() -> None:
        nonlocal position
        position += 1
        value = factor(position)
        for group, base in zip(groups, bases):  # noqa: B905 - as written by hand
            group["lr"] = base * value

    return step


def ours(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    config = LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=f"{WARMUP} steps", max_duration=f"{TOTAL} steps"
    )
    return config.create_scheduler(optimizer, RunLength())["scheduler"].step  # type: ignore[return-value]


def lambda_lr(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor).step


def transformers_cosine(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    from transformers import get_cosine_schedule_with_warmup

    return get_cosine_schedule_with_warmup(optimizer, WARMUP, TOTAL).step


def variants() -> dict[str, Callable[[Any], Callable[[], None]]]:
    found = {"bare loop": bare, "ours": ours, "LambdaLR": lambda_lr}
    try:
        import transformers  # noqa: F401 - only whether it is there
    except ImportError:
        return found
    return {**found, "transformers": transformers_cosine}


def optimizer_of(groups: int) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)]} for _ in range(groups)], lr=0.1)
    optimizer.step()
    return optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    for groups, faster in FASTER_THAN_LAMBDA.items():
        calls = {name: make(optimizer_of(groups)) for name, make in variants().items()}
        for call in calls.values():
            for _ in range(WARMUP + 1):
                call()
        timed = Rounds(calls, rounds=rounds, repeats=max(30, 20_000 // groups))
        of_bare, of_lambda = timed.ratio("ours", "bare loop"), timed.ratio("LambdaLR", "ours")
        limit = OF_THE_BARE_LOOP[groups]
        print(f"{groups} groups:")
        for name in calls:
            print(f"  {name:<12} {timed.microseconds(name):9.2f} us a step")
        met = verdict(met=of_bare <= limit)
        print(f"  ours / bare loop {of_bare:.2f} (aim: at most {limit}, {met})")
        met = verdict(met=of_lambda >= faster)
        print(f"  LambdaLR / ours {of_lambda:.1f} (aim: at least {faster}, {met})")
        if "transformers" in calls:
            print(f"  transformers / ours {timed.ratio('transformers', 'ours'):.1f}")


if __name__ == "__main__":
    main()
