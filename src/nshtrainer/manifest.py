"""Manifest of a run's folder: what ran, with which code and versions, and how it ended.

`manifest.json` has an entry for each stretch of the run: the first, and one for each resume.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ValidationError
from typing_extensions import Self

from nshtrainer.config.document import fail
from nshtrainer.config.files import kind_of, read_file, set_aside, write_file
from nshtrainer.config.formats.json import write_json
from nshtrainer.config.messages import truncate
from nshtrainer.console import say
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError

__all__ = [
    "LOCK",
    "NAME",
    "GitState",
    "Manifest",
    "Outcome",
    "RunRecord",
    "Stretch",
    "config_hash",
    "git_state",
    "lock_owner",
    "relative_path",
]

NAME = "manifest.json"
"""The name of the file."""

LOCK = ".lock"
"""The file that a process holds a lock on while it trains."""

Outcome: TypeAlias = Literal["running", "completed", "interrupted", "failed"]
Data: TypeAlias = Mapping[str, Any]

_LARGEST = 20_000_000
_GIT_SECONDS = 5.0
_PACKAGES = (
    "nshtrainer",
    "torch",
    "lightning",
    "pydantic",
    "numpy",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "torchvision",
    "torchao",
    "bitsandbytes",
    "pytorch_optimizer",
    "schedulefree",
)
"""Packages whose version is recorded if the run has imported them."""


class GitState(BaseModel, frozen=True, extra="allow"):
    """The state of a repository.

    Args:
        commit: The hash of the commit.
        is_dirty: True if a tracked file differs from the commit, or the code is not tracked.
    """

    commit: str
    is_dirty: bool


class Stretch(BaseModel, frozen=True, extra="allow"):
    """One stretch of a run: from its start, or from a resume, to its end."""

    command: tuple[str, ...] = ()
    """The command line of the process."""

    config_file: str | None = None
    """The run file, relative to the folder that the command ran in."""

    code: str | None = None
    """The file and the class of the module, such as `train.py:MyModel`, also relative."""

    config: str = ""
    """The hash of the resolved config, which is under `configs`."""

    git: GitState | None = None
    """The state of the repository of the code; None without git or a repository."""

    versions: dict[str, str] = {}
    """Versions of Python and of packages."""

    devices: dict[str, Any] = {}
    """The devices that trained."""

    host: str = ""
    """The name of the machine."""

    process: int = 0
    """The number of the process."""

    seed: int | None = None
    """The seed of all generators."""

    lengths: dict[str, Any] = {}
    """The length of the run, as far as it is known."""

    checkpoint: str | None = None
    """The checkpoint that the stretch resumed from; only `nshtrainer fit` knows its path."""

    started: AwareDatetime
    """Time of the start, in UTC."""

    ended: AwareDatetime | None = None
    """Time of the end; None while it runs, and for a process that was killed."""

    outcome: Outcome = "running"
    """The end of the stretch, or `running`."""

    error: str | None = None
    """The class and the text of the error that ended it."""

    first_step: int = 0
    """The optimizer steps before this stretch."""

    steps: int = 0
    """The optimizer steps at its last checkpoint or its end."""

    metrics: dict[str, float | None] = {}
    """The last values of the metrics; None for one that is NaN or Inf."""

    best: dict[str, float | None] = {}
    """The best value of each metric that a checkpoint or early stopping monitors."""

    @classmethod
    def now(cls, **facts: Any) -> Self:
        """Return a stretch of this process that starts now.

        Args:
            **facts: The other fields.
        """
        return cls(
            command=tuple(map(printable, sys.orig_argv)),
            versions=_versions(),
            host=socket.gethostname(),
            process=os.getpid(),
            started=_time(),
            **facts,
        )


class Manifest(BaseModel, frozen=True, extra="allow"):
    """The content of the file."""

    version: Literal[1] = 1
    """The version of the format."""

    stretches: tuple[Stretch, ...]
    """The stretches, in order; at least one."""

    configs: dict[str, dict[str, Any]] = {}
    """The resolved configs by their hash."""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the manifest of a folder; None if it has none.

        Raises:
            ConfigError: The file cannot be read, or is no manifest.
        """
        path = folder / NAME
        if kind_of(path) is None:
            return None
        try:
            found = cls.model_validate(json.loads(read_file(path, _LARGEST)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            fail(
                str(path), truncate(f"is no manifest of a run: {where}: {first['msg']}", 200), error
            )
        except (json.JSONDecodeError, RecursionError) as error:
            fail(str(path), f"is damaged: {truncate(str(error))}", error)
        if not found.stretches:
            fail(str(path), "is no manifest of a run: it has no stretches")
        return found

    @property
    def last(self) -> Stretch:
        """The last stretch."""
        return self.stretches[-1]

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config of the last stretch."""
        return self.configs.get(self.last.config, {})


class RunRecord:
    """The manifest of a running run.

    Args:
        folder: The folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._folder = folder
        self._manifest: Manifest | None = None

    def begin(self, stretch: Stretch, config: Data) -> None:
        """Add a stretch; an existing file that is damaged is renamed, and a line is printed.

        Raises:
            ConfigError: The file cannot be written.
        """
        before: Manifest | None = None
        try:
            before = Manifest.read(self._folder)
        except ConfigError as error:
            say(f"{error}; it is renamed to {set_aside(self._path).name}")
        before = before or Manifest(stretches=())
        self._manifest = before.model_copy(update={"stretches": (*before.stretches, stretch)})
        self.update(config)

    def update(self, config: Data | None = None, **changes: Any) -> None:
        """Change fields of the last stretch, and its config.

        Raises:
            ConfigError: The file cannot be written.
        """
        assert self._manifest is not None
        *earlier, last = self._manifest.stretches
        configs = self._manifest.configs
        if config is not None:
            changes["config"] = config_hash(config)
            used = {each.config for each in earlier}
            kept = {key: value for key, value in configs.items() if key in used}
            configs = {**kept, changes["config"]: dict(config)}
        stretches = (*earlier, last.model_copy(update=changes))
        update = {"stretches": stretches, "configs": configs}
        self._manifest = self._manifest.model_copy(update=update)
        write_file(self._path, write_json(self._manifest.model_dump(mode="json")))

    def end(self, outcome: Outcome, error: str | None = None, **changes: Any) -> None:
        """Record how the stretch ended.

        Raises:
            ConfigError: The file cannot be written.
        """
        self.update(outcome=outcome, error=error, ended=_time(), **changes)


# -- facts -----------------------------------------------------------------------------------------


def config_hash(config: Data) -> str:
    """Return the SHA-256 of a config, which does not depend on the order of keys.

    >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    True
    """
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def git_state(code: Path | None) -> GitState | None:
    """Return the commit that is checked out; None without git or a commit.

    Files that git does not track are left out, such as results of runs; the code is not.

    Args:
        code: The file of the code; None for the current folder.
    """
    folder = Path.cwd() if code is None else code.absolute().parent
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    head, *lines = (status or "").splitlines() or [""]
    commit = head.removeprefix("# branch.oid ")
    if commit in {head, "(initial)"}:
        return None
    is_tracked = code is None or _git(folder, "ls-files", "--error-unmatch", "--", code.name)
    is_changed = any(not line.startswith("#") for line in lines)
    return GitState(commit=commit, is_dirty=is_changed or not is_tracked)


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of git; None if it fails."""
    # Without a lock on the index, which another git may want, and programs that its config names.
    command = ["git", "--no-optional-locks", "-C", str(folder), "-c", "core.fsmonitor=false"]
    command += arguments
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=True)  # noqa: S603 - fixed
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def lock_owner() -> str:
    """Return the text about this process that a lock file contains."""
    return f"{os.getpid()} on {socket.gethostname()}"


def relative_path(path: Path) -> str:
    """Return a path relative to the current folder, links followed.

    Runs are known by this path, which stays the same if a whole project is moved.
    """
    return printable(Path(os.path.relpath(path.resolve(), Path.cwd().resolve())).as_posix())


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        version: Any = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found


def _time() -> datetime:
    now = datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
