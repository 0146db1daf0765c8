"""Concurrent writers of one path: each write succeeds, and a reader sees one complete file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random

import torch
from tools.attack.frame import Attempt, Category, FailedError

from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.integrations.lightning import AtomicCheckpointIO

__all__ = ["CATEGORY"]

SIZE = 3000
LONG = "x" * 240
ERROR = "../error.txt"


def _save(path: Path, number: int) -> None:
    AtomicCheckpointIO().save_checkpoint({"writer": torch.full((SIZE,), number)}, path)


def _load(path: Path) -> int:
    written = torch.load(path, weights_only=True)["writer"]
    if written.numel() != SIZE or not bool((written == written[0]).all()):
        raise FailedError("a mixture of two writers")
    return int(written[0])


def _to_file(path: Path, number: int) -> None:
    AdamWConfig(lr=float(number + 1)).to_file(path)


def _from_file(path: Path) -> int:
    return int(AdamWConfig.from_file(path).lr) - 1


Write, Read = Callable[[Path, int], None], Callable[[Path], int]

WRITERS: dict[str, tuple[Write, Read]] = {
    "last.ckpt": (_save, _load),
    f"{LONG}.ckpt": (_save, _load),
    "run.yaml": (_to_file, _from_file),
    "run.json": (_to_file, _from_file),
    "run.toml": (_to_file, _from_file),
    f"{LONG}.yaml": (_to_file, _from_file),
}


def _draw(random: Random) -> Attempt:
    name = random.choice(list(WRITERS))
    processes, threads = random.choice([(1, 6), (2, 1), (3, 2), (6, 1)])
    kills = random.random() < 0.5 and processes > 1
    shown = name.replace(LONG, "x...x")
    text = f"{processes} processes of {threads} threads write {shown}{', one is killed' * kills}"
    return Attempt(text, partial(_run, random, name, processes, threads, kills))


def _run(
    random: Random, name: str, processes: int, threads: int, kills: bool, _shared: Path
) -> None:
    path = Path(name)
    context = get_context("fork")
    started = [
        context.Process(target=_work, args=(name, threads * index, threads))
        for index in range(processes)
    ]
    for process in started:
        process.start()
    if kills:
        time.sleep(random.uniform(0, 0.2))
        started[0].kill()
    while any(process.is_alive() for process in started):
        _look(path, name, processes * threads)
    for process in started[kills:]:
        if process.exitcode:
            raise FailedError(Path(ERROR).read_text(encoding="utf-8"))
    WRITERS[name][0](path, 0)
    _look(path, name, 1)
    left = {each.name for each in Path.cwd().iterdir()} - {name}
    if left and not (kills and name.endswith(("yaml", "json", "toml"))):
        raise FailedError(f"left behind: {left}")


def _look(path: Path, name: str, writers: int) -> None:
    if not path.exists():
        return
    number = WRITERS[name][1](path)
    if number not in range(writers):
        raise FailedError(f"no writer wrote {number}")


def _work(name: str, first: int, threads: int) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            WRITERS[name][0](Path(name), number)

    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(write, range(first, first + threads)))
    except (OSError, ConfigError) as error:
        Path(ERROR).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        os._exit(1)
    os._exit(0)


CATEGORY = Category("concurrent writers", _draw)
