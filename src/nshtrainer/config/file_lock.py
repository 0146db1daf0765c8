"""Locks of open files, which the system releases when the process ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["AlreadyLockedError", "hold", "is_held", "try_lock"]

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def try_lock(file: IO[Any]) -> bool:
        """Lock an open file; return False if another process has locked it."""
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def try_lock(file: IO[Any]) -> bool:
        """Lock an open file; return False if another open file of it is locked.

        Raises:
            OSError: The file system has no locks.
        """
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_ATTEMPTS, _PAUSE = 3, 0.02


class AlreadyLockedError(Exception):
    """The lock is held by another process; the argument is that process's text about itself."""


_held: set[IO[Any]] = set()


def _close_in_child() -> None:
    # A forked child has a copy of the open file, and would hold the lock after its parent's death.
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where there is no fork
    os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def hold(path: Path, owner: str) -> Generator[None]:
    """Hold a lock file within this block, and remove it afterwards.

    On a file system without locks, nothing is held.

    Args:
        path: The file, in an existing folder.
        owner: A text about this process, for the error message of other processes.

    Raises:
        AlreadyLockedError: Another process holds the lock.
        OSError: The file cannot be written.
    """
    file = _locked(path)
    _held.add(file)
    try:
        file.truncate(0)
        file.write(owner.encode())
        yield
    finally:
        if not file.closed:
            with suppress(OSError):
                path.unlink()
            file.close()
        _held.discard(file)


def is_held(path: Path) -> bool | None:
    """Return True if a process holds a lock file; None on a file system without locks."""
    # Some network file systems need the right to write, which others may not have.
    mode = "r+b" if os.access(path, os.W_OK) else "rb"
    with suppress(OSError), path.open(mode) as file:
        return not try_lock(file)
    return None if os.access(path, os.F_OK) else False


def _locked(path: Path) -> IO[bytes]:
    attempts = _ATTEMPTS
    while True:
        file = path.open("a+b", buffering=0)
        try:
            is_free = try_lock(file)
        except OSError:  # a file system without locks
            return file
        if not is_free and attempts:  # `is_held` may have tried the lock just now
            attempts -= 1
            file.close()
            time.sleep(_PAUSE)
        elif not is_free:
            with file:
                file.seek(0)
                raise AlreadyLockedError(file.read(200).decode("utf-8", "replace"))
        elif os.fstat(file.fileno()).st_nlink:  # still in the folder: no one removed it in between
            return file
        else:
            file.close()  # the previous holder removed this file just now
