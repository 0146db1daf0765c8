"""What may happen to a run, as data, and the law that holds for all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tests.faults.programs import Ended, fit, plain, plain_atomic, start
from tests.faults.task import STEPS

__all__ = ["FAULTS", "Fault", "Home", "survive", "uninterrupted"]

RUN = """\
trainer:
  accelerator: cpu
  max_epochs: 3
  log_every_n_steps: 1
  primary_metric: {monitor: val/steps, mode: max}
  seed: 0
"""

SLURM = {
    "SLURM_JOB_ID": "4242",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}

SCONTROL = '#!/bin/sh\necho "$@" >> scontrol.txt\n'


def _cut(share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        size = path.stat().st_size
        os.truncate(path, min(int(share * size), size - 1))

    return cut


def _overwrite(path: Path) -> None:
    """As a disk does that loses a block of zeros in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(4096))


@dataclass(frozen=True)
class Fault:
    """Something that ends a run.

    Args:
        name: What it is called.
        what: What happens, where, and after how many updates, as `happen` reads it.
        code: The exit code of the run; negative where a signal killed it.
        kept: The newest checkpoint that can be read then.
        step: The updates in it.
        exact: Whether the weights at the end are those of a run that nothing happened to.
        program: What trains.
        disk: The bytes of a disk that the run fills.
        damage: What then becomes of `last.ckpt`.
        why: How a damaged checkpoint is named.
        resume: What the run goes on from: `last`, or a checkpoint.
        requeues: Whether SLURM is asked to queue the job again.
    """

    name: str
    what: str
    code: int
    kept: str
    step: int
    exact: bool = True
    program: Callable[..., int] = fit
    disk: int = 0
    damage: Callable[[Path], None] | None = None
    why: str = ""
    resume: str = "last"
    requeues: bool = field(default=False)


def _damaged(name: str, damage: Callable[[Path], None], why: str) -> Fault:
    return Fault(name, "SIGTERM train 8", 143, "best.ckpt", 6, damage=damage, why=why)


CUT_OFF = "is truncated or not a checkpoint"

FAULTS = (
    Fault("SIGINT", "SIGINT train 8", 130, "last.ckpt", 9),
    Fault("SIGTERM", "SIGTERM train 8", 143, "last.ckpt", 9),
    Fault("SIGTERM in the validation", "SIGTERM validate 12", 143, "last.ckpt", 12),
    Fault("SIGKILL", "SIGKILL train 8", -9, "last.ckpt", 6),
    Fault("SIGKILL while a checkpoint is written", "kill-while-saving train 8", -9, "last.ckpt", 6),
    Fault("SIGUSR1 of SLURM", "SIGUSR1 train 8", 138, "last.ckpt", 9, requeues=True),
    Fault("a full disk", "fill train 8", 1, "last.ckpt", 6, disk=8_000_000),
    Fault("a file may not be so long", "limit train 8", 1, "last.ckpt", 6),
    _damaged("a checkpoint of no bytes", _cut(0), "is empty"),
    _damaged("a checkpoint of one byte", _cut(1e-5), CUT_OFF),
    _damaged("half a checkpoint", _cut(0.5), CUT_OFF),
    _damaged("a checkpoint without its last byte", _cut(1), CUT_OFF),
    _damaged("a checkpoint with a hole", _overwrite, "is damaged: "),
    Fault("an exception", "exception train 8", 1, "exception.ckpt", 8, exact=False),
    Fault(
        "an exception, back to the end of the epoch",
        "exception train 8",
        1,
        "exception.ckpt",
        8,
        resume="last.ckpt",
    ),
    Fault("an exception in half an update", "exception update 9", 1, "last.ckpt", 6),
    Fault("an exception in the validation", "exception validate 12", 1, "exception.ckpt", 12),
    Fault("plain: SIGKILL", "SIGKILL train 8", -9, "step=5.ckpt", 5, program=plain),
    Fault(
        "plain: SIGKILL while a checkpoint is written",
        "kill-while-saving train 8",
        -9,
        "step=5.ckpt",
        5,
        program=plain_atomic,
    ),
    Fault("plain: SIGTERM", "SIGTERM train 8", 0, "step=9.ckpt", 9, program=plain),
    Fault("plain: SIGINT", "SIGINT train 8", 1, "step=8.ckpt", 8, exact=False, program=plain),
    Fault("plain: an exception", "exception train 8", 1, "step=8.ckpt", 8, False, plain),
    Fault(
        "plain: SIGUSR1 of SLURM, and the end of the job",
        "SIGUSR1 train 8;SIGKILL train 9",
        -9,
        "hpc_ckpt_1.ckpt",
        8,
        exact=False,
        program=plain,
        requeues=True,
    ),
)


@dataclass(frozen=True)
class Home:
    """The folder of a run.

    Args:
        path: The folder.
        loader: How the run reads its data.
    """

    path: Path
    loader: str = "stateful, shuffled"

    def __post_init__(self) -> None:
        (self.path / "bin").mkdir()
        (self.path / "bin/scontrol").write_text(SCONTROL, encoding="utf-8")
        (self.path / "bin/scontrol").chmod(0o755)
        text = f"data: {{loader: '{self.loader}'}}\n{RUN}"
        (self.path / "run.yaml").write_text(text, encoding="utf-8")

    def first(self, program: Callable[..., int], what: str, *, disk: int = 0, slurm: bool) -> Ended:
        """The run that something happens to."""
        environment = {"FAULT": what, "PATH": f"{self.path}/bin:{os.environ['PATH']}"}
        out = "disk/o" if disk else "kept/o"
        arguments = ["--out", out] if program is fit else [None, self.loader]
        variables = {**environment, **(SLURM if slurm else {})}
        return start(self.path, program, *arguments, environment=variables, disk=disk)

    def second(self, program: Callable[..., int], checkpoint: str) -> Ended:
        """The run that goes on."""
        if program is not fit:
            return start(self.path, program, checkpoint, self.loader)
        return start(self.path, program, "--out", "kept/o", "--resume", checkpoint)

    def checkpoints(self, program: Callable[..., int]) -> list[Path]:
        """What was saved, the newest first."""
        found = [
            *self.path.glob("kept/o/checkpoints/*.ckpt"),
            *self.path.glob("checkpoints/*.ckpt"),
        ]
        found += self.path.glob("hpc_ckpt_*.ckpt")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)

    def used(self) -> list[dict[str, Any]]:
        """What each update used, of all runs in this folder."""
        lines = (self.path / "used.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def weights(self, program: Callable[..., int]) -> dict[str, torch.Tensor]:
        """The weights at the end."""
        end = "kept/o/checkpoints/last.ckpt" if program is fit else "checkpoints/end.ckpt"
        saved = torch.load(self.path / end, weights_only=True)
        assert saved["global_step"] == STEPS
        return saved["state_dict"]


def uninterrupted(path: Path, program: Callable[..., int] = fit, loader: str = "") -> Home:
    """A run that nothing happens to."""
    home = Home(path, *filter(None, [loader]))
    ended = home.first(program, "- - -1", slurm=False)
    assert ended.code == 0, ended.err
    assert [line["step"] for line in home.used()] == list(range(STEPS))
    return home


def survive(fault: Fault, home: Home, whole: Home) -> None:
    """Let it happen, look at what is left, go on, and compare the whole with one run.

    Args:
        fault: What happens.
        home: The folder of the run.
        whole: A run that nothing happened to.
    """
    ended = home.first(fault.program, fault.what, disk=fault.disk, slurm=fault.requeues)
    assert ended.code == fault.code, f"{ended.code}\n{ended.out}\n{ended.err}"
    if fault.requeues:
        assert (home.path / "scontrol.txt").read_text(encoding="utf-8") == "requeue 4242\n"
    if fault.damage is not None:
        fault.damage(home.path / "kept/o/checkpoints/last.ckpt")
    found = home.checkpoints(fault.program)
    newest, passed_over = (found[1], found[0]) if fault.damage else (found[0], None)
    for path in found:
        if path != passed_over:
            saved = torch.load(path, weights_only=True)
            kept = (path.name, saved["global_step"])
            assert path != newest or kept == (fault.kept, fault.step), f"kept {kept}"
    _go_on(fault, home, newest, passed_over)
    _compare(fault, home, whole)


def _go_on(fault: Fault, home: Home, newest: Path, passed_over: Path | None) -> None:
    checkpoint = fault.resume
    if fault.program is not fit:
        checkpoint = str(newest)
    elif checkpoint != "last":
        newest = home.path / "kept/o/checkpoints" / checkpoint
        checkpoint = str(newest)
    again = home.second(fault.program, checkpoint)
    assert again.code == 0, again.err
    if fault.program is fit:
        assert f"resuming from {os.path.relpath(newest, home.path)} (step " in again.out.replace(
            f"{home.path}/", ""
        )
    if passed_over is not None:
        path = os.path.relpath(passed_over, home.path)
        assert f"skipped {path}: {fault.why}" in again.out


def _compare(fault: Fault, home: Home, whole: Home) -> None:
    expected = {line["step"]: line["groups"] for line in whole.used()}
    lines = home.used()
    assert {line["step"] for line in lines} == set(expected), "updates are missing"
    for line in lines:  # an update that was done again used the same
        assert line["groups"] == expected[line["step"]], line["step"]
    ours, theirs = home.weights(fault.program), whole.weights(fault.program)
    exact = all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert exact == fault.exact, f"the same weights: {exact}"
