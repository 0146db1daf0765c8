"""Several optimizers as one in real runs: Lightning takes them as one of torch's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BaseFinetuning, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.tuner.tuning import Tuner
from tests.models import Transformer
from tests.trainers.support import MID_EPOCH, NO_SAVER, Deep, Rates, data, trainer
from torch import Tensor

import nshtrainer
from nshtrainer.configs import AdamWConfig, MuonWithAdamWConfig
from nshtrainer.optimizer.routed_optimizer import RoutedOptimizer

PRESET = {"name": "muon_with_adamw", "adamw": {"lr": 1e-3, "no_decay": "bias_and_norm"}}
NAMES = ["muon", "adamw/no_decay", "adamw/default"]


class ByHand(pl.LightningModule):
    """The same two optimizers, stepped by hand."""

    def __init__(self, clip: Any = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = Transformer(depth=2)
        self.clip = clip

    def training_step(self, batch: Tensor) -> None:
        self.net.loss().backward()
        if self.clip is not None:
            self.clip(self.parameters())
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self) -> Any:
        routed: Any = config().create_optimizer(self)
        return list(routed.routes.values())


def config() -> MuonWithAdamWConfig:
    return MuonWithAdamWConfig.from_mapping(PRESET)


def fitted(make_model: Any = None, **options: Any) -> Any:
    torch.manual_seed(0)
    schedule, resume = options.pop("schedule", None), options.pop("resume", None)
    loader = options.pop("loader", data(20))
    model = make_model() if make_model else Deep({"optimizer": PRESET, "lr_scheduler": schedule})
    runner = trainer(**{"max_steps": 6, **options})
    runner.fit(model, loader, ckpt_path=resume)
    return runner


def assert_same(one: Any, other: Any) -> None:
    pairs = zip(one.lightning_module.parameters(), other.lightning_module.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_automatic_optimization_does_what_two_optimizers_do_by_hand() -> None:
    (optimizer,) = (runner := fitted()).optimizers
    assert type(optimizer) is RoutedOptimizer
    # Lightning counts the steps of each of the two.
    assert_same(runner, fitted(ByHand, max_steps=12))


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        (
            {"gradient_clip_val": 0.01},
            lambda params: torch.nn.utils.clip_grad_norm_(params, 0.01),
        ),
        (
            {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": "value"},
            lambda params: torch.nn.utils.clip_grad_value_(params, 1e-3),
        ),
    ],
    ids=["norm", "value"],
)
def test_gradients_are_clipped_over_all_parts(options: Any, clip: Any) -> None:
    clipped = fitted(**options)
    assert_same(clipped, fitted(lambda: ByHand(clip), max_steps=12))
    free = fitted()
    assert not torch.equal(*[r.lightning_module.net.norm.weight for r in (clipped, free)])


def test_batches_are_accumulated() -> None:
    accumulated = fitted(accumulate_grad_batches=3, max_steps=2)
    assert accumulated.global_step == 2
    alone = fitted(max_steps=2)
    for ours, theirs in zip(
        accumulated.lightning_module.parameters(), alone.lightning_module.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_monitor_shows_the_names_of_the_routes(tmp_path: Path) -> None:
    monitor = LearningRateMonitor(log_weight_decay=True, log_momentum=True)
    logger = CSVLogger(tmp_path)
    with pytest.warns(RuntimeWarning, match="some optimizers do not have momentum"):
        fitted(callbacks=[monitor], logger=logger, log_every_n_steps=1)
    rates = {key: values[0] for key, values in monitor.lrs.items()}
    expected = dict(zip(NAMES, [0.02, 1e-3, 1e-3], strict=True))
    assert rates == {f"lr-RoutedOptimizer/{name}": rate for name, rate in expected.items()}
    assert monitor.last_weight_decay_values["lr-RoutedOptimizer/muon-weight_decay"] == 0.01
    assert monitor.last_momentum_values["lr-RoutedOptimizer/muon-momentum"] == 0.95


def test_a_schedule_moves_every_rate() -> None:
    seen = [Rates(place) for place in range(3)]
    fitted(schedule="linear", max_steps=4, callbacks=seen)
    for rates, base in zip(seen, [0.02, 1e-3, 1e-3], strict=True):
        expected = [base, base * 0.75, base / 2, base / 4]
        assert list(rates.seen.values()) == pytest.approx(expected)


def test_a_schedule_may_be_for_one_route() -> None:
    schedule = {
        "name": "schedules",
        "default": {"lr": "constant"},
        "groups": {"muon": {"lr": "linear"}},
    }
    (optimizer,) = fitted(schedule=schedule, max_steps=4).optimizers
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 1e-3, 1e-3]


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER)
@pytest.mark.parametrize("make", [pl.Trainer, nshtrainer.Trainer])
def test_a_resumed_run_equals_the_uninterrupted_one(make: Any, tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_top_k=-1)
    whole = fitted(schedule="cosine", max_steps=8, callbacks=[saver], make=make)
    path = next(tmp_path.glob("*step=4.ckpt"))
    checkpoint = torch.load(path, weights_only=True)
    assert [g["name"] for g in checkpoint["optimizer_states"][0]["param_groups"]] == NAMES
    again = fitted(schedule="cosine", max_steps=8, resume=path, make=make)
    assert_same(again, whole)
    (optimizer,) = again.optimizers
    theirs = [group for part in optimizer.routes.values() for group in part.param_groups]
    assert all(ours is group for ours, group in zip(optimizer.param_groups, theirs, strict=True))
    assert (
        optimizer.state_dict()["param_groups"] == whole.optimizers[0].state_dict()["param_groups"]
    )


def test_it_works_in_bfloat16_mixed_precision() -> None:
    runner = fitted(precision="bf16-mixed", gradient_clip_val=1.0)
    assert all(param.isfinite().all() for param in runner.lightning_module.parameters())
    assert not torch.equal(
        runner.lightning_module.net.norm.weight, fitted().lightning_module.net.norm.weight
    )


def test_gradients_are_scaled_and_clipped_under_16_mixed() -> None:
    # Lightning alone would turn `16-mixed` into `bf16-mixed` on a CPU.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=1000)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)  # type: ignore[arg-type]
    runner = fitted(plugins=[plugin], gradient_clip_val=1.0, max_steps=30, loader=data(40))
    assert scaler.get_scale() < 2.0**40
    assert all(param.isfinite().all() for param in runner.lightning_module.parameters())
    assert len(runner.optimizers[0].state) > 0


class Unfreezing(BaseFinetuning):
    """Adds the second block after one epoch, as Lightning's callback does: without a route."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.net.blocks[1], train_bn=False)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.net.blocks[1], optimizer, lr=1e-4)


@pytest.mark.filterwarnings("ignore:.*are decayed against no_decay")
def test_parameters_that_are_unfrozen_late_go_to_the_default_route() -> None:
    runner = fitted(
        callbacks=[Unfreezing()], schedule="constant", max_steps=-1, max_epochs=2, loader=data(2)
    )
    (optimizer,) = runner.optimizers
    assert [group["name"] for group in optimizer.param_groups] == [*NAMES, "adamw/2"]
    assert optimizer.param_groups[3]["lr"] == 1e-4
    unfrozen = list(runner.lightning_module.net.blocks[1].parameters())
    assert all(param in optimizer.routes["adamw"].state for param in unfrozen)


def test_there_is_no_one_rate_for_a_finder_and_that_is_said() -> None:
    model = Deep({"optimizer": PRESET})
    text = r"MuonWithAdamWConfig has one learning rate per route \(muon, adamw\).*set them under"
    with pytest.raises(AttributeError, match=text):
        model.lr  # noqa: B018 - the lookup is the test
    with pytest.raises(AttributeError, match="has one learning rate per route"):
        model.lr = 0.1
    with pytest.raises(Exception, match="lr"):
        Tuner(trainer(max_steps=20)).lr_find(model, data(), num_training=5)


class Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def told(make_model: Any = None) -> list[str]:
    logger, handler = logging.getLogger("lightning.pytorch.utilities.rank_zero"), Told()
    level = logger.level
    logger.setLevel("INFO")
    logger.addHandler(handler)
    fitted(make_model, max_steps=1)
    logger.removeHandler(handler)
    logger.setLevel(level)
    return [text for text in handler.texts if text.startswith("Optimizers and")]


def test_the_routing_is_told_when_the_optimizer_is_made() -> None:
    (text,) = told()
    assert text == (
        "Optimizers and their parameters:\n"
        "muon (muon): 384 parameters in 8 tensors: 'net.blocks.0.qkv.weight', "
        "'net.blocks.0.out.weight' and 6 more\n"
        "adamw (adamw): 170 parameters in 23 tensors: 'net.pos_embed', 'net.scale' and 21 more"
    )


def test_the_routing_within_a_wrapper_is_told_too() -> None:
    wrapped = {"name": "clipped", "max_norm": 1.0, "optimizer": PRESET}
    (text,) = told(lambda: Deep({"optimizer": wrapped}))
    assert "muon (muon): 384 parameters" in text


def test_of_one_optimizer_there_is_nothing_to_tell() -> None:
    assert told(lambda: Deep({"optimizer": AdamWConfig()})) == []
