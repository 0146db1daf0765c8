"""Config files: read with care, written whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from nshtrainer.exceptions import ConfigError
from nshtrainer.text.documents import fail, limits

__all__ = ["FORMATS", "FilePath", "format_of", "read_file", "replace_file", "write_file"]

FilePath: TypeAlias = "str | os.PathLike[str]"

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
"""The format of a file, by its suffix."""


def format_of(path: FilePath) -> str:
    """The format of a file, by its suffix, `"yaml"`, `"json"` or `"toml"`.

    >>> format_of("run.yml")
    'yaml'

    Raises:
        ConfigError: Another suffix, or a folder.
    """
    if Path(path).is_dir():
        fail(str(path), "is a folder; give the path of a file")
    suffix = Path(path).suffix
    if suffix.lower() not in FORMATS:
        fail(str(path), f"has the suffix {suffix!r}; name it .yaml, .yml, .json or .toml")
    return FORMATS[suffix.lower()]


def read_file(path: FilePath, most: int | None = None) -> str:
    """The text of a file; its kind and its size are looked at before it is opened.

    Args:
        path: The file.
        most: The most bytes that it may have, if that is not what holds for every file.

    Raises:
        ConfigError: There is no such file, it is a folder or a device, it is too long, it is not
            UTF-8, or the system refuses.
    """
    name, most = os.fspath(path), most or limits().bytes
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):
            fail(name, "is not a regular file; save it to one")
        _check_size(name, status.st_size, most)
        with Path(name).open("rb") as stream:
            content = stream.read(most + 1)
        _check_size(name, len(content), most)  # some files of the system say that they are empty
    except ConfigError:
        raise
    except FileNotFoundError as error:
        fail(name, f"no such file; the current folder is {Path.cwd()}", error)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        fail(name, f"cannot be read: {_reason(error)}", error)
    return _decoded(content, name)


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        text = f"{size / 1000:,.0f} kB, more than {most // 1000:,}"
        fail(name, f"has {text}, which is no config; give a YAML, JSON or TOML file")


def _decoded(content: bytes, name: str) -> str:
    if b"\0" in content[:4096]:
        fail(name, "is a binary file, not text; give a YAML, JSON or TOML file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is 0x{content[error.start]:02x}"
        fail(name, f"is not UTF-8 text ({byte}); save it as UTF-8", error)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def write_file(path: FilePath, content: str | bytes) -> None:
    """Writes a file in one step: at any moment the old content is there, or all of the new.

    Links are followed, and the mode of an existing file is kept.

    Raises:
        ConfigError: The folder is not there, or the system refuses.
    """
    name = os.fspath(path)
    try:
        replace_file(
            Path(os.path.realpath(name)), content.encode() if isinstance(content, str) else content
        )
    except (OSError, ValueError) as error:
        fail(name, f"cannot be written: {_reason(error)}", error)


def replace_file(target: Path, content: bytes | memoryview) -> None:
    """Put a file in the place of another in one step; what is beside it until then is hidden.

    Raises:
        OSError: The system refuses; what was there is as it was.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        _write(temporary, target, content)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _write(temporary: Path, target: Path, content: bytes | memoryview) -> None:
    with temporary.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    if target.exists():
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)
