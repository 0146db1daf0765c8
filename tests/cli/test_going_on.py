"""From where a run goes on, and what it says of that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from tests.cli.support import rates

from nshtrainer.cli import main
from nshtrainer.exceptions import ConfigError
from nshtrainer.runs.newest_checkpoint import note_start
from nshtrainer.runs.run_dir import RunFolder, choose_folder
from nshtrainer.runs.signals import requeue

FIT = ["fit", "train.py", "--config", "run.yaml"]
RUN = Path("run.yaml")


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(share * path.stat().st_size))


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def blank(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(400))


DAMAGES = [
    (cut(0), "is empty"),
    (cut(0.01), "is truncated or not a checkpoint"),
    (cut(0.5), "is truncated or not a checkpoint"),
    (shorten, "is truncated or not a checkpoint"),
    (blank, "is damaged: "),
]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two checkpoints of a run, the newer one first."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/run/one/checkpoints")
    folder.mkdir(parents=True)
    for time, name in enumerate(["best.ckpt", "last.ckpt"]):
        torch.save({"global_step": time, "weights": torch.ones(1000)}, folder / name)
    return [folder / "last.ckpt", folder / "best.ckpt"]


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.ckpt")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES += [
    (dangle, "is a broken link"),
    (replace_by_folder, "is not a regular file but a folder"),
    (replace_by_pipe, "is not a regular file but a pipe or a device"),
    (lambda path: torch.save([1], path), "is not a checkpoint"),
    (lambda path: torch.save({"it": Path()}, path), "cannot be read as a checkpoint: Unpickling"),
]


@pytest.mark.parametrize("resume", ["last", "auto", "runs/run/one"])
@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_a_checkpoint_that_cannot_be_read_is_passed_over(
    saved: list[Path], damage: Callable[[Path], None], why: str, resume: str
) -> None:
    assert choose_folder(RUN, None, resume)[1:] == (saved[0], ())
    damage(saved[0])
    start = choose_folder(RUN, None, resume)
    assert start.checkpoint == saved[1]
    (text,) = start.passed_over
    assert text.startswith(f"{saved[0]}: {why}")


def test_one_changed_byte_of_a_checkpoint_stops_nothing(saved: list[Path]) -> None:
    whole = saved[0].read_bytes()
    start, end = whole.index(b"PK"), whole.index(b"PK\x01\x02")
    random = Random(0)
    places = [*range(start, start + 60), *range(end, end + 60), *range(len(whole) - 90, len(whole))]
    for place in random.sample(places, 60):
        byte = whole[place] ^ (1 << random.randrange(8))
        saved[0].write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        checkpoint = choose_folder(RUN, None, "last").checkpoint
        assert checkpoint in saved
        torch.load(checkpoint, weights_only=True)


def test_the_newest_checkpoint_has_the_most_steps_whenever_it_was_written(
    saved: list[Path],
) -> None:
    # As a SIGKILL leaves them after best.ckpt of an epoch is written, and before last.ckpt is.
    last, best = saved
    for step in (7, 8):
        torch.save({"global_step": step, "weights": torch.ones(1)}, best)
        for times in ((1, 2), (2, 1)):
            for path, time in zip(saved, times, strict=True):
                os.utime(path, (time, time))
            torch.save({"global_step": 7}, last.with_name("exception.ckpt"))
            assert choose_folder(RUN, None, "last").checkpoint == (
                best if step == 8 else last.with_name("exception.ckpt")
            )
    torch.save({"global_step": 8}, last)
    os.utime(last, (0, 0))
    assert choose_folder(RUN, None, "last").checkpoint == last  # at equal steps
    for path in (last, best):  # by the time, where none says its step
        torch.save({}, path)
    last.with_name("exception.ckpt").unlink()
    os.utime(last, (0, 0))
    assert choose_folder(RUN, None, "last").checkpoint == best


def test_of_several_runs_the_one_that_was_written_to_last_goes_on(saved: list[Path]) -> None:
    other = Path("runs/run/two/checkpoints/last.ckpt")
    other.parent.mkdir(parents=True)
    torch.save({"global_step": 0}, other)
    for time, newest in ((2**31, other), (1, saved[0])):
        os.utime(other, (time, time))
        assert choose_folder(RUN, None, "last").checkpoint == newest


def test_of_several_runs_the_one_that_was_started_last_goes_on_whatever_the_times_say(
    saved: list[Path],
) -> None:
    one, two = Path("runs/run/one"), Path("runs/run/two")
    (two / "checkpoints").mkdir(parents=True)
    last = two / "checkpoints/last.ckpt"
    torch.save({"global_step": 0}, last)
    for run, newest in ((two, last), (one, saved[0]), (one, saved[0]), (two, last)):
        note_start(run)
        for time in (1, 2**31):
            os.utime(last, (time, time))
            assert choose_folder(RUN, None, "last").checkpoint == newest
    for damage in ("x", "9" * 9999, "-7", ""):  # then the times decide
        (two / ".start").write_text(damage, encoding="utf-8")
        assert choose_folder(RUN, None, "last").checkpoint == saved[0]
    replace_by_pipe(two / ".start")
    assert choose_folder(RUN, None, "last").checkpoint == saved[0]
    for run in (one, two):  # as a copy leaves them
        (run / ".start").unlink()
        for path in run.glob("checkpoints/*"):
            os.utime(path, (1, 1))
    assert choose_folder(RUN, None, "last").checkpoint == last


@pytest.mark.parametrize(
    ("damage", "why"),
    [(cut(0), "is empty"), (blank, "is damaged: ")],
)
def test_a_given_checkpoint_that_is_damaged_is_an_error(
    saved: list[Path], damage: Callable[[Path], None], why: str
) -> None:
    damage(saved[0])
    with pytest.raises(ConfigError, match=f"--resume {saved[0]}: {why}.*; give another"):
        choose_folder(RUN, None, str(saved[0]))


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    made = [RunFolder(tmp_path / "runs/run/1", is_new=True).claimed() for _ in range(3)]
    assert [folder.path.name for folder in made] == ["1", "1-2", "1-3"]


def test_what_an_exception_left_is_set_aside_where_a_run_goes_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.set_aside_exception(tmp_path)
    folder.checkpoints.mkdir()
    for path in (folder.exception, folder.last):
        path.write_text(path.name, encoding="utf-8")
    folder.set_aside_exception(folder.exception)
    assert folder.exception.exists()
    folder.set_aside_exception(folder.last)
    assert not folder.exception.exists()
    assert (folder.checkpoints / "exception.old").read_text(encoding="utf-8") == "exception.ckpt"


def test_where_none_can_be_read_each_is_named(saved: list[Path]) -> None:
    for path in saved:
        cut(0)(path)
    text = rf"no checkpoint in runs.run that can be read \({saved[0]}: is empty; .*best.ckpt: is e"
    with pytest.raises(ConfigError, match=text):
        choose_folder(RUN, None, "auto")


@pytest.mark.parametrize("out", ["s3://bucket/run", "file:///run", "one::two", "one/two::three"])
def test_a_path_that_is_no_folder_of_this_machine_is_refused(saved: list[Path], out: str) -> None:
    for resume, checkpoint in ((None, None), ("auto", None), (str(saved[0]), saved[0])):
        with pytest.raises(ConfigError, match=r"is a URL, not a local folder|contains '::', which"):
            choose_folder(RUN, Path(out), resume)
        assert choose_folder(RUN, Path("c:/run"), resume).checkpoint == checkpoint
    moved = saved[0].parent.parent.rename(f"runs/{len(out)}::run")
    with pytest.raises(ConfigError, match=r"::run: contains '::', which"):
        choose_folder(RUN, None, str(moved))
    with pytest.raises(ConfigError, match=r"runs/a::b/.*contains '::'"):
        choose_folder(Path("a::b.yaml"), None, None)


def test_auto_without_a_folder_begins_one(home: Path) -> None:
    start = choose_folder(RUN, None, "auto")
    assert (start.folder.path.parent, start.checkpoint) == (Path("runs/run"), None)


def test_a_table_of_metrics_that_was_cut_off_is_gone_on_with(home: Path) -> None:
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    with Path("o/metrics.csv").open("a", encoding="utf-8") as file:
        file.write("0,,0.")
    fixed = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, fixed, "--out", "o", "--resume", "last"]) == 0
    assert sorted(rates(Path("o"))) == list(range(12))


@pytest.mark.parametrize(
    ("job", "number"),
    [
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "7_2"),
    ],
)
@pytest.mark.parametrize(
    ("script", "text"),
    [("exit 0", "requeued"), ("exit 3", "failed with exit code 3"), (None, "not requeued")],
)
def test_what_came_of_the_wish_to_be_queued_again_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: dict[str, str],
    number: str,
    script: str | None,
    text: str,
) -> None:
    for name, value in {**job, "PATH": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    if script is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "scontrol").chmod(0o755)
    said = requeue()
    assert said.startswith(f"scontrol requeue {number}: ")
    assert said.endswith(text)


def test_a_checkpoint_does_not_make_a_run_delete_what_is_not_its_own(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "--out", "o", "trainer.max_epochs=1"]) == 0
    last = Path("o/checkpoints/last.ckpt")
    saved = torch.load(last, weights_only=True)
    mine = home / "mine"
    mine.mkdir()
    path = f"{home}/o/checkpoints/../../mine"
    (state,) = (state for key, state in saved["callbacks"].items() if "val/loss" in key)
    state["best_k_models"] = {path: torch.tensor(1e9)}
    state["kth_best_model_path"] = path
    torch.save(saved, last)
    longer = "lr_scheduler.max_duration=12 steps"
    assert main([*FIT, "--out", "o", "--resume", "last", longer]) == 0
    text = f"the checkpoint lists files that are not in '{home}/o/checkpoints': {path!r}"
    assert f"\n{text}. They are dropped from the list and not touched\n" in capsys.readouterr().out
    assert mine.is_dir()


@pytest.mark.parametrize("name", ["last", "best"])
def test_what_is_no_file_where_a_run_writes_a_checkpoint_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for make in (Path.mkdir, os.mkfifo):
        path = Path(f"o/checkpoints/{name}.ckpt")
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        assert main([*FIT, "--out", "o", "--resume", "auto"]) == 2
        assert f"{path}: is not a regular file but a " in capsys.readouterr().err
        path.rmdir() if path.is_dir() else path.unlink()
