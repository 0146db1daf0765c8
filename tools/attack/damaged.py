"""Damaged checkpoints and side files: a run resumes from intact ones, or refuses with a message."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from tools.attack.frame import Attempt, Category, FailedError
from tools.attack.runs import check_run, copy_run, make_run

__all__ = ["CATEGORY"]

RESUMES = (
    ["--out", "o", "--resume", "last"],
    ["--out", "o", "--resume", "auto"],
    ["--out", "o", "--resume", "o"],
    ["--resume", "o/checkpoints/last.ckpt"],
    ["--out", "o", "--resume", "o/checkpoints/best.ckpt"],
)

SIDE = (
    "metrics.csv",
    "schedule.csv",
    "schedule.svg",
    "optimizer.json",
    ".lock",
    "config.yaml",
    "manifest.json",
)

DEVICES = ("/dev/null", "/dev/zero")


def _flip(random: Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    edge = min(len(content), 200)
    for _ in range(random.choice([1, 1, 1, 3, 100])):
        # Where the headers are as often as anywhere.
        place = random.choice([random.randrange(edge), -1 - random.randrange(edge), None])
        place = random.randrange(len(content)) if place is None else place
        content[place] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def _cut(random: Random, path: Path) -> None:
    os.truncate(path, random.randrange(path.stat().st_size))


def _blank(random: Random, path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(random.randrange(path.stat().st_size))
        file.write(random.choice([bytes(64), random.randbytes(64), bytes(4096)]))


def _append(random: Random, path: Path) -> None:
    with path.open("ab") as file:
        file.write(random.randbytes(random.choice([1, 100, 10_000])))


def _noise(random: Random, path: Path) -> None:
    path.write_bytes(random.randbytes(random.choice([0, 1, 1000])))


def _remove(_: Random, path: Path) -> None:
    path.unlink()


def _folder(_: Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(random: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(random.choice(["gone", path.name, *DEVICES, ".."]))


def _pipe(_: Random, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _touch(random: Random, path: Path) -> None:
    time = random.choice([0, 1, 2**31])
    os.utime(path, (time, time))


DAMAGES: dict[str, Callable[[Random, Path], None]] = {
    "bits flipped in": _flip,
    "cut": _cut,
    "a hole in": _blank,
    "more after": _append,
    "noise for": _noise,
    "no": _remove,
    "a folder for": _folder,
    "a link for": _link,
    "a pipe for": _pipe,
    "another time of": _touch,
}


def _draw(random: Random) -> Attempt:
    checkpoints = [f"o/checkpoints/{name}.ckpt" for name in ("best", "last")]
    files = random.choice([checkpoints[:1], checkpoints[1:], checkpoints, [_side(random)]])
    names = random.choices(list(DAMAGES), weights=[6, 2, 2, 2, 1, 1, 1, 1, 1, 2], k=len(files))
    arguments = random.choice(RESUMES)
    done = ", ".join(f"{name} {file}" for name, file in zip(names, files, strict=True))
    return Attempt(f"{done}; {' '.join(arguments)}", partial(_run, random, names, files, arguments))


def _side(random: Random) -> str:
    return f"o/{random.choice(SIDE)}"


def _run(
    random: Random, names: list[str], files: list[str], arguments: list[str], shared: Path
) -> None:
    copy_run(shared)
    Path("o/.lock").write_text("4242 on another", encoding="utf-8")
    for name, file in zip(names, files, strict=True):
        DAMAGES[name](random, Path(file))
    check_run(arguments)
    for device in DEVICES:
        if not Path(device).is_char_device():
            raise FailedError(f"a file has taken the place of {device}")


CATEGORY = Category("damaged files", _draw, make_run)
