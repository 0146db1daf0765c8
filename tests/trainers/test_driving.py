"""What optimizers ask of a loop, in real runs: modes, closures, graphs of gradients."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from tests.trainers.support import BOTH_TRAINERS, MID_EPOCH, NO_SAVER, TinyConfig, trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer import LightningModuleBase
from nshtrainer.configs import SGDConfig, optimizer_registry
from nshtrainer.exceptions import OptimizerError

SCHEDULE_FREE = ["schedulefreeadamw", "schedulefreesgd", "adamwschedulefree", "sgdschedulefree"]
every_schedule_free = pytest.mark.parametrize("name", SCHEDULE_FREE)


def data(batches: int = 6) -> DataLoader[Tensor]:
    points = torch.randn(4 * batches, 2, generator=torch.Generator().manual_seed(0))
    return DataLoader(points, batch_size=4)  # type: ignore[arg-type]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(net: nn.Module, batch: Tensor) -> Tensor:
    return (net(batch)[:, 0] - batch.prod(1)).square().mean()


class Model(LightningModuleBase[TinyConfig]):
    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams)
        self.net = network()
        self.validated: list[Tensor] = []

    def training_step(self, batch: Tensor) -> Tensor:
        return loss_of(self.net, batch)


class Validated(Model):
    def validation_step(self, batch: Tensor) -> None:
        self.validated.append(self.net[0].weight.detach().clone())


class Foreign(pl.LightningModule):
    """A module that is not ours."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__()
        self.net = network()
        self.config = optimizer_registry[optimizer.pop("name")].model_validate(optimizer)

    def training_step(self, batch: Tensor) -> Tensor:
        return loss_of(self.net, batch)

    def configure_optimizers(self) -> Any:
        return self.config.create_optimizer(self)


def model(**optimizer: Any) -> Model:
    return Model({"optimizer": optimizer})


def assert_resume_is_exact(folder: Path, **optimizer: Any) -> None:
    """Check that a run that goes on after its first epoch ends with the weights of a whole one."""
    saver = ModelCheckpoint(folder, every_n_epochs=1, save_top_k=-1)
    whole, resumed = model(**optimizer), model(**optimizer)
    trainer(max_epochs=2, callbacks=[saver]).fit(whole, data())
    first = min(folder.glob("*.ckpt"), key=lambda path: path.name)
    trainer(max_epochs=2).fit(resumed, data(), ckpt_path=first)
    for key, value in weights(whole).items():
        assert torch.equal(weights(resumed)[key], value)


def weights(module: Any) -> dict[str, Tensor]:
    return copy.deepcopy(module.net.state_dict())


def averaged(module: Any) -> dict[str, Tensor]:
    """The weights of evaluation, by hand, of a model in training."""
    (optimizer,) = module.trainer.optimizers
    optimizer.eval()
    found = weights(module)
    optimizer.train()
    return found


# -- modes -----------------------------------------------------------------------------------------


class Watch(Callback):
    """Notes the mode in which each batch is trained on."""

    def __init__(self) -> None:
        self.modes: list[bool] = []

    def on_before_zero_grad(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.modes += [group["train_mode"] for group in optimizer.param_groups]


@every_schedule_free
def test_it_trains_in_training_and_validates_and_ends_in_evaluation(name: str) -> None:
    watch, module = Watch(), Validated({"optimizer": {"name": name, "lr": 0.1}})
    run = trainer(max_epochs=2, callbacks=[watch], val_check_interval=3)
    run.fit(module, data(), data(1))
    (optimizer,) = run.optimizers
    assert watch.modes == [True] * 12
    assert not optimizer.param_groups[0]["train_mode"]
    assert torch.equal(module.validated[-1], module.net[0].weight)
    assert not torch.allclose(module.validated[-1], module.validated[-2])


@every_schedule_free
@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_has_weights_and_state_of_evaluation(
    name: str, make: Any, whole: bool, tmp_path: Path
) -> None:
    class Expect(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if trainer.global_step == 4:
                self.weights = averaged(module)

    expect = Expect()
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_weights_only=not whole)
    run = trainer(make, max_steps=6, callbacks=[expect, saver])
    run.fit(model(name=name, lr=0.1), data())
    saved = torch.load(saver.best_model_path, weights_only=True)
    for key, value in expect.weights.items():
        torch.testing.assert_close(saved["state_dict"][f"net.{key}"], value)
    states = saved.get("optimizer_states", [])
    assert len(states) == whole
    assert all(not group["train_mode"] for state in states for group in state["param_groups"])


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
@every_schedule_free
def test_a_resumed_run_equals_one_that_went_on(name: str, tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, every_n_epochs=1, save_top_k=-1)
    whole = model(name=name, lr=0.1)
    trainer(max_epochs=2, callbacks=[saver]).fit(whole, data())
    first = min(tmp_path.glob("*.ckpt"), key=lambda path: path.name)
    resumed = model(name=name, lr=0.1)
    trainer(max_epochs=2).fit(resumed, data(), ckpt_path=first)
    assert weights(resumed).keys() == weights(whole).keys()
    for key, value in weights(whole).items():
        assert torch.equal(weights(resumed)[key], value)


def test_a_part_of_a_routed_optimizer_switches_too() -> None:
    route = {"name": "out", "select": "net.2", "optimizer": {"name": "schedulefreesgd", "lr": 0.1}}
    module = model(name="routed", routes=[route], default="adamw")
    run = trainer(max_epochs=1)
    run.fit(module, data())
    assert not run.optimizers[0].routes["out"].param_groups[0]["train_mode"]


def test_a_foreign_module_is_driven_by_our_trainer() -> None:
    run = trainer(nshtrainer.Trainer, max_epochs=1)
    run.fit(Foreign({"name": "adamwschedulefree"}), data())
    assert not run.optimizers[0].param_groups[0]["train_mode"]


# -- closures --------------------------------------------------------------------------------------


def sharp_step(net: nn.Module, optimizer: Any, batch: Tensor, rho: float) -> None:
    """One update of sharpness-aware minimisation, as the paper has it."""
    params = list(net.parameters())
    grads = torch.autograd.grad(loss_of(net, batch), params)
    norm = torch.cat([grad.flatten() for grad in grads]).norm()
    before = [param.detach().clone() for param in params]
    with torch.no_grad():
        for param, grad in zip(params, grads, strict=True):
            param.add_(rho * grad / norm)
    optimizer.zero_grad()
    loss_of(net, batch).backward()
    with torch.no_grad():
        for param, value in zip(params, before, strict=True):
            param.copy_(value)
    optimizer.step()


def test_sam_takes_both_gradients_from_the_batch_that_it_is_at() -> None:
    module = model(name="sam", rho=0.1, optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9})
    trainer(max_epochs=2).fit(module, data())
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for batch in [*data(), *data()]:
        sharp_step(net, optimizer, batch, 0.1)
    torch.testing.assert_close(weights(module), net.state_dict())


CLOSURES = [{"name": "sam", "optimizer": "sgd"}, {"name": "lbfgs"}, {"name": "alig"}]


@pytest.mark.parametrize("optimizer", CLOSURES, ids=lambda config: config["name"])
def test_what_needs_a_closure_trains(optimizer: dict[str, Any]) -> None:
    module = model(**optimizer)
    before = weights(module)
    trainer(max_epochs=1).fit(module, data())
    assert not torch.equal(before["0.weight"], weights(module)["0.weight"])


@pytest.mark.parametrize("optimizer", CLOSURES, ids=lambda config: config["name"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"accumulate_grad_batches": 2}, "accumulate_grad_batches=2 would train on a part"),
        (
            {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]},
            "precision 16-mixed is not supported",
        ),
    ],
)
def test_what_a_closure_cannot_work_with_is_said_before_the_first_step(
    optimizer: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    module = model(**optimizer)
    run = trainer(max_epochs=1, **options)
    with pytest.raises(OptimizerError, match=says):
        run.fit(module, data())
    assert run.global_step == 0


# -- a graph of gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adahessian", "sophiah"])
def test_an_optimizer_of_curvature_gets_the_graph_of_the_gradients(name: str) -> None:
    module = model(name=name, lr=0.01, update_period=1)
    before = weights(module)
    trainer(max_epochs=1).fit(module, data())
    assert not torch.equal(before["0.weight"], weights(module)["0.weight"])


def test_no_other_optimizer_pays_for_a_graph() -> None:
    class Look(Callback):
        def on_after_backward(self, trainer: Any, module: Any) -> None:
            assert not module.net[0].weight.grad.requires_grad

    trainer(max_steps=1, callbacks=[Look()]).fit(model(name="adamw"), data())


def test_a_module_that_keeps_no_graph_is_told_before_the_first_step() -> None:
    run = trainer(nshtrainer.Trainer, max_epochs=1)
    with pytest.raises(OptimizerError, match=r"does not keep the graph; .*create_graph=True"):
        run.fit(Foreign({"name": "adahessian"}), data())
    assert run.global_step == 0


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_a_module_that_keeps_it_by_itself_trains() -> None:
    class Keeps(Foreign):
        def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
            loss.backward(create_graph=True)

    run = trainer(nshtrainer.Trainer, max_epochs=1)
    run.fit(Keeps({"name": "adahessian"}), data())
    assert run.global_step == 6


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_manual_optimization_is_left_to_itself() -> None:
    class Manual(Foreign):
        automatic_optimization = False

        def training_step(self, batch: Tensor) -> None:  # type: ignore[override]
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss_of(self.net, batch), create_graph=True)
            optimizer.step()

    run = trainer(nshtrainer.Trainer, max_epochs=1)
    run.fit(Manual({"name": "adahessian"}), data())
    assert run.global_step == 6


# -- wrappers --------------------------------------------------------------------------------------


def test_the_rate_of_a_module_is_that_within_all_wrappers() -> None:
    inner = {"name": "clipped", "max_norm": 1.0, "optimizer": {"name": "lion", "lr": 0.02}}
    module = model(name="lookahead", k=2, optimizer=inner)
    assert module.lr == 0.02
    module.lr = 0.01
    run = trainer(max_epochs=1)
    run.fit(module, data())
    assert run.optimizers[0].param_groups[0]["lr"] == 0.01
    assert run.optimizers[0].param_groups[0]["lookahead_step"] == 6


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
def test_slow_weights_are_in_the_checkpoint(tmp_path: Path) -> None:
    assert_resume_is_exact(tmp_path, name="lookahead", k=4, optimizer="adamw")


# -- parameters that are not the module's any more -------------------------------------------------


class Early(pl.LightningModule):
    """Builds its optimizers in the constructor; `configure_model` then makes its layers anew."""

    def __init__(self, build: Any) -> None:
        super().__init__()
        self.net = network()
        self.made = build(self)

    def configure_model(self) -> None:
        self.net = network()

    def configure_optimizers(self) -> Any:
        return self.made

    def training_step(self, batch: Tensor) -> Tensor:
        return loss_of(self.net, batch)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda module: SGDConfig().create_optimizer(module),
            "SGD holds parameters no longer in Early",
        ),
        (
            lambda module: SGDConfig().create_optimizer(module.net),
            "SGD has none of the parameters",
        ),
        (lambda module: torch.optim.AdamW(module.parameters()), "AdamW has none of the parameters"),
    ],
)
def test_an_optimizer_of_layers_that_were_made_anew_is_refused(build: Any, says: str) -> None:
    fitted = trainer(max_epochs=1)
    with pytest.raises(OptimizerError, match=says):
        fitted.fit(Early(build), data())
    assert fitted.global_step == 0


class Late(Early):
    """Makes its layers anew when all that Lightning looks at is over."""

    configure_model = pl.LightningModule.configure_model

    def on_train_start(self) -> None:
        self.net = network()


def test_one_that_the_module_makes_useless_later_is_refused_by_its_first_step() -> None:
    fitted = trainer(max_epochs=1)
    with pytest.raises(
        OptimizerError, match=r"AdamW holds parameters no longer in .*'net\.0\.weight'"
    ):
        fitted.fit(Late(lambda module: torch.optim.AdamW(module.parameters())), data())
    assert fitted.global_step == 0


class Tempered(Early):
    """Has a temperature that is no parameter of it, and an optimizer for that."""

    configure_model = pl.LightningModule.configure_model

    def training_step(self, batch: Tensor, batch_idx: int = 0) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
            (loss_of(self.net, batch) * self.temperature[0]).backward()
            optimizer.step()


def test_an_optimizer_of_something_beside_the_module_is_not() -> None:
    def build(module: Any) -> Any:
        module.automatic_optimization = False
        module.temperature = [nn.Parameter(torch.ones(()))]
        return [
            torch.optim.SGD(params, lr=0.1)
            for params in (module.net.parameters(), module.temperature)
        ]

    fitted, module = trainer(max_epochs=1), Tempered(build)
    fitted.fit(module, data())
    assert module.temperature[0] != 1  # type: ignore[index]
