"""Files are read and written with care: whatever is at a path, however many write to it at once."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nshtrainer import Config
from nshtrainer.config import file_lock as locks
from nshtrainer.config import files
from nshtrainer.config.files import (
    kind_of,
    read_file,
    remove_left_over,
    replace_file,
    set_aside,
    write_file,
)
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError

NOBODY = 65534


class Line(Config):
    text: str = "a"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def locked(home: Path) -> Iterator[Path]:
    """A folder that this process may not look into."""
    folder = home / "locked"
    folder.mkdir()
    (folder / "line.yaml").write_text("text: b\n", encoding="utf-8")
    folder.chmod(0)
    user = os.geteuid()
    if not user:
        home.chmod(0o755)
        os.seteuid(NOBODY)
    yield Path("locked/line.yaml")
    os.seteuid(user)
    folder.chmod(0o700)


# -- paths -----------------------------------------------------------------------------------------

PATHS: dict[str, Any] = {
    "a name that is too long": "x" * 300 + ".yaml",
    "a path that is too long": "x/" * 5000 + "line.yaml",
    "a file as a folder": "a.yaml/line.yaml",
    "a link to itself": "loop.yaml",
    "a NUL": "\0.yaml",
    "half of a surrogate pair": "\ud800.yaml",
    "bytes that are too long": b"x" * 300 + b".yaml",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_that_cannot_be_is_an_error_with_a_place(path: Any) -> None:
    Path("a.yaml").write_text("text: b\n", encoding="utf-8")
    Path("loop.yaml").symlink_to("loop.yaml")
    name = printable(os.fsdecode(path))
    for attempt in (Line.from_file, Line().to_file):
        with pytest.raises(ConfigError) as caught:
            attempt(path)
        assert str(caught.value).startswith(f"{printable(name)}: cannot be ")
    assert kind_of(path) is None


def test_a_locked_folder_is_an_error_with_a_place(locked: Path) -> None:
    for attempt, verb in ((Line.from_file, "read"), (Line().to_file, "written")):
        with pytest.raises(ConfigError, match=f"line.yaml: cannot be {verb}: permission denied"):
            attempt(locked)
    assert kind_of(locked) is None


def test_a_path_may_be_bytes() -> None:
    Line(text="ä").to_file(b"line.yaml")
    assert Line.from_file(b"line.yaml").text == "ä"
    with pytest.raises(ConfigError, match=r"none.yaml: no such file"):
        Line.from_file(b"none.yaml")


def test_a_file_that_waits_for_more_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for /proc/kmsg, which the system calls regular; what is in it is not ours to take.
    os.mkfifo("pipe.yaml")
    monkeypatch.setattr("stat.S_ISREG", lambda _: True)
    writer = os.open("pipe.yaml", os.O_RDWR)
    with pytest.raises(
        ConfigError, match=r"pipe.yaml: is not a regular file.*; give the path of one"
    ):
        read_file("pipe.yaml")
    os.close(writer)


def test_a_current_folder_that_is_gone_is_said(home: Path) -> None:
    (home / "gone").mkdir()
    os.chdir("gone")
    (home / "gone").rmdir()
    with pytest.raises(ConfigError, match=r"line.yaml: no such file; the current folder is gone"):
        read_file("line.yaml")
    os.chdir(home)


# -- several writers -------------------------------------------------------------------------------


def in_threads(number: int, action: Callable[[int], Any]) -> None:
    """Run an action in threads that begin at once; the first error is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(number)

    def run(index: int) -> None:
        start.wait()
        try:
            action(index)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=[index]) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_write_one_file_at_once(home: Path) -> None:
    def write(index: int) -> None:
        for _ in range(25):
            Line(text=str(index)).to_file("line.yaml")
            remove_left_over(Path("line.yaml"))

    in_threads(8, write)
    assert Line.from_file("line.yaml").text in set("01234567")
    assert list(home.iterdir()) == [home / "line.yaml"]


def test_processes_write_one_file_at_once(home: Path) -> None:
    # What a killed process of the same number left is in nobody's way.
    script = """
import os
from pathlib import Path
from nshtrainer.config.files import write_file
for end in ("tmp", "part"):
    Path(f".line.yaml.{os.getpid()}.{end}").touch()
for _ in range(50):
    write_file("line.yaml", f"text: p{os.getpid()}")
"""
    writers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert Line.from_file("line.yaml").text in {f"p{writer.pid}" for writer in writers}


def test_what_is_set_aside_replaces_nothing(home: Path) -> None:
    for content in "abc":
        Path("a.csv").write_text(content, encoding="utf-8")
        set_aside(Path("a.csv"))
    Path("a.csv").mkdir()
    assert set_aside(Path("a.csv")) == Path("a.csv.old4")
    texts = [Path(f"a.csv.old{number}").read_text(encoding="utf-8") for number in ("", 2, 3)]
    assert texts == ["a", "b", "c"]


@pytest.mark.parametrize("length", [7, 200, 240, 245, 250, 255])
@pytest.mark.parametrize("letter", ["x", "ä"])
def test_a_name_may_be_as_long_as_the_system_takes(home: Path, length: int, letter: str) -> None:
    name = letter * ((length - 5) // len(letter.encode())) + ".yaml"
    Line(text="b").to_file(name)
    Line(text="c").to_file(name)
    assert Line.from_file(name).text == "c"
    assert [path.name for path in home.iterdir()] == [name]


def test_what_a_killed_writer_left_blocks_nobody_and_is_removed(home: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from nshtrainer.config.files import replace_file
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
replace_file(Path({str(home)!r}, "line.yaml"), b"text: b")
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    (left,) = home.iterdir()
    write_file("line.yaml", "text: c")
    remove_left_over(Path("line.yaml"))
    assert not left.exists()
    assert list(home.iterdir()) == [home / "line.yaml"]


def test_what_a_living_writer_is_writing_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def clean_meanwhile(file: int) -> None:
        remove_left_over(home / "line.yaml")
        sync(file)

    monkeypatch.setattr(os, "fsync", clean_meanwhile)
    replace_file(home / "line.yaml", b"text: b")
    assert read_file("line.yaml") == "text: b"


def test_a_hidden_file_that_another_has_locked_to_remove_it_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def lock_late(file: Any) -> bool:
        tried.append(file.name)
        return len(tried) > 1

    monkeypatch.setattr(files, "try_lock", lock_late)
    replace_file(home / "line.yaml", b"text: b")
    assert len(set(tried)) == 2
    assert read_file("line.yaml") == "text: b"


def test_a_damaged_zip_file_is_one(home: Path) -> None:
    # An end of a zip file of 64 bits, which says that the archive has several disks.
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 1, 0, 2)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)
    Path("a.ckpt").write_bytes(b"x" * 56 + locator + end)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.is_zipfile("a.ckpt")
    assert files.is_zip("a.ckpt")
    assert not files.is_zip("line.yaml")


def test_a_hidden_file_that_was_removed_before_its_lock_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []

    def lock_late(file: Any) -> bool:
        if not removed:
            removed.append(file.name)
            Path(file.name).unlink()
        return True

    monkeypatch.setattr(files, "try_lock", lock_late)
    replace_file(home / "line.yaml", b"text: b")
    assert removed
    assert read_file("line.yaml") == "text: b"


def test_without_locks_files_are_written_and_none_is_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", no_locks)
    (home / ".line.yaml.1.tmp").write_bytes(b"half")
    write_file("line.yaml", "text: b")
    remove_left_over(Path("line.yaml"))
    assert read_file("line.yaml") == "text: b"
    assert (home / ".line.yaml.1.tmp").exists()
    with locks.hold(home / "lock", "me"), locks.hold(home / "lock", "me too"):
        pass


def no_locks(*_: Any) -> None:
    raise OSError(95, "Operation not supported")


# -- locks -----------------------------------------------------------------------------------------


def test_a_lock_is_held_by_one_and_says_by_whom(home: Path) -> None:
    path = home / "lock"
    with locks.hold(path, "the first"):
        with pytest.raises(locks.AlreadyLockedError, match="the first"), locks.hold(path, "other"):
            raise AssertionError("both hold it")
        assert path.read_text(encoding="utf-8") == "the first"
    assert not path.exists()
    with locks.hold(path, "the second"):
        pass


def test_a_dead_process_holds_no_lock_and_neither_do_its_children(home: Path) -> None:
    script = f"""
import os, signal, sys, time
from pathlib import Path
from nshtrainer.config.file_lock import hold
with hold(Path({str(home)!r}, "lock"), "the dead"):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"ready")
        time.sleep(60)
    os.read(read, 5)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    # A file, since the child would keep a pipe open.
    with Path("out.txt").open("w", encoding="utf-8") as out:
        dead = subprocess.run([sys.executable, "-c", script], check=False, stdout=out)
    assert dead.returncode == -signal.SIGKILL
    assert (home / "lock").read_text(encoding="utf-8") == "the dead"
    with locks.hold(home / "lock", "the living"):
        pass
    os.kill(int(Path("out.txt").read_text(encoding="utf-8")), signal.SIGKILL)


def test_a_child_leaves_the_lock_to_its_parent(home: Path) -> None:
    with locks.hold(home / "lock", "the parent"):
        child = os.fork()
        if not child:
            os._exit(len(locks._held))
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(locks.AlreadyLockedError), locks.hold(home / "lock", "other"):
            raise AssertionError("both hold it")


def test_what_a_child_does_to_the_lock_is_to_close_it(home: Path) -> None:
    with locks.hold(home / "lock", "the parent"):
        locks._close_in_child()
        assert not locks._held
    assert (home / "lock").exists()


def test_a_lock_file_that_was_removed_meanwhile_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locks.try_lock

    def lock_late(file: Any) -> bool:
        monkeypatch.undo()
        Path(file.name).unlink()
        return lock(file)

    monkeypatch.setattr(locks, "try_lock", lock_late)
    with locks.hold(home / "lock", "me"):
        assert (home / "lock").exists()


# -- halves of surrogate pairs ---------------------------------------------------------------------

HALVES = {
    '{"text": "\\ud800"}': "1:10",
    '{"text": "\\uDC00\\ud800"}': "1:10",
    '{"\\udfff": 1}': "1:2",
    '{"text": ["a", {"a": "\\ud800"}]}': "1:22",
}


@pytest.mark.parametrize("text", HALVES)
@pytest.mark.parametrize("read", [Line.from_json, Line.from_yaml])
def test_half_of_a_surrogate_pair_is_refused_with_its_place(read: Any, text: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{HALVES[text]}: half of a pair of surrogates is no character"
    ):
        read(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (Line.from_json, '{"text": "\ud800"}'),
        (Line.from_yaml, "text: \ud800"),
        (Line.from_toml, 'text = "\ud800"'),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_as_a_character(read: Any, text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"half of a pair of surrogates is no character \(.ud800\)"
    ):
        read(text)


@pytest.mark.parametrize("read", [Line.from_json, Line.from_yaml])
def test_a_whole_surrogate_pair_is_one_character(read: Any) -> None:
    line = read('{"text": "\\ud83d\\ude00 \\\\ud800"}')
    assert line.text == "😀 \\ud800"
    for text_format in ("yaml", "json", "toml"):
        line.to_file(f"line.{text_format}")
        assert Line.from_file(f"line.{text_format}") == line
