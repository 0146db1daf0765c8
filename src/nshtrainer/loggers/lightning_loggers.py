"""Configs of Lightning's loggers: CSV, TensorBoard, W&B and MLflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, model_validator
from typing_extensions import Self, override

from nshtrainer.constructed import ConstructedConfig
from nshtrainer.loggers.base import LoggerConfigBase, logger_registry
from nshtrainer.types import FrozenDict, Label, NonNegativeInt, PositiveInt

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

__all__ = [
    "CSVLoggerConfig",
    "LightningLoggerConfigBase",
    "MLFlowLoggerConfig",
    "TensorboardLoggerConfig",
    "WandbLoggerConfig",
]


class LightningLoggerConfigBase(ConstructedConfig, LoggerConfigBase):
    """Config of a logger of Lightning, with the arguments of its constructor as fields."""

    save_dir: str | None = None
    """Folder of the logger's files; left out, the folder of the run (`default_root_dir`)."""

    prefix: str = ""
    """Text in front of the name of each metric, joined by `-`."""

    @override
    def create_logger(self, save_dir: str | PathLike[str], /) -> Logger:
        return self.build(save_dir=self.save_dir or fspath(save_dir))


class _VersionedConfig(LightningLoggerConfigBase):
    """Config of a logger that writes to `save_dir/experiment_name/version`."""

    renamed: ClassVar[Mapping[str, str]] = {"experiment_name": "name"}

    experiment_name: str | None = None
    """Folder below `save_dir`, none if empty; left out, `lightning_logs`, or the layout of the
    run's folder under `nshtrainer fit`."""

    version: NonNegativeInt | str | None = None
    """Folder below that, none if empty; a number n is `version_n`. Left out, the next free number,
    or none under `nshtrainer fit`."""

    @override
    def create_logger(self, save_dir: str | PathLike[str], /) -> Logger:
        name = "lightning_logs" if self.experiment_name is None else self.experiment_name
        return self.build(save_dir=self.save_dir or fspath(save_dir), name=name)

    @property
    def is_placed(self) -> bool:
        """True if the config names a place of its files."""
        return (self.save_dir, self.experiment_name, self.version) != (None, None, None)


@logger_registry.register
class CSVLoggerConfig(_VersionedConfig):
    """A table of metrics in a file, `metrics.csv`, with the hyperparameters beside it.

    Under `nshtrainer fit` each run has this table in its folder, whatever its loggers.

    >>> logger = CSVLoggerConfig(version="first").create_logger("runs")
    >>> logger.log_dir
    'runs/lightning_logs/first'
    """

    target = "lightning.pytorch.loggers:CSVLogger"

    name: Literal["csv"] = "csv"

    flush_logs_every_n_steps: PositiveInt = 100
    """Steps between two writes to the file."""


@logger_registry.register
class TensorboardLoggerConfig(_VersionedConfig):
    """Event files for TensorBoard.

    Needs the extra `tensorboard`.

    >>> TensorboardLoggerConfig(version="first").create_logger("runs").log_dir
    'runs/lightning_logs/first'
    """

    target = "lightning.pytorch.loggers:TensorBoardLogger"
    package = "tensorboard"

    name: Literal["tensorboard"] = "tensorboard"

    log_graph: bool = False
    """Log the graph of the model, which needs its `example_input_array`."""

    default_hp_metric: bool = True
    """Log -1 as the metric `hp_metric`, which the tab HPARAMS needs if the module logs none."""

    sub_dir: str | None = None
    """Folder of the event files below the version."""

    max_queue: PositiveInt = 10
    """Entries that wait in memory before they are written."""

    flush_secs: PositiveInt = 120
    """Seconds between two writes to the file."""

    filename_suffix: str = ""
    """Text at the end of the names of the event files."""


@logger_registry.register
class WandbLoggerConfig(LightningLoggerConfigBase):
    """A run of Weights & Biases.

    Needs the extra `wandb`. Under `nshtrainer fit` a resumed run continues the run of W&B.

    >>> WandbLoggerConfig(project="digits", offline=True, tags=("small",)).tags
    ('small',)
    """

    target = "lightning.pytorch.loggers:WandbLogger"
    package = "wandb"
    identity_field: ClassVar[str] = "id"
    renamed: ClassVar[Mapping[str, str]] = {"run_name": "name"}

    name: Literal["wandb"] = "wandb"

    project: Label | None = None
    """Project of the run; left out, the environment variable `WANDB_PROJECT`, or else
    `lightning_logs`."""

    run_name: Label | None = None
    """Name of the run in W&B; left out, W&B makes one up."""

    offline: bool = False
    """Write to disk only; `wandb sync` uploads the run later."""

    id: Label | None = None
    """Identity of the run in W&B; a run with the same identity is continued. Left out, a new
    one."""

    version: Label | None = None
    """Another name of `id`, which it overrides."""

    dir: str | None = None
    """Another name of `save_dir`, which overrides it."""

    anonymous: bool | None = None
    """Log without an account, if there is none."""

    log_model: bool | Literal["all"] = False
    """Upload checkpoints: `true` at the end of the run, `all` as soon as they are saved."""

    checkpoint_name: Label | None = None
    """Name of the artifact with the checkpoints; left out, `model-` and the identity."""

    add_file_policy: Literal["mutable", "immutable"] = "mutable"
    """`mutable` copies a checkpoint before its upload; `immutable` uploads it in place."""

    entity: Label | None = None
    """User or team that the run belongs to; left out, the default of the account."""

    group: Label | None = None
    """Group of runs in W&B, such as the folds of a cross-validation."""

    job_type: Label | None = None
    """Kind of the run in W&B, such as `train`."""

    tags: tuple[Label, ...] | None = None
    """Tags of the run in W&B."""

    notes: str | None = None
    """Description of the run in W&B."""

    @model_validator(mode="after")
    def _uploads_online(self) -> Self:
        if self.offline and self.log_model:
            raise ValueError(
                "log_model uploads checkpoints, which offline forbids; set one of them"
            )
        return self

    @override
    def create_logger(self, save_dir: str | PathLike[str], /) -> Logger:
        return self.build(save_dir=self.save_dir or self.dir or fspath(save_dir))


@logger_registry.register
class MLFlowLoggerConfig(LightningLoggerConfigBase):
    """A run of MLflow.

    Needs the extra `mlflow`. Under `nshtrainer fit` a resumed run continues the run of MLflow.

    >>> MLFlowLoggerConfig(experiment_name="digits", run_name="first").tracking_uri is None
    True
    """

    target = "lightning.pytorch.loggers:MLFlowLogger"
    package = "mlflow"
    identity_field: ClassVar[str] = "run_id"

    name: Literal["mlflow"] = "mlflow"

    experiment_name: Label = "lightning_logs"
    """Experiment of the run; created if it does not exist."""

    run_name: Label | None = None
    """Name of the run in MLflow; left out, MLflow makes one up."""

    tracking_uri: Label | None = None
    """Address of the server or the database; left out, the environment variable
    `MLFLOW_TRACKING_URI`, or else the SQLite database `mlflow.db` in `save_dir`."""

    tags: Annotated[Mapping[Label, str], AfterValidator(FrozenDict)] | None = None
    """Tags of the run in MLflow."""

    log_model: bool | Literal["all"] = False
    """Upload checkpoints: `true` at the end of the run, `all` as soon as they are saved."""

    artifact_location: Label | None = None
    """Address for the files of a new experiment; left out, the server's choice, or `mlartifacts`
    beside the database in `save_dir`."""

    run_id: Label | None = None
    """Identity of a run in MLflow to continue; left out, a new run."""

    synchronous: bool | None = None
    """Wait for the server at each entry; left out, MLflow's choice."""

    @override
    def create_logger(self, save_dir: str | PathLike[str], /) -> Logger:
        folder = self.save_dir or fspath(save_dir)
        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        where: dict[str, Any] = {"save_dir": folder, "tracking_uri": uri}
        if not uri:
            # Lightning's choice, a folder of files, is refused by current releases of MLflow.
            database = Path(folder).absolute() / "mlflow.db"
            artifacts = self.artifact_location or str(database.with_name("mlartifacts"))
            where |= {"tracking_uri": f"sqlite:///{database}", "artifact_location": artifacts}
        return self.build(**where)
