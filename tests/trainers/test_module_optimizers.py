"""The optimizer, the schedule and the learning rate of a module, found in its hyperparameters."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from tests.trainers.support import BOTH_TRAINERS, Tiny, TinyConfig, data, trainer
from tests.trainers.test_module import COSINE

from nshtrainer import Config, LightningModuleBase, create
from nshtrainer.configs import (
    LBFGSConfig,
    LRSchedulerConfig,
    MetricConfig,
    OptimizerConfig,
    OptimizerConfigBase,
    SGDConfig,
)
from nshtrainer.exceptions import OptimizerError, ScheduleError
from nshtrainer.optimizer import optimizer_registry

# -- optimisers ------------------------------------------------------------------------------------


class OddNames(Config):
    how: OptimizerConfig = SGDConfig(lr=0.2)
    when: LRSchedulerConfig | None = None
    ignored: MetricConfig | None = None


class Odd(LightningModuleBase[OddNames]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any) -> Any:
        return self.layer(batch).square().mean()


def test_optimizer_and_scheduler_are_found_by_their_type() -> None:
    made: Any = Odd({"when": COSINE}).configure_optimizers()
    assert type(made["optimizer"]) is torch.optim.SGD
    assert made["lr_scheduler"]["scheduler"].optimizer is made["optimizer"]
    assert made["lr_scheduler"]["interval"] == "step"
    assert type(Odd({}).configure_optimizers()) is torch.optim.SGD


@pytest.mark.parametrize("make", BOTH_TRAINERS)
def test_a_module_trains_without_configure_optimizers(make: Any) -> None:
    module = Odd({"when": COSINE})
    before = module.layer.weight.detach().clone()
    trainer(make, max_epochs=1).fit(module, data())
    assert not torch.equal(module.layer.weight, before)


class TwoOptimizers(Config):
    generator: OptimizerConfig = SGDConfig()
    critic: OptimizerConfig = SGDConfig()


class NoOptimizer(Config):
    lr: float = 0.3


class TwoSchedules(OddNames):
    then: LRSchedulerConfig | None = None


def module_of(config: Config) -> Any:
    class Module(LightningModuleBase[type(config)]):  # type: ignore[misc]
        def __init__(self, hparams: Any) -> None:
            super().__init__(hparams)
            self.layer = torch.nn.Linear(2, 1)

    return Module(config)


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        (TwoOptimizers(), OptimizerError, r"2 fields .*generator, critic.*write configure_opt"),
        (NoOptimizer(), OptimizerError, r"0 fields .*add a field.*write configure_opt"),
        (
            TwoSchedules.model_validate({"when": COSINE, "then": COSINE}),
            ScheduleError,
            r"2 fields .*when, then.*write configure_optimizers",
        ),
    ],
)
def test_what_is_not_clear_is_an_error_that_says_to_write_the_method(
    config: Config, error: Any, text: str
) -> None:
    with pytest.raises(error, match=text):
        module_of(config).configure_optimizers()


def test_an_optimizer_of_the_users_own_gets_parameters() -> None:
    with optimizer_registry.scoped():

        @optimizer_registry.register
        class MineConfig(OptimizerConfigBase):
            name: Literal["mine"] = "mine"

            def create_optimizer(self, params: Any) -> Any:
                return torch.optim.SGD(list(params), lr=0.5)

        made: Any = Odd({"how": "mine"}).configure_optimizers()
    assert [len(group["params"]) for group in made.param_groups] == [2]


def test_an_optimizer_that_was_not_returned_is_an_error() -> None:
    with optimizer_registry.scoped():

        @optimizer_registry.register
        class ForgetfulConfig(OptimizerConfigBase):
            name: Literal["forgetful"] = "forgetful"

            def create_optimizer(self, params: Any) -> Any:
                torch.optim.SGD(params)

        with pytest.raises(OptimizerError, match=r"ForgetfulConfig.*returned None; add a `return`"):
            Tiny({"optimizer": "forgetful"}).configure_optimizers()
        with pytest.raises(OptimizerError, match=r"ForgetfulConfig.*returned None; add a `return`"):
            create(ForgetfulConfig(), None, torch.nn.Linear(2, 1))


# -- the learning rate -----------------------------------------------------------------------------


def test_the_rate_is_read_and_replaced() -> None:
    module = Odd({})
    assert module.lr == 0.2
    module.lr = 0.5
    assert module.hparams == OddNames(how=SGDConfig(lr=0.5))


def test_a_rate_of_the_hyperparameters_themselves_counts_where_there_is_no_optimizer() -> None:
    module = module_of(NoOptimizer())
    module.lr = module.lr * 2
    assert module.hparams == NoOptimizer(lr=0.6)


@pytest.mark.parametrize(
    "config", [TwoOptimizers(), TinyConfig.model_validate({"optimizer": "sgd"})]
)
def test_a_rate_out_of_range_or_of_two_optimizers_is_refused(config: Config) -> None:
    with pytest.raises((AttributeError, ValidationError), match=r"no single learning rate|lr"):
        module_of(config).lr = -1.0


def test_without_a_rate_there_is_no_such_attribute_and_the_error_says_why() -> None:
    module = module_of(TwoOptimizers())
    assert not hasattr(module, "lr")
    with pytest.raises(AttributeError, match=r"TwoOptimizers.* has no single learning rate"):
        _ = module.lr
    with pytest.raises(AttributeError, match="has no attribute 'layr'"):
        _ = module.layr


def test_optimizers_without_a_fixed_rate_are_no_obstacle() -> None:
    assert Odd({"how": LBFGSConfig(lr=0.5)}).lr == 0.5
