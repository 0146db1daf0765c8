"""Config files: read with care, written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from nshtrainer.config.document import BINARY, fail, limits
from nshtrainer.config.file_lock import try_lock
from nshtrainer.exceptions import ConfigError

__all__ = [
    "FORMATS",
    "FilePath",
    "format_of",
    "is_zip",
    "kind_of",
    "read_file",
    "reason_of",
    "remove_left_over",
    "replace_file",
    "write_file",
]

FilePath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"

_LONGEST_START = 100
"""Bytes; a file system takes names of 255, some of 143."""

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
"""The format of a file, by its suffix."""

_NO_FILE = "is not a regular file; give the path of one"


def format_of(path: FilePath) -> str:
    """The format of a file, by its suffix, `"yaml"`, `"json"` or `"toml"`.

    >>> format_of("run.yml")
    'yaml'

    Raises:
        ConfigError: Another suffix, or a folder.
    """
    name = os.fsdecode(path)
    if kind_of(name) == "folder":
        fail(name, "is a folder; give the path of a file")
    suffix = Path(name).suffix
    if suffix.lower() not in FORMATS:
        fail(name, f"has the suffix {suffix!r}; name it .yaml, .yml, .json or .toml")
    return FORMATS[suffix.lower()]


def kind_of(path: FilePath) -> Literal["file", "folder", "other"] | None:
    """Return what is at a path, links followed; None if nothing is, or the system does not tell.

    The methods of `Path` raise where a folder is locked or a name is too long.

    >>> kind_of("."), kind_of("x" * 1000)
    ('folder', None)
    """
    try:
        mode = Path(os.fsdecode(path)).stat().st_mode
    except (OSError, ValueError):
        return None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def read_file(path: FilePath, most: int | None = None) -> str:
    """The text of a file; its kind and its size are looked at before it is opened.

    Args:
        path: The file.
        most: The most bytes that it may have, if that is not what holds for every file.

    Raises:
        ConfigError: There is no such file, it is a folder or a device, it is too long, it is not
            UTF-8, or the system refuses.
    """
    name, most = os.fsdecode(path), most or limits().bytes
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):
            fail(name, _NO_FILE)
        _check_size(name, status.st_size, most)
        content = _content(name, most)
        _check_size(name, len(content), most)  # some files of the system say that they are empty
    except ConfigError:
        raise
    except FileNotFoundError as error:
        fail(name, f"no such file; the current folder is {_current_folder()}", error)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        fail(name, f"cannot be read: {reason_of(error)}", error)
    return _decoded(content, name)


def _content(name: str, most: int) -> bytes:
    # Some files of the system call themselves regular, and wait for what is not there yet.
    def open_without_waiting(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    with open(name, "rb", opener=open_without_waiting) as stream:
        content: Any = stream.read(most + 1)
    if content is None:
        fail(name, "is not a regular file, there is nothing to read yet; give the path of one")
    return content


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "gone"


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        text = f"{size / 1000:,.0f} kB, more than {most // 1000:,}"
        fail(name, f"has {text}, which is no config; give a YAML, JSON or TOML file")


def _decoded(content: bytes, name: str) -> str:
    if b"\0" in content[:4096]:
        fail(name, BINARY)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is 0x{content[error.start]:02x}"
        fail(name, f"is not UTF-8 text ({byte}); save it as UTF-8", error)


def reason_of(error: Exception) -> str:
    """Return why the system refuses, as the end of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def write_file(path: FilePath, content: str | bytes) -> None:
    """Writes a file in one step: at any moment the old content is there, or all of the new.

    Links are followed, and the mode of an existing file is kept.

    Raises:
        ConfigError: The folder is not there, a device or a pipe is in the place of the file (root
            would put a file where `/dev/null` was), or the system refuses.
    """
    name = os.fsdecode(path)
    if kind_of(name) == "other":
        fail(name, _NO_FILE)
    try:
        target = _target_of(name)
        replace_file(target, content.encode() if isinstance(content, str) else content)
    except (OSError, ValueError) as error:
        fail(name, f"cannot be written: {reason_of(error)}", error)


def _target_of(name: str) -> Path:
    """Return the file that links lead to."""
    target = Path(os.path.realpath(name))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def replace_file(target: Path, content: bytes | memoryview) -> None:
    """Put a file in the place of another in one step; what is beside it until then is hidden.

    Any number of threads and processes may do so at once: the last one wins.

    Raises:
        OSError: The system refuses; what was there is as it was.
    """
    temporary, stream = _new_beside(target)
    try:
        with stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            with suppress(OSError):  # there is none, or a link that leads to itself
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            if sys.platform == "win32":  # pragma: no cover - an open file cannot be renamed there
                stream.close()
            temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_left_over(target: Path) -> None:
    """Remove what processes that were killed left beside a file; that of living ones is locked."""
    for path in target.parent.glob(f"{escape(_hidden(target))}.*.tmp"):
        with suppress(OSError), path.open("r+b") as stream:
            if try_lock(stream):
                path.unlink()


def is_zip(path: FilePath) -> bool:
    """Return True for a zip file, also for a damaged one."""
    from zipfile import BadZipFile, is_zipfile

    try:
        return is_zipfile(path)
    except BadZipFile:
        return True


def _new_beside(target: Path) -> tuple[Path, BinaryIO]:
    """Create a hidden file beside another, under a name of its own, and lock it."""
    while True:
        path = target.with_name(f"{_hidden(target)}.{os.urandom(8).hex()}.tmp")
        stream = path.open("xb")
        is_ours = True
        with suppress(OSError):  # a file system without locks, where nothing is removed either
            is_ours = try_lock(stream)
        if is_ours and os.fstat(stream.fileno()).st_nlink:
            return path, stream
        stream.close()  # it is removed as a left-over, or was, before it was locked


def _hidden(target: Path) -> str:
    """Return how the names of hidden files begin: the name of a file, if it is not too long."""
    start = os.fsencode(target.name)[:_LONGEST_START].decode(errors="ignore")
    return f".{start}"
