"""Run file: its sections `model`, `data` and `trainer` as one config class.

The class is built for the user's code; reading, overrides and errors are inherited from `Config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError, create_model

from nshtrainer.config import Config
from nshtrainer.config.io import load
from nshtrainer.config.overrides import with_default_prefix
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler.base import LRSchedulerConfig
from nshtrainer.optimizer.base import OptimizerConfig
from nshtrainer.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nshtrainer.config.document import Document
    from nshtrainer.project.user_code import UserCode

__all__ = ["IN_TRAINER", "PARTS", "AnyRunConfig", "RunConfig", "read_run", "run_config_for"]

PARTS = ("model", "data", "trainer")

IN_TRAINER = {"trainer": TrainerConfig.model_fields}
"""The keys of the section whose name an override does not leave out."""

_TRAINER = "Options of the trainer."


class RunConfig(Config):
    """Base of the config classes of run files; `run_config_for` builds one for the user's code."""

    if TYPE_CHECKING:
        model: Any
        data: Any
        trainer: TrainerConfig


class AnyModel(Config):
    """Hyperparameters of an unknown module: only the usual names are typed."""

    model_config = ConfigDict(extra="allow")

    optimizer: OptimizerConfig | None = None
    """The optimizer."""

    lr_scheduler: LRSchedulerConfig | None = None
    """The schedule of the learning rate."""


class AnyData(Config):
    """Arguments of an unknown datamodule."""

    model_config = ConfigDict(extra="allow")


class AnyRunConfig(Config):
    """A run file without the user's code."""

    model: AnyModel = AnyModel()
    """Hyperparameters of the module."""

    data: AnyData = AnyData()
    """Arguments of the datamodule."""

    trainer: TrainerConfig = TrainerConfig()
    """Options of the trainer."""


def run_config_for(code: UserCode) -> type[RunConfig]:
    """Return the config class for run files of a module and its datamodule."""
    hparams = code.module.hparams_cls()
    fields: dict[str, Any] = {
        "model": (hparams, _default(hparams, f"Hyperparameters of {code.module.__name__}."))
    }
    if code.data is not None:
        data = code.data.config_cls
        text = f"Arguments of {code.data.cls.__name__}."
        fields["data"] = (data, _default(data, text))
    fields["trainer"] = (TrainerConfig, Field(default=TrainerConfig(), description=_TRAINER))
    return create_model("RunConfig", __base__=RunConfig, **fields)


def _default(cls: type[Config], text: str) -> Any:
    """Return the default of a section: optional if its class has defaults for all fields."""
    try:
        return Field(default=cls(), description=text)
    except ValidationError:
        return Field(description=text)


def read_run(document: Document, code: UserCode, overrides: Iterable[str] = ()) -> RunConfig:
    """Validate a file for this code, with overrides.

    Args:
        document: The parsed file.
        code: The user's module and datamodule.
        overrides: `model.optimizer.lr=1e-3`, or without `model.` where the first key is a field of
            the module's hyperparameters.

    Raises:
        ConfigError: The file or an override is invalid; the message has the place.
    """
    cls = run_config_for(code)
    hparams = code.module.hparams_cls()
    inside: list[str] | None = None
    if hparams.model_config.get("extra") != "allow":
        fields = hparams.model_fields
        inside = [*fields, *(field.alias for field in fields.values() if field.alias)]
    texts = [
        with_default_prefix(text, cls.model_fields, inside, others=IN_TRAINER) for text in overrides
    ]
    try:
        return load(cls, document, texts, plugins=True)
    except ConfigError as error:
        if ": unknown optimizer " in str(error) or ": unknown lr_scheduler " in str(error):
            note = f"to use a component of your own, import its module in {code.path or code.name}"
            raise ConfigError(f"{error}\n({printable(note)})") from error
        raise
