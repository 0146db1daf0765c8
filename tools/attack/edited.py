"""Checkpoints with one changed entry: the run resumes, or refuses with a message."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from tools.attack.frame import Attempt, Category
from tools.attack.runs import check_run, copy_run, make_run

__all__ = ["CATEGORY"]

Keys = tuple[Any, ...]

VALUES: dict[str, Any] = {
    "None": None,
    "a text": "../../mine/notes.txt",
    "a long text": "x/" * 3000,
    "a number": 7,
    "a negative number": -1,
    "a huge number": 2**70,
    "nan": float("nan"),
    "True": True,
    "an empty list": [],
    "an empty mapping": {},
    "a tensor": torch.zeros(3),
    "a tensor of integers": torch.zeros(2, 2, dtype=torch.int64),
    "an empty tensor": torch.zeros(0),
}
CHANGES: dict[str, Callable[[Any], Any]] = {
    "a list of it": lambda old: [old],
    "a mapping of it": lambda old: {"it": old},
    "a path out of the run": lambda old: f"{Path.cwd()}/o/checkpoints/../../mine/{type(old)}",
}


def _places(value: Any, keys: Keys = ()) -> Iterator[Keys]:
    """Return the paths of all values except the hyperparameters, which the tests of configs try."""
    if isinstance(value, dict):
        parts = list(value.items())
    else:
        parts = list(enumerate(value)) if isinstance(value, list) else []
    for key, part in parts:
        if key not in {"hyper_parameters", "hparams_name", "pytorch-lightning_version"}:
            yield (*keys, key)
            yield from _places(part, (*keys, key))


def _draw(random: Random) -> Attempt:
    name = random.choice(["removed", *VALUES, *CHANGES])
    return Attempt(f"an entry is {name}", partial(_run, random, name))


def _run(random: Random, name: str, shared: Path) -> None:
    copy_run(shared)
    path = Path("o/checkpoints/last.ckpt")
    saved = torch.load(path, weights_only=True)
    # Short ways are chosen as often as long ones, of which there are many more.
    found = list(_places(saved))
    length = random.choice(sorted({len(keys) for keys in found}))
    keys = random.choice([keys for keys in found if len(keys) == length])
    within = saved
    for key in keys[:-1]:
        within = within[key]
    if name == "removed":
        del within[keys[-1]]
    else:
        change = CHANGES.get(name, lambda _: VALUES[name])
        within[keys[-1]] = change(within[keys[-1]])
    torch.save(saved, path)
    print(f"{keys} is {name}", file=sys.stderr, flush=True)
    check_run(["--out", "o", "--resume", str(path)])


CATEGORY = Category("edited entries", _draw, make_run)
