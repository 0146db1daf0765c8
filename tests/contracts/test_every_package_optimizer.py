"""Laws of the optimizers of other packages; those of every config with few examples, of so many."""

from __future__ import annotations

import copy
import inspect
import io
import math
import re
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.contracts import test_every_config as every_config
from tests.models import Sine
from tests.support import configs_of, that_add_something
from torch import Tensor

from nshtrainer import configs
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer import third_party as packages
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.optimizer.torch_config import target_class

PERMISSIVE = {"Apache-2.0", "BSD-3-Clause", "MIT"}

Config = type[PackageOptimizerConfigBase]
EVERY: list[Config] = [getattr(packages, name) for name in packages.__all__]
every_optimizer = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)


def those(capability: str, value: Any) -> pytest.MarkDecorator:
    """The optimizers that declare something."""
    found = [cls for cls in EVERY if getattr(cls, capability) == value]
    assert found
    return pytest.mark.parametrize("cls", found, ids=lambda cls: cls.__name__)


every_one_for_a_cpu = those("instead_on_cpu", "")
LOW_BIT = {"bitsandbytes", "torchao"}


def default(cls: Config) -> Any:
    return cls.from_yaml(cls.example or "{}")


def modest(cls: Config) -> Any:
    """The defaults, but for rates that only problems of another size take."""
    config = default(cls)
    rate = getattr(config, "lr", None)
    return config.replace(lr=0.05) if rate is not None and rate > 0.05 else config


def make_model(cls: Config, seed: int = 0) -> Sine:
    torch.default_generator.manual_seed(seed)
    # The moments of a matrix of 4096 numbers take few bits; those of the others are plain.
    model = Sine(cls.needs_dimensions is None, 2048 if cls.extra in LOW_BIT else 16)
    return model.to("meta") if cls.instead_on_cpu else model


def train(cls: Config, model: Sine, optimizer: Any, steps: int) -> list[float]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward(create_graph=cls.needs_second_backward)
        return loss.detach()

    losses = []
    for step in range(steps):
        torch.default_generator.manual_seed(step)
        losses.append(float(optimizer.step(closure)))
    optimizer.zero_grad()
    return losses


@pytest.fixture(autouse=True)
def _as_written() -> Iterator[None]:
    """The steps of torchao without the half minute in which they are compiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


# AdaHessian and SophiaH differentiate the loss twice, as they are made to.
pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")

# -- the module and the package --------------------------------------------------------------------


@every_optimizer
def test_its_licence_is_permissive_and_its_package_declares_it(cls: Config) -> None:
    assert cls.licence in PERMISSIVE
    assert re.split(r"[.:]", cls.target)[0].replace("_", "-") == cls.extra
    assert metadata.version(cls.extra)


# -- configs ---------------------------------------------------------------------------------------

DESCRIBED = [
    law
    for name, law in vars(every_config).items()
    if name.startswith("test_")
    and "cls" in inspect.signature(law).parameters
    and not hasattr(law, "hypothesis")
]


@pytest.mark.parametrize("cls", that_add_something(EVERY), ids=lambda cls: cls.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_what_is_drawn_from_its_fields_keeps_the_laws(cls: Config, data: st.DataObject) -> None:
    every_config.assert_laws_hold(cls, data)


@every_optimizer
@settings(max_examples=2)
@given(data=st.data())
def test_a_constructor_takes_what_is_drawn(cls: Config, data: st.DataObject) -> None:
    config = data.draw(configs_of(cls))
    assert cls.from_yaml(config.to_yaml()) == config
    every_config.assert_schema_accepts_it(cls, config)
    assert_constructor_takes_it(cls, config)


def assert_constructor_takes_it(cls: Config, config: Any) -> None:
    config = config.replace(tensor_lr=False, layer_decay=None, lr_scaling=None)
    try:
        config.without_grouping().create_optimizer(make_model(cls))
    except OptimizerError as error:
        if "parameters" not in str(error):  # what is wrong is not the config alone
            raise


@every_optimizer
def test_it_is_described_as_every_config_is(cls: Config) -> None:
    for law in DESCRIBED:
        law(cls)


@every_optimizer
def test_its_options_are_the_constructors_defaults(cls: Config, generate: Any) -> None:
    parameters = inspect.signature(target_class(cls.target)).parameters
    config = default(cls)
    options = config.options()
    for key, value in options.items():
        assert key in config.model_fields_set or value == parameters[key].default
    left_out = parameters.keys() - options.keys() - {"params", "kwargs", "optim_bits"}
    theirs = cls.target.partition(":")[2]
    assert all(
        parameters[key].default in {None, False} or f"{theirs}.{key}" in generate.OMITTED
        for key in left_out
    )


@every_optimizer
def test_an_option_that_the_package_would_swallow_is_refused_in_a_group(cls: Config) -> None:
    groups = [{"params": make_model(cls).parameters(), "weight_dekay": 0.1}]
    with pytest.raises(OptimizerError, match="weight_dekay"):
        default(cls).create_optimizer(groups)


# -- training --------------------------------------------------------------------------------------


@every_one_for_a_cpu
def test_its_steps_change_the_weights_and_the_loss_falls(cls: Config) -> None:
    model = make_model(cls)
    before = copy.deepcopy(model.state_dict())
    losses = train(cls, model, modest(cls).create_optimizer(model), 24)
    assert all(map(math.isfinite, losses))
    assert min(losses[1:]) < losses[0]
    assert any(not torch.equal(before[key], value) for key, value in model.state_dict().items())


@every_one_for_a_cpu
def test_a_resumed_run_equals_the_uninterrupted_one(cls: Config) -> None:
    model = make_model(cls)
    optimizer = modest(cls).create_optimizer(model)
    train(cls, model, optimizer, 3)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    losses = train(cls, model, optimizer, 3)

    file.seek(0)
    saved = torch.load(file, weights_only=cls.state_is_plain)
    names = [name for group in saved["optimizer"]["param_groups"] for name in group["param_names"]]
    assert sorted(names) == sorted(dict(model.named_parameters()))
    resumed = make_model(cls, seed=1)
    again = modest(cls).create_optimizer(resumed)
    resumed.load_state_dict(saved["model"])
    for state in of_other_shapes(saved["optimizer"], cls.state_like_param):
        with pytest.raises(OptimizerError, match="the saved state does not fit"):
            again.load_state_dict(state)
    again.load_state_dict(saved["optimizer"])
    assert train(cls, resumed, again, 3) == losses


def of_other_shapes(
    state: dict[str, Any], keys: tuple[str, ...] | None
) -> Iterator[dict[str, Any]]:
    """The state with something else in place of a tensor, for each tensor of the first parameter.

    Of a state whose shapes depend on more, only these keys have the shape of the parameter.
    """
    held = state["state"].get(0, {})
    for key, value in held.items():
        if isinstance(value, Tensor) and value.numel() > 1 and (keys is None or key in keys):
            for odd in (value.flatten()[:1], value[:1], value.new_zeros(7), "x"):
                if getattr(odd, "shape", None) != value.shape:
                    other = {**held, key: odd}
                    yield {**state, "state": {**state["state"], 0: other}}


@every_one_for_a_cpu
def test_a_rate_may_be_a_tensor_or_that_is_refused(cls: Config) -> None:
    config, model = modest(cls).replace(tensor_lr=True), make_model(cls)
    if not cls.takes_tensor_lr:
        with pytest.raises(OptimizerError, match="takes no tensor for its rate"):
            config.create_optimizer(model)
        return
    optimizer = config.create_optimizer(model)
    assert all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups)
    assert all(map(math.isfinite, train(cls, model, optimizer, 2)))


@every_optimizer
def test_its_groups_have_a_rate_where_its_config_has(cls: Config) -> None:
    optimizer = default(cls).create_optimizer(make_model(cls))
    has_rate = all("lr" in group for group in optimizer.param_groups)
    assert has_rate == ("lr" in cls.model_fields)


# -- what is declared ------------------------------------------------------------------------------


@those("state_is_plain", False)
def test_a_state_that_is_not_plain_is_said_to_be_so(cls: Config) -> None:
    model = make_model(cls)
    optimizer = default(cls).create_optimizer(model)
    train(cls, model, optimizer, 1)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(file, weights_only=True)


@those("needs_second_backward", True)
def test_without_a_graph_the_package_refuses_to_step(cls: Config) -> None:
    model = make_model(cls)
    optimizer = default(cls).create_optimizer(model)
    model.loss().backward()
    with pytest.raises(RuntimeError):
        optimizer.step()


@those("has_modes", True)
def test_it_goes_to_other_weights_in_evaluation_and_back(cls: Config) -> None:
    model = make_model(cls)
    optimizer: Any = modest(cls).create_optimizer(model)
    train(cls, model, optimizer, 10)
    weights = copy.deepcopy(model.state_dict())
    optimizer.eval()
    assert any(not torch.allclose(weights[key], value) for key, value in model.state_dict().items())
    optimizer.train()
    torch.testing.assert_close(model.state_dict(), weights)


@every_optimizer
def test_it_has_modes_where_it_says_so(cls: Config) -> None:
    target: Any = target_class(cls.target)
    assert cls.has_modes == (hasattr(target, "train") and hasattr(target, "eval"))


@those("splits_by_dimensions", True)
def test_matrices_and_the_rest_get_groups_of_their_own(cls: Config) -> None:
    model = make_model(cls)
    named = default(cls).create_optimizer(model.named_parameters())
    assert [(group["use_muon"], group["param_names"]) for group in named.param_groups] == [
        (True, ["layers.0.weight", "layers.2.weight"]),
        (False, ["layers.0.bias", "layers.2.bias"]),
    ]
    told = [
        {"params": [model.layers[0].weight], "lr": 0.1},
        {"params": [model.layers[2].weight], "use_muon": False},
    ]
    split = default(cls).create_optimizer(told)
    assert [group["use_muon"] for group in split.param_groups] == [True, False]
    assert split.param_groups[0]["lr"] == 0.1
    assert split.param_groups[1]["lr"] == default(cls).adamw_lr


@pytest.mark.parametrize(
    "cls", [cls for cls in EVERY if cls.instead_on_cpu], ids=lambda cls: cls.__name__
)
def test_one_for_a_gpu_names_another_for_a_cpu(cls: Config) -> None:
    model = make_model(cls).to_empty(device="cpu")
    with pytest.raises(OptimizerError, match=r"needs a GPU; .*'layers\.0\.weight'") as error:
        default(cls).create_optimizer(model)
    other = optimizer_registry[cls.instead_on_cpu]
    assert f"take {cls.instead_on_cpu!r}, which runs on a CPU" in str(error.value)
    assert other().create_optimizer(model)


@pytest.mark.parametrize(
    "cls",
    [cls for cls in EVERY if cls.extra in LOW_BIT and not cls.instead_on_cpu],
    ids=lambda cls: cls.__name__,
)
def test_its_state_takes_few_bits(cls: Config) -> None:
    model = make_model(cls)
    optimizer = default(cls).create_optimizer(model)
    train(cls, model, optimizer, 1)
    state = optimizer.state[model.layers[0].weight]
    kept = [value for key, value in state.items() if re.match("state|exp", key)]
    assert kept
    assert all(
        value.dtype is torch.uint8 or type(value).__name__.startswith("OptimState")
        for value in kept
    )


@those("extra", "torchao")
def test_its_state_is_written_without_classes_and_read_with_them_too(cls: Config) -> None:
    model = make_model(cls)
    optimizer = default(cls).create_optimizer(model)
    train(cls, model, optimizer, 1)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(file) == []
    file.seek(0)
    # So does Lightning load it, which torch refuses for tensors of classes of their own.
    saved = torch.load(file, map_location=lambda storage, _: storage, weights_only=True)
    theirs = {**saved, "state": dict(enumerate(optimizer.state.values()))}
    for state in (saved, theirs):
        again = default(cls).create_optimizer(make_model(cls))
        again.load_state_dict(state)
        kinds = [{key: type(value) for key, value in one.items()} for one in again.state.values()]
        assert kinds == [
            {key: type(value) for key, value in one.items()} for one in optimizer.state.values()
        ]


def test_an_option_that_a_group_cannot_have_is_not_taken_for_one() -> None:
    model = make_model(configs.AOAdamW8bitConfig)
    groups = [{"params": model.parameters(), "name": "all", "block_size": 64}]
    with pytest.raises(OptimizerError, match=r"\('all'\): block_size applies to all groups"):
        configs.AOAdamW8bitConfig().create_optimizer(groups)


def test_a_low_rank_is_what_the_group_gets() -> None:
    model = make_model(packages.GaLoreConfig)
    optimizer = packages.GaLoreConfig(rank=2).create_optimizer(model)
    assert optimizer.param_groups[0]["rank"] == 2
    losses = train(packages.GaLoreConfig, model, optimizer, 3)
    assert losses[2] < losses[0]


def test_what_the_package_refuses_is_said_with_the_class() -> None:
    config = packages.FlashAdamWConfig(master_weight_bits=24)
    with pytest.raises(OptimizerError, match=r"FlashAdamWConfig: .* all parameters are fp32"):
        config.create_optimizer(make_model(packages.FlashAdamWConfig))


def test_a_field_that_may_not_be_above_another_is_named_with_it() -> None:
    with pytest.raises(ValidationError, match="leading_basis is above rank: give at most 8"):
        packages.AliceConfig(rank=8)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nshtrainer.optimizer.third_party.base.find_spec", lambda _: None)
    for call in (
        lambda: configs.LionConfig().create_optimizer(make_model(configs.LionConfig)),
        configs.LionConfig().options,
    ):
        with pytest.raises(OptimizerError, match=r"pip install 'nshtrainer\[pytorch-optimizer\]'"):
            call()
