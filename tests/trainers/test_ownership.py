"""Parameters that no update reaches are named once an epoch, with what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, ModelCheckpoint
from tests.models import Transformer
from tests.trainers.support import (
    BOTH_TRAINERS,
    MID_EPOCH,
    NO_SAVER,
    Deep,
    TinyConfig,
    data,
    trainer,
)
from torch import Tensor, nn

from nshtrainer import LightningModuleBase
from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.optimizer.parameter_checks import ownership_problems

ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.1, "no_decay": "bias_and_norm"}
BODY = {"name": "body", "select": "net.blocks", "freeze": True}


class At(pl.Callback):
    """Does something to the module and its optimizer when an epoch starts."""

    def __init__(self, epoch: int, change: Callable[[Any, Any], object]) -> None:
        self.epoch, self.change = epoch, change

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == self.epoch:
            self.change(pl_module, trainer.optimizers[0])


def warned(module: Any, *changes: pl.Callback, **options: Any) -> list[str]:
    """What is said of a run of four epochs."""
    resume = options.pop("resume", None)
    runner = trainer(**{"max_epochs": 4, "callbacks": [*changes], **options})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NshtrainerWarning)
        runner.fit(module, data(2), ckpt_path=resume)
    return [str(each.message) for each in caught if each.category is NshtrainerWarning]


def deep(**optimizer: Any) -> Deep:
    return Deep({"optimizer": {**ADAMW, **optimizer}})


def thawed(module: Any, _optimizer: Any) -> None:
    module.net.blocks.requires_grad_(True)


def test_a_body_that_is_thawed_is_named_once() -> None:
    (text,) = warned(deep(groups=[BODY]), At(1, thawed))
    assert text.startswith("Deep: 'net.blocks.0.norm1.weight', 'net.blocks.0.norm1.bias', ")
    assert "and 19 more are trainable and in no optimizer, so they are not updated. Add th" in text
    assert "add_param_group" in text
    assert "include_frozen" in text


def test_more_of_it_is_named_in_a_later_epoch() -> None:
    def one(module: Any, _optimizer: Any) -> None:
        module.net.blocks[0].requires_grad_(True)

    first, second = warned(deep(groups=[BODY]), At(1, one), At(2, thawed))
    assert "and 7 more" in first
    assert "and 19 more" in second


def test_a_body_that_waits_in_the_optimizer_is_not_named() -> None:
    module = deep(groups=[{**BODY, "lr_mult": 0.1}], include_frozen=True)
    before = module.net.blocks[0].fc.weight.detach().clone()
    assert warned(module, At(2, thawed)) == []
    assert not torch.equal(before, module.net.blocks[0].fc.weight)


class Tied(LightningModuleBase[TinyConfig]):
    """Its head is tied to its embedding until the run starts."""

    def __init__(self) -> None:
        super().__init__({"optimizer": "sgd"})
        self.net = Transformer(depth=1, tied=True)

    def on_fit_start(self) -> None:
        self.net.lm_head = nn.Linear(4, 5, bias=False)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.net.loss()


def test_a_head_that_was_replaced_where_it_was_tied_is_named() -> None:
    (text,) = warned(Tied())
    assert text.startswith("Tied: 'net.lm_head.weight' are trainable and in no optimizer")


def remade(module: Any, _optimizer: Any) -> None:
    module.net = Transformer(depth=1)


def test_a_model_of_which_nothing_is_left_is_named() -> None:
    (text,) = warned(deep(), At(1, remade))
    assert "and 14 more are trainable and in no optimizer, so they are not updated" in text


class Foreign(pl.LightningModule):
    """Somebody else's module, that uses a config of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Transformer(depth=2)
        self.net.blocks.requires_grad_(False)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.net.loss()

    def configure_optimizers(self) -> Any:
        return AdamWConfig.model_validate(ADAMW).create_optimizer(self)


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize("change", [thawed, remade])
def test_a_module_without_our_base_class_is_looked_at(make: Any, change: Any) -> None:
    (text,) = warned(Foreign(), At(1, change), make=make)
    assert "are trainable and in no optimizer, so they are not updated" in text


class WithBackbone(Deep):
    def __init__(self) -> None:
        super().__init__({"optimizer": {"name": "adamw", "lr": 1e-3}})
        self.backbone = self.net.blocks


@pytest.mark.filterwarnings(MID_EPOCH, NO_SAVER, "ignore:The parameter group")
def test_what_a_resumed_run_froze_again_is_named(tmp_path: Path) -> None:
    def finetuning() -> BackboneFinetuning:
        return BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=1e-3)

    saver = ModelCheckpoint(tmp_path, every_n_epochs=1, save_top_k=-1)
    assert warned(WithBackbone(), finetuning(), saver, max_epochs=3) == []
    path = next(tmp_path.glob("epoch=2*.ckpt"))
    (text,) = warned(WithBackbone(), finetuning(), max_epochs=5, resume=path)
    assert text.startswith("WithBackbone: 'net.blocks.0.")
    assert "are in an optimizer and frozen, so they are not updated. Turn their gradient on" in text


def joined(module: Any, optimizer: Any) -> None:
    thawed(module, optimizer)
    optimizer.add_param_group({"params": list(module.net.blocks.parameters())})


@pytest.mark.parametrize(
    "optimizer",
    [
        ADAMW,
        {"name": "clipped", "optimizer": ADAMW, "max_norm": 1.0},
        {"name": "routed", "routes": [{"name": "a", "select": "*", "optimizer": ADAMW}]},
    ],
    ids=lambda optimizer: optimizer["name"],
)
def test_a_group_that_joins_with_a_decay_against_the_preset_is_named(
    optimizer: dict[str, Any],
) -> None:
    module = Deep({"optimizer": optimizer})
    module.net.blocks.requires_grad_(False)
    (text,) = warned(module, At(1, joined))
    assert text.startswith("Deep: 'net.blocks.0.norm1.weight', 'net.blocks.0.norm1.bias', ")
    assert "and 11 more are decayed against no_decay: their group was added with a" in text


@pytest.mark.parametrize("options", [{"weight_decay": 0.0}, {}])
def test_a_group_that_joins_as_the_preset_asks_is_not_named(options: dict[str, Any]) -> None:
    def split(module: Any, optimizer: Any) -> None:
        thawed(module, optimizer)
        params = list(module.net.blocks.parameters())
        matrices = [param for param in params if param.ndim == 2]
        vectors = [param for param in params if param.ndim < 2]
        optimizer.add_param_group({"params": matrices})
        optimizer.add_param_group({"params": vectors, **options})

    module = deep(no_decay="none" if not options else "bias_and_norm")
    module.net.blocks.requires_grad_(False)
    assert warned(module, At(1, split)) == []


def test_a_group_that_joins_in_a_loop_is_named_at_its_first_step() -> None:
    net = Transformer(depth=1)
    net.blocks.requires_grad_(False)
    optimizer = AdamWConfig.model_validate(ADAMW).create_optimizer(net)
    net.blocks.requires_grad_(True)
    optimizer.add_param_group({"params": list(net.blocks.parameters())})
    text = r"'blocks.0.norm1.weight', .* and 3 more are decayed against no_decay: their group was"
    with pytest.warns(NshtrainerWarning, match=text):
        optimizer.step()
    optimizer.step()
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    del net
    optimizer.step()


class Own(Deep):
    """Configures its optimizers itself."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__({"optimizer": "sgd"})
        self.net.blocks.requires_grad_(False)
        self.make = make

    def configure_optimizers(self) -> Any:
        return self.make(self.net)


def test_frozen_parameters_in_an_optimizer_of_a_user_are_not_named() -> None:
    assert warned(Own(lambda net: torch.optim.SGD(net.parameters(), lr=0.1))) == []


def test_an_optimizer_of_a_part_of_what_is_trainable_is_named() -> None:
    (text,) = warned(Own(lambda net: torch.optim.SGD(net.lm_head.parameters(), lr=0.1)))
    assert "'net.embed.weight', 'net.norm.weight', 'net.norm.bias' are trainable" in text


def test_an_optimizer_of_copies_is_not_named() -> None:
    model, other = Transformer(depth=1), Transformer(depth=1)
    assert ownership_problems([torch.optim.SGD(other.parameters(), lr=0.1)], model) == []


def test_a_group_that_joins_an_optimizer_of_a_user_is_not_named() -> None:
    def made(net: Any) -> Any:
        net.blocks.requires_grad_(False)
        trained = [param for param in net.parameters() if param.requires_grad]
        return torch.optim.AdamW(trained, lr=0.1)

    assert warned(Own(made), At(1, joined)) == []


def test_what_is_frozen_after_it_was_trained_is_named() -> None:
    def frozen(module: Any, _optimizer: Any) -> None:
        module.net.norm.requires_grad_(False)

    (text,) = warned(deep(), At(2, frozen))
    assert text.startswith("Deep: 'net.norm.weight', 'net.norm.bias' are in an optimizer and froz")


class Two(Own):
    """Two networks that freeze each other, by hand."""

    def __init__(self) -> None:
        super().__init__(lambda net: [torch.optim.SGD([p], lr=0.1) for p in net.parameters()][:2])
        self.automatic_optimization = False
        self.net.requires_grad_(False)
        self.net.pos_embed.requires_grad_(True)
        self.net.scale.requires_grad_(True)

    def training_step(self, batch: Tensor) -> None:  # type: ignore[override]
        self.net.loss().backward()
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
        self.net.scale.requires_grad_(not self.net.scale.requires_grad)


def test_optimizers_that_take_turns_are_not_named() -> None:
    assert warned(Two(), At(1, lambda module, _: module.net.scale.requires_grad_(False))) == []
