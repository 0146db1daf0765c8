"""One scheduler step of each family: ours against the bare closed form, and torch's nearest.

    python benchmarks/families.py [--rounds 9] [NAME ...]

For each family the bare loop computes the closed form, written out by hand, and writes
base * factor into each group; the nearest schedulers of torch, and of transformers and timm where
they are installed, drive the same number of groups. Further rows: a composed schedule against a
single one, rates in tensors against a plain `fill_`, and what is left of a rate in a tensor after
a million steps. Timed in turns in one process; a ratio is the median over the rounds.

The aims: at most 2.2 of the bare loop at one group, at most 1.0 of it at 100 and more; a composed
schedule at most 1.3 of a single one; tensors at most 2 of `fill_`, and 2e-7 off after 10^6 steps.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _rounds import Rounds, verdict
from pydantic import TypeAdapter
from torch.optim import lr_scheduler as theirs

from nshtrainer import RunLength
from nshtrainer.configs import LRSchedulerConfig

Factor = Callable[[int], float]

WARMUP, TOTAL = 1_000, 100_000_000
LENGTH = TOTAL - WARMUP
RUN = RunLength(total_steps=TOTAL, base_lr=0.1)
GROUPS = (1, 10, 100, 1000)
OF_THE_BARE_LOOP = {1: 2.2, 100: 1.0, 1000: 1.0}
READ = TypeAdapter[Any](LRSchedulerConfig)


class Family(NamedTuple):
    """A schedule, the same by hand, and what torch has that comes nearest."""

    config: dict[str, Any]
    bare: Factor
    torchs: Callable[[Any], Any] | None = None


def warmed(**options: Any) -> dict[str, Any]:
    return {"warmup_duration": f"{WARMUP} steps", "warmup_start_factor": 0.0, **options}


def rising(step: int) -> float:
    return step / WARMUP


# -- the closed forms, as one would write them by hand -------------------------------------------


def constant(step: int) -> float:
    return rising(step) if step < WARMUP else 1.0


def linear(step: int) -> float:
    return rising(step) if step < WARMUP else max(0.0, 1.0 - (step - WARMUP) / LENGTH)


def cosine(step: int) -> float:
    if step < WARMUP:
        return step / WARMUP
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - WARMUP) / LENGTH)))


def polynomial(step: int) -> float:
    return rising(step) if step < WARMUP else (1.0 - min(1.0, (step - WARMUP) / LENGTH)) ** 2.0


def inverse_sqrt(step: int) -> float:
    return rising(step) if step < WARMUP else math.sqrt(WARMUP / step)


def exponential(step: int) -> float:
    return 0.5 ** (step / 1e6)


def stairs(step: int) -> float:
    return 0.5 ** (step // 1_000_000)


def stable(step: int) -> float:
    if step < WARMUP:
        return step / WARMUP
    if step < 0.9 * TOTAL:
        return 1.0
    return 1.0 - math.sqrt(min(1.0, (step - 0.9 * TOTAL) / (0.1 * TOTAL)))


def restarts(step: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * (step % 10_000) / 10_000))


def one_cycle(step: int) -> float:
    if step < 0.3 * TOTAL:
        return 0.52 - 0.48 * math.cos(math.pi * step / (0.3 * TOTAL))
    x = min(1.0, (step - 0.3 * TOTAL) / (0.7 * TOTAL))
    return 4e-6 + (1.0 - 4e-6) * 0.5 * (1.0 + math.cos(math.pi * x))


def triangles(step: int) -> float:
    cycle = math.floor(1 + step / 4_000)
    return 0.25 + 0.75 * max(0.0, 1.0 - abs(step / 2_000 - 2 * cycle + 1))


def rex(step: int) -> float:
    x = min(1.0, step / TOTAL)
    return (1.0 - x) / (1.0 - x / 2.0)


def tanh(step: int) -> float:
    x = min(1.0, step / TOTAL)
    return 0.5 * (1.0 - math.tanh(-7.0 + 10.0 * x))


def noam(step: int) -> float:
    return min((step + 1) ** -0.5, (step + 1) * WARMUP**-1.5)


FAMILIES: dict[str, Family] = {
    "constant": Family(warmed(name="constant"), constant, lambda o: theirs.ConstantLR(o, 1.0)),
    "linear": Family(warmed(name="linear"), linear, lambda o: theirs.LinearLR(o, 1.0, 1e-9, TOTAL)),
    "cosine": Family(warmed(name="cosine"), cosine, lambda o: theirs.CosineAnnealingLR(o, TOTAL)),
    "polynomial": Family(
        warmed(name="polynomial", power=2.0),
        polynomial,
        lambda o: theirs.PolynomialLR(o, TOTAL, power=2.0),
    ),
    "inverse_sqrt": Family(warmed(name="inverse_sqrt"), inverse_sqrt),
    "exponential": Family(
        {"name": "exponential", "gamma": 0.5, "step_duration": "1M steps"},
        exponential,
        lambda o: theirs.ExponentialLR(o, 0.5**1e-6),
    ),
    "step": Family(
        {"name": "step", "gamma": 0.5, "step_duration": "1M steps"},
        stairs,
        lambda o: theirs.StepLR(o, 1_000_000, 0.5),
    ),
    "warmup_stable_decay": Family(warmed(name="warmup_stable_decay"), stable),
    "cosine_restarts": Family(
        {"name": "cosine_restarts", "cycle_duration": "10000 steps"},
        restarts,
        lambda o: theirs.CosineAnnealingWarmRestarts(o, 10_000),
    ),
    "one_cycle": Family(
        {"name": "one_cycle", "cycle_momentum": False},
        one_cycle,
        lambda o: theirs.OneCycleLR(o, 0.1, TOTAL, cycle_momentum=False),
    ),
    "cyclic": Family(
        {"name": "cyclic", "rise_duration": "2000 steps"},
        triangles,
        lambda o: theirs.CyclicLR(o, 0.025, 0.1, cycle_momentum=False),
    ),
    "rex": Family({"name": "rex"}, rex),
    "tanh": Family({"name": "tanh"}, tanh),
    "noam": Family({"name": "noam", "warmup_duration": f"{WARMUP} steps", "model_dim": 1}, noam),
}


def optimizer_of(groups: int, *, tensors: bool = False) -> torch.optim.Optimizer:
    params = [{"params": [torch.zeros(1)]} for _ in range(groups)]
    optimizer = torch.optim.SGD(params, lr=0.1)
    if tensors:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(0.1)
    optimizer.step()
    return optimizer


def loop(factor: Factor, groups: int) -> Callable[[], None]:
    optimizer = optimizer_of(groups)
    bases = [group["lr"] for group in optimizer.param_groups]
    position = WARMUP

    def step() -> None:
        nonlocal position
        position += 1
        value = factor(position)
        for group, base in zip(optimizer.param_groups, bases):  # noqa: B905 - as written by hand
            group["lr"] = base * value

    return step


def ours(config: dict[str, Any], groups: int, *, tensors: bool = False) -> Callable[[], None]:
    optimizer = optimizer_of(groups, tensors=tensors)
    scheduler = READ.validate_python(config).create_scheduler(optimizer, RUN)["scheduler"]
    scheduler.step(WARMUP)
    return scheduler.step


def peers(name: str, groups: int) -> dict[str, Callable[[], None]]:
    found: dict[str, Callable[[], None]] = {}
    family = FAMILIES[name]
    if family.torchs is not None:
        found["torch"] = family.torchs(optimizer_of(groups)).step
    for package, make in (("transformers", transformers_s), ("timm", timm_s)):
        step = make(name, optimizer_of(groups))
        if step is not None:
            found[package] = step
    return found


def transformers_s(name: str, optimizer: Any) -> Callable[[], None] | None:
    kinds = {
        "constant": "constant_with_warmup",
        "linear": "linear",
        "cosine": "cosine",
        "polynomial": "polynomial",
        "inverse_sqrt": "inverse_sqrt",
        "cosine_restarts": "cosine_with_restarts",
    }
    try:
        from transformers import get_scheduler
    except ImportError:
        return None
    if name not in kinds:
        return None
    return get_scheduler(kinds[name], optimizer, WARMUP, TOTAL).step


@cache
def timm_schedulers() -> Any:
    """timm's schedulers where it is installed, without the rest of it, which needs torchvision."""
    spec = find_spec("timm")
    if spec is None:
        return None
    package = sys.modules["timm"] = ModuleType("timm")
    package.__path__ = list(spec.submodule_search_locations or ())
    return import_module("timm.scheduler")


def timm_s(name: str, optimizer: Any) -> Callable[[], None] | None:
    timm = timm_schedulers()
    if timm is None:
        return None
    made = {
        "cosine": lambda: timm.CosineLRScheduler(optimizer, TOTAL, t_in_epochs=False),
        "polynomial": lambda: timm.PolyLRScheduler(optimizer, TOTAL, power=2.0, t_in_epochs=False),
        "step": lambda: timm.StepLRScheduler(optimizer, 1_000_000, 0.5, t_in_epochs=False),
    }
    if name not in made:
        return None
    scheduler, position = made[name](), 0

    def step() -> None:
        nonlocal position
        position += 1
        scheduler.step_update(position)

    return step


# -- what is printed -----------------------------------------------------------------------------


def compare_family(name: str, rounds: int) -> None:
    for groups in GROUPS:
        calls = {
            "bare": loop(FAMILIES[name].bare, groups),
            "ours": ours(FAMILIES[name].config, groups),
            **peers(name, groups),
        }
        for call in calls.values():
            for _ in range(10):  # torch's own change their ways in the first steps
                call()
        timed = Rounds(calls, rounds=rounds, repeats=max(30, 10_000 // groups))
        text = f"{name:<20} {groups:>4} groups  ours / bare {timed.ratio('ours', 'bare'):5.2f}"
        if groups in OF_THE_BARE_LOOP:
            limit = OF_THE_BARE_LOOP[groups]
            text += f" (at most {limit}, {verdict(met=timed.ratio('ours', 'bare') <= limit)})"
        for peer in calls.keys() - {"bare", "ours"}:
            text += f"  {peer} / ours {timed.ratio(peer, 'ours'):.1f}"
        print(text, flush=True)


COMPOSED: dict[str, Any] = {
    "name": "sequence",
    "phases": [
        {"schedule": warmed(name="constant"), "duration": "2000 steps"},
        {"schedule": {"name": "constant"}, "duration": "3000 steps"},
        {"schedule": {"name": "cosine"}, "duration": "remaining"},
    ],
}


def compare_composed(rounds: int) -> None:
    for groups in GROUPS:
        single, composed = ours(warmed(name="cosine"), groups), ours(COMPOSED, groups)
        for _ in range(5000):
            composed()
        timed = Rounds(
            {"single": single, "composed": composed},
            rounds=rounds,
            repeats=max(30, 10_000 // groups),
        )
        ratio = timed.ratio("composed", "single")
        met = verdict(met=ratio <= 1.3)
        print(f"composed / single     {groups:>4} groups  {ratio:.2f} (at most 1.3, {met})")


def compare_tensors(rounds: int) -> None:
    for groups in (1, 10, 100):
        optimizer = optimizer_of(groups, tensors=True)

        def fill(optimizer: Any = optimizer) -> None:
            for group in optimizer.param_groups:
                group["lr"].fill_(0.05)

        calls = {"fill_": fill, "ours": ours(warmed(name="cosine"), groups, tensors=True)}
        timed = Rounds(calls, rounds=rounds, repeats=3000 // groups)
        ratio = timed.ratio("ours", "fill_")
        met = verdict(met=ratio <= 2)
        print(f"tensors / fill_       {groups:>4} groups  {ratio:.2f} (at most 2, {met})")


def compare_drift() -> None:
    optimizer = optimizer_of(1, tensors=True)
    config = READ.validate_python({"name": "cosine", "min_factor": 0.01})
    run = RunLength(total_steps=2_000_000)
    scheduler, curve = config.create_scheduler(optimizer, run)["scheduler"], config.curve(run)
    for _ in range(1_000_000):
        scheduler.step()
    exact = float(torch.tensor(0.1)) * curve(1_000_000)
    off = abs(optimizer.param_groups[0]["lr"].item() / exact - 1)
    print(
        f"a tensor after 10^6 steps is off by {off:.1e} (at most 2e-7, {verdict(met=off <= 2e-7)})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="families; left out, all")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.names or FAMILIES:
        compare_family(name, args.rounds)
    if not args.names:
        compare_composed(args.rounds)
        compare_tensors(args.rounds)
        compare_drift()


if __name__ == "__main__":
    main()
