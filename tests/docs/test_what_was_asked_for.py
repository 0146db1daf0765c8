"""What was asked for, to the letter, with torch's real objects and short real runs."""

from __future__ import annotations

import inspect
import math
from typing import Any, Literal, get_type_hints

import lightning.pytorch as pl
import pytest
import torch
from tests.support import sgd
from tests.trainers.support import trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset

import nshtrainer
from nshtrainer import configs
from nshtrainer.configs import (
    AdamWConfig,
    EpochsConfig,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfig,
    MetricConfig,
    OptimizerConfig,
    ReduceLROnPlateauConfig,
    SGDConfig,
    StepsConfig,
)
from nshtrainer.exceptions import MetricError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase, lr_scheduler_registry
from nshtrainer.optimizer import OptimizerConfigBase, optimizer_registry

TWELVE = [
    "AdamW",
    "Adam",
    "SGD",
    "Adafactor",
    "Adadelta",
    "Adagrad",
    "Adamax",
    "ASGD",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
]
LOSS = MetricConfig(monitor="val/loss", mode="min")


class MyConfig(nshtrainer.Config):
    optimizer: OptimizerConfig = AdamWConfig(lr=1e-3)
    lr_scheduler: LRSchedulerConfig | None = None


class MyModel(nshtrainer.LightningModuleBase[MyConfig]):
    """Writes `configure_optimizers` as it was asked for, and notes the rate of each update."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.layer = nn.Linear(2, 1)
        self.rates: list[float] = []

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)

    def training_step(self, batch: list[Tensor]) -> Tensor:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return self(batch[0]).square().mean()

    def validation_step(self, batch: list[Tensor]) -> None:
        self.log("val/loss", 1.0)  # it never improves

    def configure_optimizers(self) -> Any:
        optimizer = self.hparams.optimizer.create_optimizer(self.parameters())
        if self.hparams.lr_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": self.hparams.lr_scheduler.create_scheduler(optimizer, self),
        }


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.ones(20, 2)), batch_size=2)


def fit(
    model: pl.LightningModule, cls: type[pl.Trainer] = pl.Trainer, **options: Any
) -> pl.Trainer:
    made = trainer(cls, **options)
    made.fit(model, loader(), loader())
    return made


def cosine(**options: Any) -> LinearWarmupCosineDecayLRSchedulerConfig:
    durations = {"warmup_duration": StepsConfig(value=4), "max_duration": StepsConfig(value=10)}
    return LinearWarmupCosineDecayLRSchedulerConfig(**{**durations, **options})


# -- optimizers ------------------------------------------------------------------------------------


def test_a_config_creates_the_optimizer() -> None:
    model = nn.Linear(2, 1)
    optimizer = AdamWConfig(lr=1e-3, weight_decay=0.01).create_optimizer(model.parameters())
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.defaults["lr"] == 1e-3
    assert optimizer.defaults["weight_decay"] == 0.01
    assert optimizer.param_groups[0]["params"] == list(model.parameters())


@pytest.mark.parametrize("name", TWELVE)
def test_each_of_the_twelve_has_a_config_named_in_lower_case(name: str) -> None:
    cls = getattr(configs, f"{name}Config")
    assert cls().name == name.lower()
    assert optimizer_registry[name.lower()] is cls
    optimizer = cls(lr=0.1).create_optimizer(nn.Linear(2, 1).parameters())
    assert type(optimizer) is getattr(torch.optim, name)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("name", TWELVE)
def test_each_has_every_option_of_the_torch_constructor(name: str) -> None:
    constructor = inspect.signature(getattr(torch.optim, name)).parameters
    fields = getattr(configs, f"{name}Config").model_fields
    assert set(constructor) - {"params"} <= set(fields) - {"name"}


def test_options_reach_torch() -> None:
    config = AdamWConfig(betas=(0.8, 0.9), eps=1e-6, amsgrad=True, foreach=True)
    defaults = config.create_optimizer(nn.Linear(2, 1).parameters()).defaults
    assert (defaults["betas"], defaults["eps"]) == ((0.8, 0.9), 1e-6)
    assert (defaults["amsgrad"], defaults["foreach"]) == (True, True)
    fused = AdamWConfig(fused=True).create_optimizer(nn.Linear(2, 1).parameters())
    assert fused.defaults["fused"] is True


# -- the module ------------------------------------------------------------------------------------


def test_the_module_takes_its_config_and_knows_its_type() -> None:
    model = MyModel(MyConfig(optimizer=SGDConfig(lr=0.5)))
    assert type(model.hparams) is MyConfig
    assert MyModel.hparams_cls() is MyConfig
    assert get_type_hints(MyConfig)["optimizer"] is OptimizerConfigBase


def test_the_module_trains_with_the_optimizer_of_its_hyperparameters() -> None:
    model = MyModel(MyConfig(optimizer=SGDConfig(lr=0.5)))
    before = model.layer.weight.clone()
    trainer = fit(model, max_steps=3)
    assert type(trainer.optimizers[0]) is torch.optim.SGD
    assert model.rates == [0.5, 0.5, 0.5]
    assert not torch.equal(model.layer.weight, before)


def test_the_module_needs_no_configure_optimizers() -> None:
    class Short(nshtrainer.LightningModuleBase[MyConfig]):
        def __init__(self, hparams: Any) -> None:
            super().__init__(hparams)
            self.layer = nn.Linear(2, 1)

        def training_step(self, batch: list[Tensor]) -> Tensor:
            return self.layer(batch[0]).square().mean()

        def validation_step(self, batch: list[Tensor]) -> None:
            pass

    trainer = fit(Short(MyConfig(lr_scheduler=cosine())), max_steps=2)
    assert type(trainer.optimizers[0]) is torch.optim.AdamW
    assert trainer.lr_scheduler_configs[0].interval == "step"


# -- an optimizer of one's own ---------------------------------------------------------------------


def test_an_optimizer_of_ones_own_is_legal_in_a_class_that_was_defined_before() -> None:
    with optimizer_registry.scoped():

        @optimizer_registry.register
        class MyOptimizerConfig(OptimizerConfigBase):
            name: Literal["my_optimizer"] = "my_optimizer"
            lr: float = 0.25

            def create_optimizer(self, params: Any) -> Optimizer:
                return torch.optim.SGD(params, lr=self.lr)

        config = MyConfig.from_yaml("optimizer: {name: my_optimizer, lr: 0.75}")
        assert config == MyConfig(optimizer=MyOptimizerConfig(lr=0.75))
        assert MyConfig.from_yaml(config.to_yaml()) == config
        model = MyModel(config)
        fit(model, max_steps=1)
        assert model.rates == [0.75]


# -- schedules -------------------------------------------------------------------------------------


def test_the_cosine_moves_by_the_step_as_its_formula_says() -> None:
    config = cosine(warmup_start_lr_factor=0.2, min_lr_factor=0.1)
    model = MyModel(MyConfig(optimizer=SGDConfig(lr=1.0), lr_scheduler=config))
    fit(model, max_steps=13)
    rise = [0.2 + 0.8 * t / 4 for t in range(4)]
    fall = [0.1 + 0.9 * (1 + math.cos(math.pi * (t - 4) / 6)) / 2 for t in range(4, 10)]
    assert model.rates == pytest.approx([*rise, *fall, 0.1, 0.1, 0.1])


def test_the_cosine_restarts_with_annealing() -> None:
    curve = cosine(annealing=True).curve(nshtrainer.RunLength())
    assert [curve(t) for t in range(10, 16)] == [curve(t) for t in range(4, 10)]


def test_plateau_moves_by_the_epoch() -> None:
    config = ReduceLROnPlateauConfig(
        patience=1,
        factor=0.5,
        metric=LOSS,
        cooldown=0,
        min_lr=0.05,
        threshold=1e-3,
        threshold_mode="abs",
    )
    model = MyModel(MyConfig(optimizer=SGDConfig(lr=0.25), lr_scheduler=config))
    trainer = fit(model, max_epochs=8)
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    assert type(scheduler) is ReduceLROnPlateau
    assert (scheduler.patience, scheduler.threshold, scheduler.mode) == (1, 1e-3, "min")
    by_epoch = [0.25, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625, 0.05]
    assert model.rates == [rate for rate in by_epoch for _ in range(10)]


def test_plateau_takes_the_primary_metric_of_the_trainer() -> None:
    model = MyModel(MyConfig(lr_scheduler=ReduceLROnPlateauConfig(patience=0)))
    trainer = fit(model, nshtrainer.Trainer, config={"max_epochs": 3, "primary_metric": LOSS})
    assert trainer.lr_scheduler_configs[0].monitor == "val/loss"
    assert model.rates[-1] == pytest.approx(1e-4)


def test_plateau_takes_the_primary_metric_of_the_hyperparameters() -> None:
    class WithMetric(MyConfig):
        primary_metric: MetricConfig = LOSS

    class Model(MyModel):
        @classmethod
        def hparams_cls(cls) -> Any:
            return WithMetric

    model = Model(WithMetric(lr_scheduler=ReduceLROnPlateauConfig(patience=0)))
    assert fit(model, max_epochs=1).lr_scheduler_configs[0].monitor == "val/loss"


def test_plateau_without_any_metric_says_what_to_write() -> None:
    with pytest.raises(MetricError, match="primary_metric"):
        fit(MyModel(MyConfig(lr_scheduler=ReduceLROnPlateauConfig())), max_epochs=1)


def test_what_is_created_is_what_lightning_takes() -> None:
    made = cosine().create_scheduler(sgd(), nshtrainer.RunLength())
    assert isinstance(made["scheduler"], LRScheduler)
    assert set(made) <= {*pl.utilities.types.LRSchedulerConfigType.__annotations__, "strict"}


def test_the_metadata_says_how_a_scheduler_is_driven() -> None:
    assert cosine().metadata() == {
        "interval": "step",
        "frequency": 1,
        "monitor": None,
        "reduce_on_plateau": False,
    }
    metadata = ReduceLROnPlateauConfig(metric=LOSS).metadata()
    assert (metadata["interval"], metadata["frequency"]) == ("epoch", 1)
    assert (metadata["monitor"], metadata["reduce_on_plateau"]) == ("val/loss", True)
    assert ReduceLROnPlateauConfig().metadata()["interval"] == "epoch"


# -- durations -------------------------------------------------------------------------------------


def test_durations_are_configs_or_mappings() -> None:
    assert StepsConfig(value=1000).resolve(nshtrainer.RunLength()) == 1000
    assert EpochsConfig(value=5).resolve(nshtrainer.RunLength(steps_per_epoch=100)) == 500
    given = cosine(
        warmup_duration={"name": "steps", "value": 1000},
        max_duration={"name": "epochs", "value": 5},
    )
    assert given == cosine(
        warmup_duration=StepsConfig(value=1000), max_duration=EpochsConfig(value=5)
    )


def test_epochs_become_steps_by_themselves() -> None:
    config = cosine(warmup_duration=EpochsConfig(value=0.5), max_duration=EpochsConfig(value=2))
    model = MyModel(MyConfig(optimizer=SGDConfig(lr=1.0), lr_scheduler=config))
    fit(model, max_epochs=3, accumulate_grad_batches=2)  # 5 updates an epoch: 3 and 10 steps
    updates = model.rates[::2]
    assert updates[:4] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert updates[10:] == [0.0] * 5


# -- a scheduler of one's own ----------------------------------------------------------------------


def test_a_scheduler_of_ones_own_is_legal_in_a_class_that_was_defined_before() -> None:
    with lr_scheduler_registry.scoped():

        @lr_scheduler_registry.register
        class MySchedulerConfig(LRSchedulerConfigBase):
            name: Literal["my_scheduler"] = "my_scheduler"
            epochs: int = 1

            def metadata(self) -> Any:
                return {"interval": "epoch"}

            def create_scheduler_impl(self, optimizer: Any, lightning_module: Any) -> Any:
                assert isinstance(lightning_module, MyModel)
                return StepLR(optimizer, self.epochs, gamma=0.5)

        config = MyConfig.from_mapping(
            {"optimizer": {"name": "sgd", "lr": 1.0}, "lr_scheduler": "my_scheduler"}
        )
        assert config.lr_scheduler == MySchedulerConfig()
        model = MyModel(config)
        fit(model, max_epochs=3)
        assert model.rates == [1.0] * 10 + [0.5] * 10 + [0.25] * 10


# -- names that others rely on ---------------------------------------------------------------------


def test_the_names_that_others_rely_on_are_one_and_the_same_everywhere() -> None:
    schedulers = nshtrainer.lr_scheduler
    assert schedulers.LRSchedulerConfigBase is schedulers.base.LRSchedulerConfigBase
    assert schedulers.lr_scheduler_registry is schedulers.base.lr_scheduler_registry
    assert nshtrainer.optimizer.OptimizerConfigBase is configs.OptimizerConfigBase
    assert nshtrainer.optimizer.optimizer_registry is configs.optimizer_registry
    assert configs.TrainerConfig is nshtrainer.TrainerConfig
    for name in ("OptimizerConfig", "LRSchedulerConfig", "DurationConfig", "MetricConfig"):
        assert hasattr(configs, name)
