"""Config files: checked before they are read, and written atomically."""

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
    "set_aside",
    "write_file",
]

FilePath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"

_LONGEST_START = 100
"""Bytes; most file systems accept names of 255 bytes, some of 143."""

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
"""Formats of files by suffix."""

_NO_FILE = "is not a regular file; give the path of one"


def format_of(path: FilePath) -> str:
    """Return the format of a file by its suffix: `"yaml"`, `"json"` or `"toml"`.

    >>> format_of("run.yml")
    'yaml'

    Raises:
        ConfigError: The suffix is unknown, or the path is a folder.
    """
    name = os.fsdecode(path)
    if kind_of(name) == "folder":
        fail(name, "is a folder; give the path of a file")
    suffix = Path(name).suffix
    if suffix.partition(":")[0] == ".py":
        fail(name, "is Python code; give the config, a .yaml, .yml, .json or .toml file")
    if suffix.lower() not in FORMATS:
        fail(name, f"has the suffix {suffix!r}; name it .yaml, .yml, .json or .toml")
    return FORMATS[suffix.lower()]


def kind_of(path: FilePath) -> Literal["file", "folder", "other"] | None:
    """Return the kind of a path, links followed; None if it does not exist or cannot be examined.

    Unlike the methods of `Path`, this does not raise if a folder is locked or a name is too long.

    >>> kind_of("."), kind_of("x" * 1000)
    ('folder', None)
    """
    try:
        mode = Path(os.fsdecode(path)).stat().st_mode
    except (OSError, ValueError):
        return None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def read_file(path: FilePath, most: int | None = None) -> str:
    """Return the text of a file; its kind and its size are checked before it is opened.

    Args:
        path: The file.
        most: The most bytes that the file may have, if not the usual limit.

    Raises:
        ConfigError: The file does not exist, is a folder or a device, is too long, is not UTF-8,
            or the system refuses to read it.
    """
    name, most = os.fsdecode(path), most or limits().bytes
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):
            fail(name, _NO_FILE)
        _check_size(name, status.st_size, most)
        content = _content(name, most)
        _check_size(name, len(content), most)  # files of /proc report a size of 0
    except ConfigError:
        raise
    except FileNotFoundError as error:
        fail(name, f"no such file; the current folder is {_current_folder()}", error)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        fail(name, f"cannot be read: {reason_of(error)}", error)
    return _decoded(content, name)


def _content(name: str, most: int) -> bytes:
    # Without O_NONBLOCK, opening a pipe that has taken the file's place would wait for a writer.
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
    """Return the system's reason for an error, as the end of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def write_file(path: FilePath, content: str | bytes) -> None:
    """Write a file atomically: a reader sees the old content or all of the new one.

    Links are followed, and the mode of an existing file is kept.

    Raises:
        ConfigError: The folder does not exist, a device or a pipe is at the path (root would
            replace `/dev/null` with a file), or the system refuses.
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
    """Return the file at the end of a chain of links."""
    target = Path(os.path.realpath(name))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def replace_file(target: Path, content: bytes | memoryview) -> None:
    """Replace a file atomically, by way of a hidden temporary file beside it.

    Threads and processes may call this at the same time: the last one wins.

    Raises:
        OSError: The system refuses; the old file is unchanged.
    """
    temporary, stream = _new_beside(target)
    try:
        with stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            with suppress(OSError):  # there is no old file, or a link that leads to itself
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            if sys.platform == "win32":  # pragma: no cover - an open file cannot be renamed there
                stream.close()
            temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


def set_aside(path: Path) -> Path:
    """Rename a file or a folder to the first free name of `<name>.old`, `<name>.old2`, ...

    Raises:
        OSError: The system refuses.
    """
    names = (path.with_name(f"{path.name}.old{number or ''}") for number in (0, *range(2, 10**6)))
    free = next(name for name in names if not os.path.lexists(name))
    return path.rename(free)


def remove_left_over(target: Path) -> None:
    """Remove the temporary files of killed processes; live processes hold locks on theirs."""
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
    """Create and lock a hidden file with a unique name beside another."""
    while True:
        path = target.with_name(f"{_hidden(target)}.{os.urandom(8).hex()}.tmp")
        stream = path.open("xb")
        is_ours = True
        with suppress(OSError):  # without locks, `remove_left_over` removes nothing either
            is_ours = try_lock(stream)
        if is_ours and os.fstat(stream.fileno()).st_nlink:
            return path, stream
        stream.close()  # another process took it for a left-over, before it was locked


def _hidden(target: Path) -> str:
    """Return the start of the names of temporary files: the file's own name, cut if it is long."""
    start = os.fsencode(target.name)[:_LONGEST_START].decode(errors="ignore")
    return f".{start}"
