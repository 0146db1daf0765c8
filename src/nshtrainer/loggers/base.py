"""Base class, registry and field types of logger configs."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import Discriminator, Field, Tag

from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry

if TYPE_CHECKING:
    from os import PathLike

    from lightning.pytorch.loggers import Logger

__all__ = ["LoggerConfig", "LoggerConfigBase", "LoggerField", "logger_registry"]


class LoggerConfigBase(NamedConfig):
    """Base of every logger config: derive from it to add a custom logger.

    Write `create_logger`, and register the class. A logger of another package may be created as
    well, if it derives from Lightning's `Logger`.

    >>> from typing import Literal
    >>> from lightning.pytorch.loggers import CSVLogger
    >>> with logger_registry.scoped():
    ...     @logger_registry.register
    ...     class MyLoggerConfig(LoggerConfigBase):
    ...         name: Literal["my_logger"] = "my_logger"
    ...         def create_logger(self, save_dir):
    ...             return CSVLogger(save_dir, name="mine")
    >>> MyLoggerConfig().create_logger("runs").name
    'mine'
    """

    identity_field: ClassVar[str] = ""
    """Field for the identity of a run at a service, which `nshtrainer fit --resume` fills in with
    the logger's `version`; empty if there is none."""

    @abstractmethod
    def create_logger(self, save_dir: "str | PathLike[str]", /) -> "Logger":
        """Create the logger; a logger of Lightning starts a run with its first entry.

        Args:
            save_dir: Folder for files of the logger, if the config has no other: the trainer's
                `default_root_dir`, which is the folder of the run under `nshtrainer fit`.
        """


logger_registry: Registry[LoggerConfigBase] = Registry(
    LoggerConfigBase,
    kind="logger",
    entry_point_group="nshtrainer.loggers",
    modules=("nshtrainer.loggers.lightning_loggers",),
)
"""All logger configs, by name."""

LoggerConfig: TypeAlias = Annotated[LoggerConfigBase, logger_registry]
"""Type of a field that holds any registered logger config."""


def _form(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "switch"
    return "several" if isinstance(value, (list, tuple)) else "one"


LoggerField: TypeAlias = Annotated[
    Annotated[bool | None, Tag("switch")]
    | Annotated[LoggerConfig, Tag("one")]
    | Annotated[tuple[LoggerConfig, ...], Field(min_length=1), Tag("several")],
    Discriminator(_form),
]
"""Type of the field for the loggers of a run: true, false, a logger, or several."""
