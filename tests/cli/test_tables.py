"""Tables of a run's folder: a resumed run keeps them, and a damaged one is set aside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.support import rates

from nshtrainer.cli import main
from nshtrainer.runs import schedule_table
from nshtrainer.runs.metrics import rows_before
from nshtrainer.runs.schedule_table import HEAD, ScheduleTable

Captured = pytest.CaptureFixture[str]

FIT = ["fit", "train.py", "--config", "run.yaml", "--out", "o"]
FIXED = "lr_scheduler.max_duration=12 steps"

DAMAGED = {
    b"step,rate\n0,1\n1,\xff\n2,3,4\nx,1\n9\n\n": "damaged rows are dropped (4 of 5)",
    b"step,rate\n0,1\n1,\0\0\0\n": "damaged rows are dropped (1 of 2)",
    b"step,rate\n0,1\n" + bytes(4096) + b"7,1\n": "damaged rows are dropped (1 of 2)",
    b"\0\1\2\n" * 9: r"has another header (\x00\x01\x02)",
    b"rate\n1\n": "has another header (rate)",
    b"step,rate,rate\n1,2,3\n": "has another header (step,rate,rate)",
    b"step,rate\n0,1\n1,0.": "",
    b"ste": "",
    b"": "",
}


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_rows_of_a_table_are_left_out_and_the_table_is_kept(
    tmp_path: Path, capsys: Captured, content: bytes
) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    whole = [row["step"] for row in rows_before(path, 10)]
    assert whole == (["0"] if content.startswith(b"step,rate\n") else [])
    said, why = capsys.readouterr().out, DAMAGED[content]
    if not why:
        assert not said
        return
    if "cannot be read" not in said:  # csv of Python 3.10 refuses NUL
        end = "; it is renamed to metrics.csv.old, and a new table is started"
        assert said == f"{path}: {why}{end}\n"
    assert path.with_name("metrics.csv.old").read_bytes() == content
    assert not path.exists()


def test_each_damaged_table_has_a_name_of_its_own(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "a.csv").write_bytes(b"\0\n")
        rows_before(tmp_path / "a.csv", 9)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv.old", "a.csv.old2", "a.csv.old3"}


def make_hole(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(10))


def replace_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def write_junk(path: Path) -> None:
    path.write_bytes(b"\xff\n" + bytes(range(256)))


def write_other(path: Path) -> None:
    path.write_text("a,step,b\n1,2,3\n", encoding="utf-8")


HARMS = {
    "a hole": make_hole,
    "junk": write_junk,
    "another header": write_other,
    "a folder": replace_by(Path.mkdir),
    "a pipe": replace_by(os.mkfifo),
}


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(harm, marks=[pytest.mark.slow] * (name in {"junk", "a pipe"}), id=name)
        for name, harm in HARMS.items()
    ],
)
def test_damaged_tables_do_not_stop_a_resume(
    home: Path, capsys: Captured, harm: Callable[[Path], None]
) -> None:
    assert main([*FIT, FIXED, "trainer.max_epochs=1"]) == 0
    tables = [Path("o/metrics.csv"), Path("o/schedule.csv")]
    for table in tables:
        harm(table)
    capsys.readouterr()
    assert main([*FIT, FIXED, "trainer.max_epochs=2", "--resume"]) == 0
    said = capsys.readouterr().out
    for table in tables:
        # A table of metrics may have any columns beside the step.
        is_refused = harm is not write_other or table.name == "schedule.csv"
        assert (f"it is renamed to {table.name}.old" in said) == is_refused
        assert table.with_name(f"{table.name}.old").exists() == is_refused
        assert table.read_text(encoding="utf-8").splitlines()[-1]
    assert set(rates(Path("o"))) >= {4, 5, 6, 7}
    steps = [int(row["step"]) for row in rows_before(tables[1], 99)]
    assert steps == sorted(steps)
    assert set(steps) >= {4, 5, 6, 7}


# -- the table of the schedule ---------------------------------------------------------------------


def steps_in(path: Path) -> list[int]:
    return [int(row["step"]) for row in rows_before(path, 10**9, HEAD)]


def fill(table: ScheduleTable, steps: range, every: int = 100) -> None:
    for step in steps:
        table.add((step, "lr", 0.1, 0.1))
        if step % every == 0:
            table.write()
    table.write()


def test_every_update_of_a_usual_run_is_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "schedule.csv"
    table = ScheduleTable(path)
    fill(table, range(5000))
    assert steps_in(path) == list(range(5000))
    assert table.every == 1
    again = ScheduleTable(path)
    again.resume(4000)
    fill(again, range(4000, 6000))
    assert steps_in(path) == list(range(6000))


def test_a_long_run_has_rows_at_one_distance_also_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_table, "MOST_ROWS", 300)
    path = tmp_path / "schedule.csv"
    table = ScheduleTable(path)
    fill(table, range(1000))
    assert (steps_in(path), table.every) == (list(range(0, 1000, 4)), 4)
    for start, end, every in ((700, 900, 4), (801, 1201, 8), (1200, 1210, 8)):
        again = ScheduleTable(path)
        again.resume(start)
        fill(again, range(start, end))
        assert (steps_in(path), again.every) == (list(range(0, end, every)), every)


def test_lost_rows_do_not_thin_a_table(tmp_path: Path) -> None:
    path = tmp_path / "schedule.csv"
    fill(ScheduleTable(path), range(0, 40, 2))
    table = ScheduleTable(path)
    table.resume(40)
    fill(table, range(40, 50))
    assert steps_in(path) == [*range(0, 40, 2), *range(40, 50)]


def test_a_thinned_table_is_named_in_the_report(
    home: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_table, "MOST_ROWS", 8)
    assert main(FIT) == 0
    assert "\nschedule  schedule.csv is long; it has 1 of 2 updates\n" in capsys.readouterr().out
    assert steps_in(Path("o/schedule.csv")) == list(range(0, 12, 2))


def test_values_in_tensors_are_compared_and_written(home: Path, capsys: Captured) -> None:
    assert main([*FIT, "optimizer.tensor_lr=true"]) == 0
    assert "schedule  12 updates, planned = used\n" in capsys.readouterr().out
    assert steps_in(Path("o/schedule.csv")) == list(range(12))


def test_a_tensor_that_other_code_wrote_is_told(home: Path, capsys: Captured) -> None:
    text = Path("train.py").read_text(encoding="utf-8")
    group = "group = self.optimizers().param_groups[0]"
    meddled = f"{group}\n        self.global_step == 5 and group['lr'].fill_(7.0)\n        stop("
    Path("train.py").write_text(text.replace('stop("train', f'{meddled}"train'), encoding="utf-8")
    assert main([*FIT, "optimizer.tensor_lr=true"]) == 0
    line = "lr: 1 values not as planned, the first at step 5: planned 0.0793"
    said = capsys.readouterr().out
    assert line in said
    assert "used 7.0 (written by other code)" in said
