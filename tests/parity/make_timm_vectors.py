"""Writes timm_vectors.json: the rates of timm's schedulers, computed once.

`make test` has no timm. The environment of `make test-peers` has:

    .venv-peers/bin/python -m tests.parity.make_timm_vectors
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tests.peers.timm_alone import timm

LR = 0.4
METRICS = [1.0, 0.9, 0.91, 0.92, 0.95, 0.94, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.4, 0.6, 0.6]


CYCLES = {"cycle_mul": 2, "cycle_decay": 0.5, "cycle_limit": 3}
WARMUP = {"warmup_t": 4, "warmup_lr_init": 0.1}
PREFIX = {**WARMUP, "warmup_prefix": True}

CASES: list[tuple[str, dict[str, Any], Sequence[int]]] = [
    ("CosineLRScheduler", {"t_initial": 20}, range(30)),
    ("CosineLRScheduler", {"t_initial": 20, "lr_min": 0.05, "k_decay": 2.0}, range(30)),
    ("CosineLRScheduler", {"t_initial": 20, "lr_min": 0.05, **PREFIX}, range(30)),
    ("CosineLRScheduler", {"t_initial": 10, "lr_min": 0.05, **CYCLES}, range(80)),
    ("CosineLRScheduler", {"t_initial": 10, "cycle_limit": 3, **PREFIX}, range(40)),
    ("CosineLRScheduler", {"t_initial": 10, **WARMUP}, range(10)),
    ("CosineLRScheduler", {"t_initial": 5, "lr_min": 0.15, **CYCLES}, range(35)),
    (
        "CosineLRScheduler",
        {"t_initial": 2, "cycle_mul": 3, "cycle_limit": 20},
        [3**cycle - 1 for cycle in range(1, 12)],
    ),
    ("TanhLRScheduler", {"t_initial": 20, "lr_min": 0.05}, range(30)),
    ("TanhLRScheduler", {"t_initial": 20, "lb": -4.0, "ub": 4.0}, range(30)),
    ("PolyLRScheduler", {"t_initial": 20, "power": 0.9, "lr_min": 0.05}, range(30)),
    ("PolyLRScheduler", {"t_initial": 20, "k_decay": 2.0}, range(30)),
    ("PolyLRScheduler", {"t_initial": 20, "power": 2.0, **PREFIX}, range(30)),
    ("PolyLRScheduler", {"t_initial": 5, "power": 2.0, **CYCLES}, range(40)),
    ("StepLRScheduler", {"decay_t": 7, "decay_rate": 0.5}, range(30)),
    ("StepLRScheduler", {"decay_t": 7, "decay_rate": 0.5, **WARMUP}, range(30)),
    ("MultiStepLRScheduler", {"decay_t": [3, 10, 11], "decay_rate": 0.5}, range(20)),
    ("MultiStepLRScheduler", {"decay_t": [3, 10, 11], "decay_rate": 0.5, **WARMUP}, range(20)),
    ("WSDLRScheduler", {"t_initial": 20, "decay_t": 5, "lr_min": 0.05, **WARMUP}, range(30)),
    ("WSDLRScheduler", {"t_initial": 20, "decay_t": 8, "decay_fn": "cosine"}, range(30)),
    ("WSDLRScheduler", {"t_initial": 20, "decay_t": 8, "decay_fn": "linear"}, range(30)),
    (
        "WSDLRScheduler",
        {"t_initial": 20, "decay_t": 8, "decay_fn": "exp", "decay_ratio": 0.5},
        range(30),
    ),
    (
        "WSDLRScheduler",
        {"t_initial": 20, "decay_t": 8, "decay_fn": "power", "decay_power": 2.0},
        range(30),
    ),
    (
        "WSDLRScheduler",
        {"t_initial": 20, "decay_t": 8, "decay_fn": "linear", "stable_fn": "rsqrt", **WARMUP},
        range(30),
    ),
    ("PlateauLRScheduler", {"patience_t": 2, "decay_rate": 0.5, "mode": "min"}, range(17)),
    (
        "PlateauLRScheduler",
        {"patience_t": 1, "cooldown_t": 2, "lr_min": 0.05, "mode": "max"},
        range(17),
    ),
]


def rates(name: str, options: dict[str, Any], at: Sequence[int]) -> Any:
    """The rates that a scheduler gives at some updates, or after each value of the metric."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=LR)
    cls = getattr(timm.scheduler, name)
    used = []
    if name == "PlateauLRScheduler":
        scheduler = cls(optimizer, **options)
        for update in at:
            scheduler.step(update + 1, METRICS[update])
            used.append(optimizer.param_groups[0]["lr"])
        return used
    scheduler = cls(optimizer, t_in_epochs=False, **options)
    for update in at:
        scheduler.step_update(update)
        used.append(optimizer.param_groups[0]["lr"])
    return used


def main() -> None:
    """Write one row a case."""
    warnings.simplefilter("ignore")
    rows = [
        {"scheduler": name, "options": options, "updates": list(at)}
        | ({"metrics": METRICS} if name == "PlateauLRScheduler" else {})
        | {"rates": rates(name, options, at)}
        for name, options, at in CASES
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    text = f'{{"timm": "{version("timm")}", "base_lr": {LR}, "rows": [\n{lines}\n]}}\n'
    Path(__file__).with_name("timm_vectors.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
