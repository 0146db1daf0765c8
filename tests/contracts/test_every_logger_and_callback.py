"""Laws of the configs of loggers and callbacks: their fields are the constructor's arguments."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from pydantic_core import PydanticUndefined

from nshtrainer.callbacks import LightningCallbackConfigBase, callback_registry
from nshtrainer.constructed import ConstructedConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.loggers import LightningLoggerConfigBase, logger_registry
from nshtrainer.loggers import lightning_loggers as loggers
from nshtrainer.types import FrozenDict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOGGERS = [cls for cls in logger_registry.values() if issubclass(cls, LightningLoggerConfigBase)]
OWN = {"NormLoggingCallbackConfig", "UnfreezeCallbackConfig"}
"""Callbacks that are not derived from one of Lightning's."""

CALLBACKS = [
    cls
    for cls in callback_registry.values()
    if issubclass(cls, LightningCallbackConfigBase) and cls.__name__ not in OWN
]
every_config = pytest.mark.parametrize("cls", [*LOGGERS, *CALLBACKS], ids=lambda cls: cls.__name__)

LEFT_OUT = {
    "WandbLogger.experiment": "a run that is started already",
    "BackboneFinetuning.lambda_func": "a function",
    "RichProgressBar.theme": "an object of styles",
    "RichProgressBar.console_kwargs": "files and other objects",
}
"""Arguments without a field, and what they are."""

RUNS_FOLDER = "the folder of the run"
OTHER_DEFAULTS = {
    "CSVLogger.save_dir": RUNS_FOLDER,
    "CSVLogger.name": RUNS_FOLDER,
    "TensorBoardLogger.save_dir": RUNS_FOLDER,
    "TensorBoardLogger.name": RUNS_FOLDER,
    "WandbLogger.save_dir": RUNS_FOLDER,
    "MLFlowLogger.save_dir": RUNS_FOLDER,
    "EarlyStopping.monitor": "the primary metric",
    "EarlyStopping.mode": "the mode of the primary metric",
}
"""Arguments whose field is None by default, and what that stands for."""

PASSED_ON = {
    "TensorBoardLogger": "torch.utils.tensorboard:SummaryWriter",
    "WandbLogger": "wandb:init",
}
"""What gets the arguments that a constructor does not name."""


def found(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def lightnings(cls: type[ConstructedConfig]) -> Any:
    """Lightning's class: the target, or the class that it is derived from."""
    return next(each for each in found(cls.target).__mro__ if "lightning." in each.__module__[:10])


def fields_of(cls: type[ConstructedConfig]) -> dict[str, Any]:
    """The default of each field, by the argument that it is given as."""
    fields = {key: field for key, field in cls.model_fields.items() if key != "name"}
    return {cls.renamed.get(key, key): field.get_default() for key, field in fields.items()}


@every_config
def test_the_fields_are_the_constructors_arguments_with_equal_defaults(cls: Any) -> None:
    target = lightnings(cls)
    parameters = inspect.signature(target).parameters.values()
    named = {each.name: each.default for each in parameters if each.kind is not each.VAR_KEYWORD}
    fields = fields_of(cls)
    wanted = {key for key in named if f"{target.__name__}.{key}" not in LEFT_OUT}
    assert wanted <= set(fields)
    for key in wanted:
        default = fields[key]
        if f"{target.__name__}.{key}" in OTHER_DEFAULTS:
            assert default is None
        elif named[key] is inspect.Parameter.empty:
            assert default is PydanticUndefined
        else:
            assert default == named[key], key
            assert isinstance(default, type(named[key])) or isinstance(named[key], type(default))
    others = set(fields) - wanted
    if others:
        given = inspect.signature(found(PASSED_ON[target.__name__])).parameters
        assert {key: fields[key] for key in others} == {key: given[key].default for key in others}


def test_the_tables_of_exceptions_name_arguments() -> None:
    arguments = {
        f"{lightnings(cls).__name__}.{key}"
        for cls in (*LOGGERS, *CALLBACKS)
        for key in inspect.signature(lightnings(cls)).parameters
    }
    assert {*LEFT_OUT, *OTHER_DEFAULTS} <= arguments


@every_config
def test_the_class_has_the_name_of_lightnings(cls: Any) -> None:
    name = lightnings(cls).__name__
    assert cls.__name__.lower() in {f"{name}{end}".lower() for end in ("Config", "CallbackConfig")}


@pytest.mark.parametrize("cls", CALLBACKS, ids=lambda cls: cls.__name__)
def test_a_callback_is_lightnings(cls: Any) -> None:
    required = {"scheduling": {0: 2}} if "scheduling" in cls.model_fields else {}
    callback = cls(**required).create_callback()
    assert isinstance(callback, Callback)
    assert isinstance(callback, lightnings(cls))


@pytest.mark.parametrize("cls", LOGGERS, ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_logger_is_lightnings_and_starts_nothing(cls: Any, tmp_path: Path) -> None:
    if cls is loggers.MLFlowLoggerConfig:
        pytest.skip("imports MLflow, which takes seconds; test_fit_loggers.py trains with it")
    logger = cls(prefix="a").create_logger(tmp_path)
    assert isinstance(logger, Logger)
    assert type(logger) is lightnings(cls)
    assert logger.save_dir == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert cls(save_dir=f"{tmp_path}/own").create_logger(tmp_path).save_dir == f"{tmp_path}/own"


# -- packages --------------------------------------------------------------------------------------


def test_a_package_that_is_needed_has_an_extra() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    needed = {cls.package for cls in (*LOGGERS, *CALLBACKS) if cls.package}
    assert needed == {"tensorboard", "wandb", "mlflow"}
    for package in needed:
        assert any(each.startswith(package) for each in extras[package])


@pytest.mark.parametrize(
    "cls", [cls for cls in LOGGERS if cls.package], ids=lambda cls: cls.__name__
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nshtrainer.constructed.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"pip install 'nshtrainer\[{cls.package}\]'"):
        cls().create_logger("runs")


def test_a_constructor_may_change_the_mappings_that_it_gets() -> None:
    config = callback_registry["gradient_accumulation_scheduler"](scheduling={2: 4})  # type: ignore[call-arg]
    assert isinstance(config.scheduling, FrozenDict)  # type: ignore[attr-defined]
    assert config.create_callback().scheduling == {2: 4, 0: 1}  # type: ignore[attr-defined]
    assert config.scheduling == {2: 4}  # type: ignore[attr-defined]
