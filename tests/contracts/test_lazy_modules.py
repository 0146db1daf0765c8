"""Law of lazy modules: every optimizer trains them, or an error names the remedy."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from tests.trainers.support import BOTH_TRAINERS, Plain, data, trainer
from torch import nn

from nshtrainer.configs import (
    AdamWConfig,
    ClippedConfig,
    OptimizerConfigBase,
    RoutedOptimizerConfig,
    SGDConfig,
    SkippingConfig,
    optimizer_registry,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import shapes_needed
from nshtrainer.optimizer_record import get_requirements

REMEDY = "Run a batch through the model first"


def lazy() -> nn.Sequential:
    return nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2, bias=False))


def every_config() -> list[Any]:
    """Each optimizer and each wrapper at its defaults, where it is installed and has a CPU."""
    given = {"clipped": {"max_norm": 1.0}}
    found: list[Any] = []
    for name, cls in optimizer_registry.items():
        package = getattr(cls, "target", "torch").partition(".")[0].partition(":")[0]
        asks = getattr(cls, "needs_sparse_gradients", False) or getattr(cls, "instead_on_cpu", "")
        if find_spec(package) and not asks and name != "routed":
            example = getattr(cls, "example", None)
            wraps = {"optimizer": "sgd"} if "optimizer" in cls.model_fields else {}
            options = wraps | given.get(name, {})
            config = cls.from_yaml(example) if example else cls.model_validate(options)
            takes_long = package in {"bitsandbytes", "torchao"}  # to import
            found.append(pytest.param(config, marks=[pytest.mark.slow] * takes_long, id=name))
    return found


NEEDY = {
    *("adago", "adamuon", "muon", "muon_with_adamw", "muonclip", "normuon", "po_muon"),
    *("adagrad", "lookahead", "lorarite", "sara", "spam", "spectralsphere"),
}
"""Optimizers that cannot be built, or stepped, before the shapes are known."""


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
@pytest.mark.parametrize("config", every_config())
def test_every_optimizer_trains_a_lazy_model_or_names_the_remedy(config: Any):
    torch.default_generator.manual_seed(0)
    model = lazy()
    try:
        optimizer = config.create_optimizer(model)
        before = trained(model, optimizer, torch.randn(8, 3))
    except OptimizerError as error:
        assert REMEDY in str(error)  # noqa: PT017 - most raise none
        assert config.name in NEEDY
        return
    assert config.name not in NEEDY
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def trained(model: nn.Module, optimizer: Any, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Train as Lightning does, with the first batch in the closure; give the first weights."""
    first: dict[str, torch.Tensor] = {}

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        first.update({} if first else copy.deepcopy(model.state_dict()))
        loss.backward(create_graph=get_requirements(optimizer).second_backward)
        return loss

    if callable(getattr(optimizer, "train", None)):
        optimizer.train()
    with torch.compiler.set_stance("force_eager"):
        for _ in range(12):
            optimizer.step(closure)
    return first


ASKING = [
    {"no_decay": "bias_and_norm"},
    {"no_decay": "ndim_below_2"},
    {"layer_decay": {"rate": 0.5, "layers": ["2"]}},
    {"groups": [{"name": "a", "select": {"role": "matrix"}}]},
    {"groups": [{"name": "a", "select": {"ndim": 2}}]},
    {"width_transfer": {"base_width": 2, "width": 4}},
]


@pytest.mark.parametrize("options", ASKING, ids=lambda options: next(iter(options)))
def test_what_tells_parameters_apart_by_shapes_names_the_remedy(options: dict[str, Any]):
    config = AdamWConfig.model_validate(options)
    with pytest.raises(OptimizerError, match=rf"'0.weight' has no shape yet: .*{REMEDY}"):
        config.create_optimizer(lazy())
    model = lazy()
    model(torch.ones(2, 3))
    assert config.create_optimizer(model)


def test_what_tells_parameters_apart_by_names_works():
    route = {"name": "one", "select": "0", "optimizer": "sgd"}
    routed = RoutedOptimizerConfig.model_validate({"routes": [route], "default": "adamw"})
    grouped = AdamWConfig.model_validate({"groups": [{"name": "a", "select": "0", "lr_mult": 2}]})
    for config in (routed, grouped):
        assert len(config.create_optimizer(lazy()).param_groups) == 2
    with pytest.raises(OptimizerError, match=REMEDY):
        routed.describe(lazy())


def test_an_error_about_something_else_stays_as_it_is():
    with pytest.raises(RuntimeError, match="another"), shapes_needed("it", [torch.ones(1)]):
        raise RuntimeError("another")
    with pytest.raises(OptimizerError, match=r"^own$"), shapes_needed("it", lazy().parameters()):
        raise OptimizerError("own")


class Lazy(Plain):
    """A plain LightningModule with a lazy layer."""

    def __init__(self, config: OptimizerConfigBase) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.Linear(3, 1))
        self.config = config

    def configure_optimizers(self) -> Any:
        return self.config.create_optimizer(self)


@pytest.mark.parametrize("make", BOTH_TRAINERS)
@pytest.mark.parametrize(
    "config",
    [
        SGDConfig(lr=0.1, momentum=0.9),
        AdamWConfig(),
        ClippedConfig(optimizer="adamw", max_norm=1.0),
        SkippingConfig(optimizer="adamw"),
    ],
    ids=lambda config: config.name,
)
def test_both_trainers_train_a_lazy_module(make: Any, config: OptimizerConfigBase):
    module = Lazy(config)
    trainer(make, max_epochs=1).fit(module, data(3))
    assert module.layer[0].weight.shape == (3, 2)
    optimizer = module.trainer.optimizers[0]
    assert all(param in optimizer.state for param in module.parameters())
