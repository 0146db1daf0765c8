"""Hyperparameters of a module: their class, their way to loggers and through checkpoints."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Generic

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from pydantic import ValidationError
from tests.trainers.support import BOTH_TRAINERS, Tiny, TinyConfig, data, trainer
from typing_extensions import TypeVar

from nshtrainer import Config, LightningModuleBase
from nshtrainer.configs import (
    AdamWConfig,
    SGDConfig,
)
from nshtrainer.exceptions import CheckpointError, ConfigError

COSINE = {
    "name": "linear_warmup_cosine_decay",
    "warmup_duration": "2 steps",
    "max_duration": "8 steps",
}

# -- the class of the hyperparameters --------------------------------------------------------------

T = TypeVar("T", bound=Config)
S = TypeVar("S", bound=TinyConfig, default=TinyConfig)
U = TypeVar("U")


class Wider(TinyConfig):
    width: int = 3


class Direct(LightningModuleBase[Wider]): ...


class Inheriting(Direct): ...


class Between(LightningModuleBase[T], Generic[T]): ...


class ThroughAnother(Between[Wider]): ...


class TwoParameters(LightningModuleBase[T], Generic[U, T]): ...


class SecondOfTwo(TwoParameters[int, Wider]): ...


class Mixin:
    """Nothing to do with hyperparameters."""


class WithMixin(Mixin, ThroughAnother): ...


class Defaulting(LightningModuleBase[S], Generic[S]): ...


class Named(LightningModuleBase[Config]):
    @classmethod
    def hparams_cls(cls) -> Any:
        return Wider


@pytest.mark.parametrize(
    "module", [Direct, Inheriting, ThroughAnother, SecondOfTwo, WithMixin, Named]
)
def test_the_class_of_the_hyperparameters_is_found(module: Any) -> None:
    assert module.hparams_cls() is Wider
    assert module({}).hparams == Wider()


def test_a_default_of_the_type_parameter_counts() -> None:
    assert Defaulting.hparams_cls() is TinyConfig


class Bare(LightningModuleBase): ...


class OfInt(LightningModuleBase[int]): ...


class Open(Between[T]): ...


@pytest.mark.parametrize("module", [Bare, OfInt, Open])
def test_a_module_without_a_config_class_says_what_to_write(module: Any) -> None:
    with pytest.raises(TypeError, match=r"write class \w+\(LightningModuleBase\[MyConfig\]\)"):
        module({})


def test_hyperparameters_are_a_config_or_a_mapping() -> None:
    config = Wider(width=5)
    assert Direct(config).hparams is config
    assert Direct({"width": 5}).hparams == config
    assert Direct(hparams={"width": 5}).hparams == config


@pytest.mark.parametrize("wrong", [Config(), TinyConfig(), None, 3, "width"])
def test_anything_else_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="hyperparameters of Direct must be a Wider"):
        Direct(wrong)


def test_a_mapping_is_validated() -> None:
    with pytest.raises(ValidationError, match="width"):
        Direct({"width": "three"})


# -- loggers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("logger", [CSVLogger, TensorBoardLogger])
@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_loggers_get_plain_data(tmp_path: Path, logger: Any, make: Any) -> None:
    log = logger(tmp_path)
    trainer(make, max_epochs=1, logger=log).fit(Tiny({"optimizer": {"name": "sgd"}}), data())
    written = yaml.safe_load((Path(log.log_dir) / "hparams.yaml").read_text())
    assert written == TinyConfig(optimizer=SGDConfig()).to_dict()


def test_the_initial_hyperparameters_stay() -> None:
    module = Tiny()
    module.lr = 0.7
    assert module.hparams_initial["optimizer"]["lr"] == 0.1
    assert module.hparams.optimizer == SGDConfig(lr=0.7)


def test_rates_have_good_names(tmp_path: Path) -> None:
    monitor = LearningRateMonitor("step")
    options: Any = {"max_epochs": 1, "logger": CSVLogger(tmp_path), "log_every_n_steps": 1}
    trainer(callbacks=[monitor], **options).fit(Tiny({"lr_scheduler": COSINE}), data())
    assert monitor.lrs == {"lr-SGD": pytest.approx([0.1 * f for f in factors(10)])}


def factors(steps: int) -> list[float]:
    from nshtrainer import RunLength

    curve = TinyConfig.model_validate({"lr_scheduler": COSINE}).lr_scheduler.curve(RunLength())
    return [curve(step) for step in range(steps)]


def test_groups_and_schedulers_may_name_themselves(tmp_path: Path) -> None:
    class Grouped(Tiny):
        def configure_optimizers(self) -> Any:
            groups = [
                {"params": [self.layer.weight], "name": "decay"},
                {"params": [self.layer.bias], "name": "free"},
            ]
            optimizer = AdamWConfig(lr=0.1).create_optimizer(groups)
            scheduler = self.hparams.lr_scheduler.create_scheduler(optimizer, self)
            return {"optimizer": optimizer, "lr_scheduler": {**scheduler, "name": "rate"}}

    monitor = LearningRateMonitor("step")
    options: Any = {"max_epochs": 1, "logger": CSVLogger(tmp_path), "log_every_n_steps": 1}
    trainer(callbacks=[monitor], **options).fit(Grouped({"lr_scheduler": COSINE}), data())
    assert set(monitor.lrs) == {"rate/decay", "rate/free"}


# -- saving ----------------------------------------------------------------------------------------


class Forgetful(Tiny):
    """Calls no `super()`."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mine"] = 1


class Below(Forgetful):
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["below"] = 1


class SavingMixin:
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mine"] = 1


class FromMixin(SavingMixin, Tiny): ...


class Careful(Tiny):
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"]["more"] = 1
        super().on_save_checkpoint(checkpoint)


class Saving(Tiny):
    def __init__(self, hparams: Any = None) -> None:
        super().__init__(hparams)
        self.save_hyperparameters()


MODULES = [Tiny, Forgetful, Below, FromMixin, Careful, Saving]


def saved(path: Path, module: Any, **options: Any) -> Path:
    runner = trainer(max_epochs=1, default_root_dir=path)
    runner.fit(module, data())
    runner.save_checkpoint(path / "it.ckpt", **options)
    return path / "it.ckpt"


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("module", MODULES)
def test_checkpoints_hold_plain_data(tmp_path: Path, module: Any, weights_only: bool) -> None:
    path = saved(
        tmp_path, module({"optimizer": {"name": "adamw", "lr": 0.3}}), weights_only=weights_only
    )
    state = torch.load(path, weights_only=True)
    expected = TinyConfig(optimizer=AdamWConfig(lr=0.3))
    assert state["hyper_parameters"]["hparams"] == expected.to_dict()
    assert state["hparams_name"] == "kwargs"
    assert module.load_from_checkpoint(path).hparams == expected


def test_what_an_override_adds_is_kept(tmp_path: Path) -> None:
    for module in (Forgetful, Below, FromMixin):
        assert torch.load(saved(tmp_path, module()), weights_only=True)["mine"] == 1
    state = torch.load(saved(tmp_path, Careful()), weights_only=True)
    assert state["hyper_parameters"]["more"] == 1


def test_a_changed_rate_is_what_is_saved(tmp_path: Path) -> None:
    module = Tiny()
    module.lr = 0.7
    assert Tiny.load_from_checkpoint(saved(tmp_path, module)).lr == 0.7


def test_lightning_alone_reads_the_checkpoint_back(tmp_path: Path) -> None:
    path = saved(tmp_path, Tiny({"optimizer": SGDConfig(lr=0.3)}))
    module = pl.LightningModule.load_from_checkpoint.__func__(Tiny, path)
    assert module.hparams == TinyConfig(optimizer=SGDConfig(lr=0.3))


# -- loading ---------------------------------------------------------------------------------------


def test_overrides_change_what_was_saved(tmp_path: Path) -> None:
    path = saved(tmp_path, Tiny({"optimizer": SGDConfig(lr=0.3, momentum=0.5)}))
    module = Tiny.load_from_checkpoint(path, overrides=["optimizer.lr=3e-4"])
    assert module.hparams.optimizer == SGDConfig(lr=3e-4, momentum=0.5)
    assert torch.equal(module.layer.weight, torch.load(path)["state_dict"]["layer.weight"])
    module = Tiny.load_from_checkpoint(path, overrides=["optimizer=adamw"])
    assert module.hparams.optimizer == AdamWConfig()


def test_one_override_need_not_be_in_a_list(tmp_path: Path) -> None:
    path = saved(tmp_path, Tiny())
    assert Tiny.load_from_checkpoint(path, overrides="optimizer.lr=0.25").lr == 0.25


def test_a_wrong_override_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lrr"):
        Tiny.load_from_checkpoint(saved(tmp_path, Tiny()), overrides=["optimizer.lrr=1"])


@pytest.mark.parametrize("given", [TinyConfig(optimizer=AdamWConfig()), {"optimizer": "adamw"}])
def test_hyperparameters_can_be_replaced_whole(tmp_path: Path, given: Any) -> None:
    module = Tiny.load_from_checkpoint(saved(tmp_path, Tiny()), hparams=given)
    assert module.hparams.optimizer == AdamWConfig()


def test_hyperparameters_can_come_from_a_file(tmp_path: Path) -> None:
    TinyConfig(optimizer=AdamWConfig()).to_file(tmp_path / "other.yaml")
    path = saved(tmp_path, Tiny())
    module = Tiny.load_from_checkpoint(path, hparams_file=tmp_path / "other.yaml")
    assert module.hparams.optimizer == AdamWConfig()


def test_hyperparameters_cannot_come_from_two_places(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="both given"):
        Tiny.load_from_checkpoint(tmp_path / "it.ckpt", hparams={}, hparams_file="other.yaml")


def test_an_unknown_argument_is_not_dropped_in_silence(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"'lr', which .*overrides="):
        Tiny.load_from_checkpoint(saved(tmp_path, Tiny()), lr=0.3)


def test_a_constructor_may_call_its_hyperparameters_otherwise(tmp_path: Path) -> None:
    class Renamed(Tiny):
        def __init__(self, config: Any) -> None:
            super().__init__(config)

    loaded = Renamed.load_from_checkpoint(saved(tmp_path, Tiny()), overrides=["optimizer.lr=0.25"])
    assert loaded.lr == 0.25


@pytest.mark.parametrize("make", [lambda self: None, lambda self, *args: None])
def test_a_constructor_without_hyperparameters_is_an_error_that_says_so(
    tmp_path: Path, make: Any
) -> None:
    none = type("None_", (Tiny,), {"__init__": make})
    with pytest.raises(TypeError, match="takes no hyperparameters; write `self, hparams`"):
        none.load_from_checkpoint(saved(tmp_path, Tiny()))


def test_loading_is_for_the_class_and_not_for_a_module(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be called on an instance"):
        Tiny().load_from_checkpoint(tmp_path / "it.ckpt")


def test_an_open_file_is_read_as_well(tmp_path: Path) -> None:
    path = saved(tmp_path, Tiny({"optimizer": SGDConfig(lr=0.3)}))
    assert Tiny.load_from_checkpoint(io.BytesIO(path.read_bytes())).lr == 0.3


@pytest.mark.parametrize("hyperparameters", [None, {"hparams": {"optimizer": "adamv"}}, {"a": 1}])
def test_hyperparameters_that_do_not_fit_are_an_error(tmp_path: Path, hyperparameters: Any) -> None:
    state = torch.load(saved(tmp_path, Tiny()), weights_only=True)
    del state["hyper_parameters"]
    if hyperparameters is not None:
        state["hyper_parameters"] = hyperparameters
    torch.save(state, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other.ckpt[\s\S]*hparams=\.\.\."):
        Tiny.load_from_checkpoint(tmp_path / "other.ckpt")
    assert Tiny.load_from_checkpoint(tmp_path / "other.ckpt", hparams={}).hparams == TinyConfig()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK", b"\x80\x02cos\nsystem\n."])
def test_a_file_that_is_no_checkpoint_is_an_error_that_says_so(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "other.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other.ckpt: .*not a checkpoint"):
        Tiny.load_from_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(FileNotFoundError):
        Tiny.load_from_checkpoint(tmp_path / "not-there.ckpt")


class Classifier(Tiny):
    def __init__(self, hparams: Any, classes: int, *, names: Any = ()) -> None:
        super().__init__(hparams)
        self.save_hyperparameters()
        self.classes, self.names = classes, names


def test_other_arguments_of_the_constructor_are_saved_on_request(tmp_path: Path) -> None:
    path = saved(tmp_path, Classifier({}, 7, names=["a"]))
    module = Classifier.load_from_checkpoint(path)
    assert (module.classes, module.names) == (7, ["a"])
    assert Classifier.load_from_checkpoint(path, classes=8).classes == 8
    assert module.hparams_initial["classes"] == 7


@pytest.mark.parametrize(
    "arguments", [(), ("hparams",), ("classes",), (TinyConfig(),), ({"a": 1},)]
)
def test_saving_hyperparameters_by_hand_does_no_harm(arguments: Any) -> None:
    class ByHand(Tiny):
        def __init__(self, hparams: Any, classes: int = 2) -> None:
            super().__init__(hparams)
            self.save_hyperparameters(*arguments, logger=False)

    module = ByHand({})
    assert module.hparams == TinyConfig()
    assert not module._log_hyperparams
