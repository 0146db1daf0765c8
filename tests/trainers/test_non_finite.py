"""A loss or a gradient that is not finite, in real runs: stop, skip, ignore."""

from __future__ import annotations

import copy
import math
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision
from tests.contracts.test_every_optimizer import make_model
from tests.support import torchs_optimizers
from tests.trainers.support import QUIET, trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import LightningModuleBase
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig, SGDConfig
from nshtrainer.exceptions import BadUpdateError, ConfigError, OptimizerError
from nshtrainer.types import NonFinite, ScheduleClock

GOOD = [0.5, 1.0, 0.25, 2.0]
BAD = [0.5, 1.0, math.nan, 0.25, 2.0]
LINEAR = {"name": "linear", "max_duration": "20 steps"}
ADAMW = {"name": "adamw", "lr": 0.01}


class HparamsConfig(nshtrainer.Config):
    optimizer: OptimizerConfig = SGDConfig(lr=0.1)
    lr_scheduler: LRSchedulerConfig | None = LINEAR  # type: ignore[assignment]
    non_finite: NonFinite | None = None
    schedule_clock: ScheduleClock | None = None


class Model(LightningModuleBase[HparamsConfig]):
    """The batches are what the loss is multiplied by."""

    def __init__(self, optimizer: Any = ADAMW, **hparams: Any) -> None:
        super().__init__({"optimizer": optimizer, **hparams})
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, batch: Tensor) -> Tensor:
        return batch * (self.net(torch.tensor([0.5, 2.0])) - 1.0).square().mean()

    def training_step(self, batch: Tensor) -> Tensor:
        return self(batch)


class Overflowing(Model):
    """The loss of a bad batch is finite, and a gradient is not."""

    factor: Tensor

    def training_step(self, batch: Tensor) -> Tensor:
        self.factor = torch.ones(()) if batch.isfinite() else batch
        return self(batch if batch.isfinite() else torch.ones(()))

    def on_after_backward(self) -> None:
        self.net[0].bias.grad.mul_(self.factor)


class Raised(Model):
    """The loss of a bad batch is not finite, and its gradients are."""

    def training_step(self, batch: Tensor) -> Tensor:
        return self(batch.nan_to_num(1.0)) + 0 * batch.detach()


def data(scales: list[float]) -> DataLoader[Tensor]:
    return DataLoader(torch.tensor(scales), batch_size=None)  # type: ignore[arg-type]


def fit(module: Any, scales: list[float], make: Any = nshtrainer.Trainer, **options: Any) -> Any:
    run = make(**{**QUIET, "max_epochs": 1, **options})
    run.fit(module, data(scales))
    return run


def scaler_of_gradients(**options: Any) -> dict[str, Any]:
    scaler = torch.amp.GradScaler("cpu", **{"init_scale": 8.0, **options})
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler)]}


def left_by(run: Any) -> tuple[Any, ...]:
    """The weights, the state of the optimizer and the rate that a run ends with."""
    (optimizer,) = run.optimizers
    state = [dict(each) for each in optimizer.state.values()]
    return dict(run.model.state_dict()), state, optimizer.param_groups[0]["lr"]


def assert_same(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


# -- stop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Model, Raised])
@pytest.mark.parametrize("make", [pl.Trainer, nshtrainer.Trainer])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(kind: Any, make: Any) -> None:
    module, before = kind(), kind()
    with pytest.raises(BadUpdateError) as raised:
        fit(module, BAD, make)
    assert str(raised.value).startswith(
        "update 2 (epoch 0, batch 2, lr 0.009) is not applied: the loss is not finite, and the "
        "gradients of 4 of 4 parameters are not finite (net.0.weight, net.0.bias, net.2.weight and "
        "1 more). Check the data of this batch and the loss; lower lr, "
    )
    assert_same(left_by(module.trainer), left_by(fit(before, BAD[:2])))


@pytest.mark.parametrize("clip", [None, 0.1])
def test_the_parameters_whose_gradients_are_not_finite_are_named(clip: Any) -> None:
    module = Overflowing()
    message = "is not applied: the gradients of 1 of 4 parameters are not finite \\(net.0.bias\\)"
    with pytest.raises(BadUpdateError, match=message):
        fit(module, BAD, gradient_clip_val=clip)
    assert all(bool(value.isfinite().all()) for value in module.state_dict().values())


def test_every_rate_is_in_the_message() -> None:
    rules = [{"name": "head", "select": "net.2.*", "options": {"lr": 0.5}}]
    module = Model({"name": "sgd", "lr": 0.1, "groups": rules}, lr_scheduler=None)
    with pytest.raises(BadUpdateError, match=r"batch 0, lr 0\.1 to 0\.5\)"):
        fit(module, [math.inf])


def test_ignored_it_goes_into_the_weights() -> None:
    module = Model()
    fit(module, BAD, config={"non_finite": "ignore"})
    assert not module.net[0].weight.isfinite().any()


@pytest.mark.parametrize("optimizer", [{"name": "lbfgs"}, {"name": "sam", "optimizer": ADAMW}])
def test_an_optimizer_with_a_closure_is_stopped_within_it(optimizer: Any) -> None:
    module = Model(optimizer)
    with pytest.raises(BadUpdateError, match="update 2 "):
        fit(module, BAD)
    assert all(bool(value.isfinite().all()) for value in module.state_dict().values())


def test_a_module_that_is_not_ours_is_stopped_by_our_trainer() -> None:
    class Foreign(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def training_step(self, batch: Tensor) -> Tensor:
            return (batch * self.weight).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters())

    module = Foreign()
    with pytest.raises(BadUpdateError, match="1 of 1 parameters are not finite \\(weight\\)"):
        fit(module, BAD)
    assert module.weight.item() == pytest.approx(1 - 1e-3 * 1.5)


# -- skip ------------------------------------------------------------------------------------------

SKIP = {"non_finite": "skip"}


def assert_skipped_is_left_out(optimizer: Any, kind: Any = Model, **options: Any) -> None:
    ours, theirs = kind(optimizer, **SKIP), kind(optimizer)
    with_bad = fit(ours, BAD, **copy.deepcopy(options))
    assert_same(left_by(with_bad), left_by(fit(theirs, GOOD, **copy.deepcopy(options))))
    assert with_bad.optimizers[0].param_groups[0]["skipped"] == 1
    assert with_bad.callback_metrics["skipped_updates"] == 1
    assert with_bad.global_step == 5


@pytest.mark.parametrize(
    "cls",
    [c for c in torchs_optimizers() if not c.needs_closure and c.__name__ != "RpropConfig"],
    ids=lambda cls: cls.__name__,
)
def test_every_optimizer_ends_as_without_the_bad_batch(cls: Any) -> None:
    class Fitting(Model):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.net = make_model(cls)

        def forward(self, batch: Tensor) -> Tensor:
            return batch * self.net.loss()

    assert_skipped_is_left_out(cls(lr=0.01), Fitting)


@pytest.mark.parametrize("kind", [Model, Overflowing, Raised])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "bf16-mixed"},
        {"gradient_clip_val": 0.1},
        {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"},
    ],
)
def test_a_skipped_batch_is_as_if_it_had_not_been(kind: Any, options: Any) -> None:
    assert_skipped_is_left_out(ADAMW, kind, **options)


@pytest.mark.parametrize("fused", [False, True])
def test_so_it_is_beside_a_scaler_of_gradients(fused: bool) -> None:
    assert_skipped_is_left_out({**ADAMW, "fused": fused}, **scaler_of_gradients())


def test_so_it_is_with_two_gradients_an_update() -> None:
    assert_skipped_is_left_out({"name": "sam", "optimizer": ADAMW})


def test_so_it_is_with_several_optimizers_in_one() -> None:
    route = {"name": "first", "select": "net.0", "optimizer": {"name": "sgd", "momentum": 0.9}}
    assert_skipped_is_left_out({"name": "routed", "routes": [route], "default": ADAMW})


def test_one_bad_batch_among_several_spoils_the_update() -> None:
    ours = fit(Model(**SKIP), [*BAD[:2], 0.5, math.nan, *BAD[3:]], accumulate_grad_batches=2)
    theirs = fit(Model(), GOOD, accumulate_grad_batches=2)
    assert_same(left_by(ours), left_by(theirs))


def test_a_bad_batch_that_came_first_is_named_by_the_loss() -> None:
    with pytest.raises(BadUpdateError, match=r"update 0 .*batch 1.*: the loss is not finite"):
        fit(Raised(), [math.nan, 1.0], accumulate_grad_batches=2)


def test_many_in_a_row_are_an_error() -> None:
    module = Model(**SKIP)
    with pytest.raises(BadUpdateError, match="11 updates in a row were bad, and max_in_a_row is"):
        fit(module, [*GOOD, *[math.nan] * 10, 1.0, *[math.nan] * 11])
    assert module.trainer.global_step == 4 + 10 + 1 + 10


@pytest.mark.parametrize("choice", ["stop", "skip"])
def test_an_optimizer_within_skipping_looks_after_itself(choice: str) -> None:
    inner = {"name": "skipping", "optimizer": ADAMW, "max_in_a_row": 2}
    run = fit(Model(inner, non_finite=choice), [1.0, math.nan, 1.0, math.nan, math.nan, 1.0])
    assert run.optimizers[0].param_groups[0]["skipped"] == 3
    assert run.lr_scheduler_configs[0].scheduler.last_epoch == 3


def test_a_part_within_skipping_looks_after_itself() -> None:
    inner = {"name": "skipping", "optimizer": {"name": "sgd", "lr": 0.1}}
    route = {"name": "first", "select": "net.0", "optimizer": inner}
    routed = {"name": "routed", "routes": [route], "default": ADAMW}
    run = fit(Overflowing(routed), BAD)
    counts = {group["name"]: group.get("skipped") for group in run.optimizers[0].param_groups}
    assert counts == {"first": 1, "default": None}


def test_the_count_goes_on_in_a_resumed_run(tmp_path: Any) -> None:
    run = fit(Model(**SKIP), BAD)
    run.save_checkpoint(tmp_path / "one.ckpt")
    again = nshtrainer.Trainer(**{**QUIET, "max_epochs": 2})
    again.fit(Model(**SKIP), data(BAD), ckpt_path=tmp_path / "one.ckpt")
    assert again.optimizers[0].param_groups[0]["skipped"] == 2
    assert again.lr_scheduler_configs[0].scheduler.last_epoch == 8


# -- a scaler of gradients -------------------------------------------------------------------------

CLOCKS = {"optimizer_steps": 5, "successful_steps": 4}


@pytest.mark.parametrize("choice", ["stop", "skip", "ignore"])
@pytest.mark.parametrize("clock", CLOCKS)
def test_what_a_scaler_leaves_out_is_the_scalers(choice: str, clock: str) -> None:
    options: Any = {"non_finite": choice, "schedule_clock": clock}
    run = fit(Overflowing(), BAD, config=options, **scaler_of_gradients())
    assert run.lr_scheduler_configs[0].scheduler.last_epoch == CLOCKS[clock]
    assert run.optimizers[0].param_groups[0].get("skipped", 0) == 0
    assert run.precision_plugin.scaler.get_scale() == 4.0


def test_a_loss_that_is_not_finite_stops_a_run_with_a_scaler() -> None:
    module = Model()
    with pytest.raises(BadUpdateError, match=r"update 2 .*: the loss is not finite"):
        fit(module, BAD, **scaler_of_gradients())


def test_a_scale_below_1_is_not_to_blame() -> None:
    module = Overflowing(non_finite="stop")
    with pytest.raises(BadUpdateError, match=r"update 5 .*1 of 4 parameters"):
        fit(module, [1.0, *[math.inf] * 6], **scaler_of_gradients())
    assert module.trainer.precision_plugin.scaler.get_scale() == 0.5


# -- written wrongly -------------------------------------------------------------------------------


def test_a_choice_that_does_not_exist_is_refused_before_the_first_step() -> None:
    class Loose(nshtrainer.Config):
        non_finite: str = "skp"

    class Plain(LightningModuleBase[Loose]):
        def __init__(self) -> None:
            super().__init__({})
            self.weight = nn.Parameter(torch.ones(1))

        def training_step(self, batch: Tensor) -> Tensor:
            raise AssertionError

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters())

    with pytest.raises(ConfigError, match="non_finite must be one of stop, skip, ignore; it is 's"):
        fit(Plain(), GOOD)


def test_lbfgs_cannot_skip_and_says_so() -> None:
    with pytest.raises(OptimizerError, match="non_finite: skip leaves a whole update out, and LBF"):
        fit(Model({"name": "lbfgs"}, **SKIP), GOOD)


def test_an_argument_of_the_trainer_is_refused_with_the_place_for_it() -> None:
    with pytest.raises(TypeError, match=r"set it in the config: .*TrainerConfig\(non_finite=..."):
        trainer(non_finite="skip")


def test_the_trainer_wins_over_the_hyperparameters() -> None:
    fit(Model(non_finite="stop", lr_scheduler=None), BAD, config=SKIP)


class Watch(Callback):
    """The hooks of the optimizer in the run."""

    hooks = 0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.hooks = len(trainer.optimizers[0]._optimizer_step_pre_hooks)


def test_after_the_run_the_optimizer_has_the_hooks_that_it_had() -> None:
    watch = Watch()
    module = Model({"name": "sam", "optimizer": ADAMW}, lr_scheduler=None, **SKIP)
    run = fit(module, GOOD, callbacks=[watch])
    assert len(run.optimizers[0]._optimizer_step_pre_hooks) == watch.hooks - 1
