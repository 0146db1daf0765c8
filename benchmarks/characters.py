"""Muon with AdamW and a WSD schedule against AdamW and a cosine, on real text.

    python benchmarks/characters.py [--full] [--seeds 2]

A transformer of 3 layers and 0.37 million parameters learns to read the standard library of
Python, character by character, 16 pieces of 128 in an update. Measured is how many updates, and
how much time in one thread, it takes to a validation loss of 2.1 nats a character, on files that
are not trained on.

Both sides are tuned alike, with a seed that is not used again: first three rates by three
warm-ups, then the length of the run, which is where each schedule ends, out of the same six. A
trial has 400 updates at most, and what counts is how few it takes to the target, or how near it
comes; of equals, the longest run, which is the safest. Muon has two rates, and no trial more for
it: that of AdamW beside it is a fifth of Muon's. Gradients are clipped to a norm of 1. Both
schedules end at a twentieth of the rate, with which a run that has not reached it continues.

Then each side runs from the same weights, over the same batches, with seeds of its own, update by
update in turns, so that what else the machine does falls on both. The time is that of the updates,
without validation, which is every 5 of them. What is quoted is the median over the seeds of the
ratio, and its spread.

`--full` repeats the tuning, and measures with 5 seeds; otherwise the result below is used.

The aims: at most 0.5 of the updates, and 0.6 of the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _language_model import Transformer, training_batches, validation_batch
from _rounds import verdict
from torch import nn

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    MuonConfig,
    MuonWithAdamWConfig,
    WarmupStableDecayScheduleConfig,
)

TARGET, BUDGET, EVERY = 2.1, 400, 5
TUNING_SEED = 0


class Setting(NamedTuple):
    """Tuned hyperparameters."""

    rate: float
    warmup: str
    length: int = BUDGET


class Side(NamedTuple):
    """An optimizer with its schedule, the rates that are tried, and what `--full` found."""

    name: str
    optimizer: Callable[[float], Any]
    schedule: Callable[[str], Any]
    rates: Sequence[float]
    tuned: Setting


class Progress(NamedTuple):
    """Progress of a run after an update."""

    updates: int
    cpu_seconds: float
    seconds: float
    loss: float

    @property
    def arrived(self) -> bool:
        return self.loss <= TARGET


def adamw(rate: float) -> AdamWConfig:
    return AdamWConfig(lr=rate, betas=(0.9, 0.95), weight_decay=0.1, no_decay="bias_and_norm")


def muon(rate: float) -> MuonWithAdamWConfig:
    hidden = MuonConfig(lr=rate, weight_decay=0.1)
    return MuonWithAdamWConfig(muon=hidden, adamw=adamw(rate / 5))


def cosine(warmup: str) -> LinearWarmupCosineDecayLRSchedulerConfig:
    return LinearWarmupCosineDecayLRSchedulerConfig(
        warmup_duration=warmup, max_duration="100%", min_lr_factor=0.05
    )


def stable_decay(warmup: str) -> WarmupStableDecayScheduleConfig:
    return WarmupStableDecayScheduleConfig(
        warmup_duration=warmup,
        warmup_start_factor=0.0,
        decay_duration="50%",
        decay_shape="linear",
        min_factor=0.05,
    )


SIDES = (
    Side("adamw, cosine", adamw, cosine, (2e-3, 4e-3, 8e-3), Setting(4e-3, "50%", 400)),
    Side("muon, WSD", muon, stable_decay, (1e-2, 2e-2, 4e-2), Setting(2e-2, "5%", 200)),
)
WARMUPS = ("5%", "20%", "50%")
LENGTHS = (BUDGET, 320, 250, 200, 150, 120)


def run(side: Side, setting: Setting, seed: int, limit: int = BUDGET) -> Iterator[Progress]:
    """Train, and tell of each update, up to the target or a limit."""
    model = Transformer(seed)
    length = RunLength(total_steps=setting.length)
    optimizer = side.optimizer(setting.rate).create_optimizer(model)
    scheduler = side.schedule(setting.warmup).create_scheduler(optimizer, length)["scheduler"]
    batches, held_out = training_batches(seed), validation_batch()
    now = Progress(0, 0.0, 0.0, float("inf"))
    while now.updates < limit and not now.arrived:
        rows = next(batches)
        cpu, wall = time.process_time(), time.perf_counter()
        model.loss(rows).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        now = Progress(now.updates + 1, now.cpu_seconds + cpu, now.seconds + wall, now.loss)
        if now.updates % EVERY == 0:
            with torch.no_grad():
                now = now._replace(loss=model.loss(held_out).item())
        yield now


def in_turns(runs: Sequence[Iterator[Progress]]) -> list[Progress]:
    """The ends of several runs, which take their updates in turns."""
    ends: dict[int, Progress] = {}
    for row in zip_longest(*runs):
        ends.update({place: now for place, now in enumerate(row) if now is not None})
    return [ends[place] for place in sorted(ends)]


def tune(side: Side) -> Setting:
    """The best rate and warm-up in the whole budget, and then the best length for them.

    Of equals it is the first, and the lengths are tried from the longest.
    """
    trials: dict[Setting, tuple[bool, float]] = {}

    def best_of(settings: Sequence[Setting]) -> Setting:
        for setting in settings:
            if setting not in trials:
                (end,) = in_turns([run(side, setting, TUNING_SEED)])
                trials[setting] = (not end.arrived, end.updates if end.arrived else end.loss)
                print(f"  {side.name}: {setting} {end.updates} updates, {end.loss:.3f}", flush=True)
        return min(settings, key=trials.__getitem__)

    best = best_of([Setting(rate, warmup) for rate in side.rates for warmup in WARMUPS])
    return best_of([best._replace(length=length) for length in LENGTHS])


def spread(name: str, values: Sequence[float], form: str = ".2f", aim: float | None = None) -> None:
    low, middle, high = min(values), statistics.median(values), max(values)
    text = f"{name:32} {middle:{form}} ({low:{form}} to {high:{form}})"
    print(text + (f"  aim: at most {aim}, {verdict(met=middle <= aim)}" if aim else ""))


def compare(settings: Sequence[Setting], seeds: int) -> None:
    """Both sides with fresh seeds; a run that does not arrive counts as long as it was."""
    ends = []
    for seed in range(TUNING_SEED + 1, TUNING_SEED + 1 + seeds):
        runs = [
            run(side, setting, seed, limit=2 * BUDGET)
            for side, setting in zip(SIDES, settings, strict=True)
        ]
        ends.append(in_turns(runs))
        for side, end in zip(SIDES, ends[-1], strict=True):
            print(
                f"seed {seed}  {side.name:14} {end.updates:4} updates, {end.cpu_seconds:5.1f} s "
                f"of CPU, {end.seconds:5.1f} s by the clock, to {end.loss:.3f}"
                f"{'' if end.arrived else ', NOT at the target'}",
                flush=True,
            )
    for place, side in enumerate(SIDES):
        spread(f"updates of {side.name}", [row[place].updates for row in ends], "g")
    base, ours = zip(*ends, strict=True)
    pairs = list(zip(ours, base, strict=True))
    spread("updates, of AdamW's", [a.updates / b.updates for a, b in pairs], aim=0.5)
    spread("CPU time, of AdamW's", [a.cpu_seconds / b.cpu_seconds for a, b in pairs], aim=0.6)
    spread("time by the clock, of AdamW's", [a.seconds / b.seconds for a, b in pairs], aim=0.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="repeat the tuning, and use 5 seeds")
    parser.add_argument("--seeds", type=int, help="how many to measure with")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = [tune(side) if args.full else side.tuned for side in SIDES]
    for side, setting in zip(SIDES, settings, strict=True):
        print(f"{side.name}: {setting}")
    compare(settings, args.seeds or (5 if args.full else 2))


if __name__ == "__main__":
    main()
