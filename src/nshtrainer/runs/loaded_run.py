"""A run file with its code, as Python objects: the config, and the parts that it describes."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nshtrainer.config.document import fail
from nshtrainer.config.files import kind_of, read_file
from nshtrainer.config.io import read_document, read_mapping
from nshtrainer.config.validation import plain_containers
from nshtrainer.integrations.hyperparameters import plain
from nshtrainer.manifest import Manifest
from nshtrainer.project.run_file import RunConfig, read_run
from nshtrainer.project.user_code import UserCode, code_of_class, load_user_code
from nshtrainer.runs.run_dir import run_name
from nshtrainer.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

    from nshtrainer.integrations.lightning.module import LightningModuleBase
    from nshtrainer.integrations.lightning.trainer import Trainer

__all__ = ["Code", "ConfigSource", "Run", "check_order", "load_run"]

Code: TypeAlias = "str | Path | type[LightningModuleBase[Any]]"
"""The user's code: `train.py`, `train.py:Name`, or the class of the module."""

ConfigSource: TypeAlias = "str | Path | Mapping[str, Any] | RunConfig | Run"
"""A run file, the folder of a run, a mapping with the sections of a run file, or a loaded run."""

_RECORDED = re.compile(r"^# .*: nshtrainer schema --for (.*) -o FILE$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A validated run file and the code that it is for.

    Args:
        code: The classes of the module and of the datamodule.
        config: The sections `model`, `data` and `trainer`, overrides and defaults included.
        source: The run file; for other sources, a file name that is used to name results.
    """

    code: UserCode
    config: RunConfig
    source: Path

    def trainer(self, **arguments: Any) -> Trainer:
        """Build the trainer, and set its seed: call it before `module`.

        Args:
            **arguments: Arguments of Lightning's Trainer that override the file, such as
                `callbacks` and `logger`.

        Raises:
            ConfigError: Lightning refuses the options.
        """
        from nshtrainer.analysis.dry_run import build_trainer

        return build_trainer(self.config.trainer, **arguments)

    def module(self) -> LightningModuleBase[Any]:
        """Build the module."""
        return self.code.module(self.config.model)

    def data(self) -> LightningDataModule | None:
        """Build the datamodule; None if the module has its own data loaders."""
        return self.code.data.build(self.config.data) if self.code.data else None


def load_run(
    config: ConfigSource,
    code: Code | None = None,
    *,
    data: type[LightningDataModule] | None = None,
    overrides: Iterable[str] = (),
) -> Run:
    """Read a run file for its code, as `nshtrainer fit` does.

    Args:
        config: A run file, the folder of a run, or a mapping with the sections of a run file.
        code: The file with the module, `train.py:Name`, or the module's class. The default is the
            code that the folder of a run records, or `train.py` beside the run file; it is
            imported, so name the code of a run from an untrusted source.
        data: The datamodule's class; by default, the only one beside the module.
        overrides: Values that replace the file's, such as `"optimizer.lr=3e-4"`.

    Raises:
        ConfigError: The config is not valid for the code, or there is no such file.

    Examples:
        run = nshtrainer.load_run("run.yaml", overrides=["optimizer.lr=3e-4"])
        trainer = run.trainer(logger=False)
        trainer.fit(run.module(), datamodule=run.data())
    """
    texts = [overrides] if isinstance(overrides, str) else list(overrides)
    if isinstance(config, (str, Path)):
        check_order(config, "the run file comes first: load_run('run.yaml', 'train.py')")
        file, source = _located(Path(config))
        document = read_document(file)
        found = _load_code(code or _code_of(file, is_record=file != Path(config)), data)
        return Run(found, read_run(document, found, texts), source)
    if isinstance(config, Run):
        new = code is not None or data is not None
        found = _load_code(code or config.code.module, data) if new else config.code
        return _validated(config.config, found, texts, config.source)
    if code is None:
        fail("", "a config without a file needs its code; pass code='train.py', or the class")
    found = _load_code(code, data)
    return _validated(config, found, texts, Path(f"{found.name}.yaml"))


def check_order(config: Any, remedy: str) -> None:
    """Refuse the file of the code in place of the run file.

    Raises:
        ConfigError: It is Python code.
    """
    if isinstance(config, (str, Path)) and Path(config).suffix.partition(":")[0] == ".py":
        fail(str(config), f"is Python code; {remedy}")


def _located(path: Path) -> tuple[Path, Path]:
    """Return the file to read, and the one that names results."""
    if kind_of(path) != "folder":
        return path, path
    return path / "config.yaml", Path(f"{run_name(path)}.yaml")


def _load_code(code: Code, data: type[LightningDataModule] | None) -> UserCode:
    if isinstance(code, (str, Path)):
        return load_user_code(str(code), data)
    if not isinstance(cast("Any", code), type):
        name = type(code).__name__
        fail(name, f"is given as an object; give the class {name}, or 'train.py'")
    return code_of_class(code, data)


def _validated(
    config: Mapping[str, Any] | RunConfig, code: UserCode, overrides: Sequence[str], source: Path
) -> Run:
    for section, cls in (("trainer", TrainerConfig), ("model", code.module.hparams_cls())):
        if isinstance(config, cls) and not hasattr(config, "trainer"):  # of `Config` alone, all are
            problem = "is one section of a config"
            fail(type(config).__name__, f'{problem}; give {{"{section}": config}}')
    given: dict[str, Any] = dict(plain_containers(config))
    # The classes of a loaded config are others than those of a file that is imported again.
    sections = plain(given) if overrides or isinstance(config, RunConfig) else given
    if not overrides and isinstance(given.get("model"), code.module.hparams_cls()):
        sections["model"] = given["model"]  # which plain data may not describe completely
    document = read_mapping(sections)
    return Run(code, read_run(document, code, overrides), source)


def _recorded_code(file: Path) -> str | None:
    """Return the `train.py:Name` of a run's manifest, or the file that its config names."""
    manifest = Manifest.read(file.parent)
    code = None if manifest is None else manifest.last.code
    if code is not None and ".py:" in code:
        return code
    found = _RECORDED.search(read_file(file))
    return None if found is None else shlex.split(found[1])[0]


def _code_of(file: Path, *, is_record: bool) -> str:
    """Return the code of a run file: as the folder of a run records it, or `train.py` beside it.

    Raises:
        ConfigError: The code is unknown.
    """
    recorded = _recorded_code(file) if is_record else None
    if recorded is not None:
        program: str | None = getattr(sys.modules["__main__"], "__file__", None)
        path = Path(recorded.rpartition(":")[0] if ".py:" in recorded else recorded)
        if program and path.resolve() == Path(program).resolve():
            fail(
                str(file), "its code is the running program, which would run again; pass the class"
            )
        return recorded
    beside = file.with_name("train.py")
    if kind_of(beside) != "file":
        fail(str(file), f"its code is unknown: there is no {beside}; pass code='train.py'")
    return str(beside)
