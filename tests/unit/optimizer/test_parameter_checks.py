"""Optimizers whose parameters the model has no more are found before the first step, they alone."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parametrizations, prune
from typing_extensions import override

from nshtrainer import RunLength, create
from nshtrainer.configs import (
    AdamWConfig,
    ConstantScheduleConfig,
    LookaheadConfig,
    RoutedOptimizerConfig,
    SGDConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer import OptimizerConfigBase
from nshtrainer.optimizer.custom import CustomOptimizerConfig
from nshtrainer.optimizer.parameter_checks import check_stale, check_unowned, watch_parameters

Model = nn.Sequential


class OwnConfig(OptimizerConfigBase):
    """What a user writes."""

    name: Literal["own"] = "own"

    def create_optimizer(self, params: Any, /) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=0.1)


def make(device: str = "cpu") -> Model:
    return Model(nn.Linear(2, 3, device=device), nn.Tanh(), nn.Linear(3, 1, device=device))


def step(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    optimizer.zero_grad()
    model(torch.ones(4, 2)).square().mean().backward()
    optimizer.step()


# -- what is found ---------------------------------------------------------------------------------


def made_anew(model: Model) -> None:
    model[2] = nn.Linear(3, 1)


def replaced_by_to(model: Model) -> None:
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.to(torch.float64).to(torch.float32)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def quantized(model: Model) -> None:
    """The weight becomes a buffer of few bits, as kernels of inference have it."""
    weight = model[2].weight.detach()
    del model[2].weight
    model[2].register_buffer("weight", (weight * 10).round() / 10)


def assigned(model: Model) -> None:
    model.load_state_dict(make().state_dict(), assign=True)


def normed(model: Model) -> None:
    """Two parameters of one: its sizes and its directions."""
    parametrizations.weight_norm(model[2])


CHANGES = [made_anew, replaced_by_to, quantized, assigned, normed]
CONFIGS = [
    AdamWConfig(),
    LookaheadConfig(optimizer="sgd"),
    RoutedOptimizerConfig(
        routes=[{"name": "out", "select": "2.*", "optimizer": "sgd"}], default="adamw"
    ),
    CustomOptimizerConfig(torch.optim.Adam),
    OwnConfig(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_replaced_is_an_error_before_the_first_step(
    change: Callable[[Model], None],
) -> None:
    model = make()
    optimizer = SGDConfig().create_optimizer(model)
    change(model)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(OptimizerError, match=r"SGD holds parameters no longer in Sequential"):
        step(optimizer, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_whoever_wrote_the_config_the_optimizer_looks(config: OptimizerConfigBase) -> None:
    model = make()
    run = RunLength(total_steps=5)
    optimizer, _ = create(config, ConstantScheduleConfig(), model, run)
    made_anew(model)
    with pytest.raises(
        OptimizerError, match=r"\('2\.weight', '2\.bias'\).*create the optimizer after"
    ):
        step(optimizer, model)


def test_who_knows_the_model_may_ask_before_the_first_step() -> None:
    model = make()
    optimizer = SGDConfig().create_optimizer(model)
    check_stale(optimizer)
    check_stale(torch.optim.SGD(model.parameters(), lr=0.1))  # nobody watches
    made_anew(model)
    with pytest.raises(OptimizerError, match="no longer in"):
        check_stale(optimizer)


def test_weights_that_come_after_the_optimizer_are_an_error() -> None:
    model = make("meta")
    optimizer = AdamWConfig().create_optimizer(model)
    model.to_empty(device="cpu")
    with pytest.raises(OptimizerError, match=r"'0\.weight'.*to_empty"):
        step(optimizer, model)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process, which holds the only shard of everything."""
    dist.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def sharded(model: nn.Module) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


def test_an_optimizer_older_than_the_shards_is_an_error(alone: None) -> None:
    model = make()
    optimizer = AdamWConfig().create_optimizer(model)
    sharded(model)
    with pytest.raises(OptimizerError, match=r"'0\.weight', .*fully_shard"):
        step(optimizer, model)


def test_an_optimizer_of_weights_that_are_whole_for_a_moment_is_an_error(alone: None) -> None:
    model = sharded(make())
    model(torch.ones(4, 2))  # nobody goes back, so the weights stay whole
    optimizer = AdamWConfig().create_optimizer(model)
    with pytest.raises(OptimizerError, match="fully_shard"):
        step(optimizer, model)


# -- what is not -----------------------------------------------------------------------------------


def test_an_optimizer_of_shards_is_none_also_while_they_are_whole(alone: None) -> None:
    model = sharded(make())
    model.set_reshard_after_backward(False)
    optimizer = AdamWConfig().create_optimizer(model)
    step(optimizer, model)
    assert optimizer.state


def pruned(model: Model) -> nn.Module:
    return prune.l1_unstructured(model[0], "weight", amount=1) and model


def parametrized(model: Model) -> nn.Module:
    parametrizations.spectral_norm(model[0])
    return model


def compiled(model: Model) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


def frozen(model: Model) -> nn.Module:
    model[0].requires_grad_(False)
    return model


def moved(model: Model) -> nn.Module:
    return model.to(torch.float64).to(torch.float32)


def loaded(model: Model) -> nn.Module:
    model.load_state_dict(make().state_dict())
    return model


def nested(model: Model) -> nn.Module:
    return nn.Sequential(nn.Identity(), model)


def extended(model: Model) -> nn.Module:
    return model.append(nn.Linear(1, 1))


KEPT = [pruned, parametrized, compiled, frozen, moved, loaded, nested, extended]


@pytest.mark.parametrize("change", KEPT)
def test_a_model_that_keeps_its_parameters_is_none(
    change: Callable[[Model], nn.Module],
) -> None:
    model = make()
    optimizer = SGDConfig().create_optimizer(model)
    step(optimizer, change(model))


def test_a_parameter_beside_the_model_is_none() -> None:
    model, temperature = make(), nn.Parameter(torch.ones(()))
    optimizer = SGDConfig().create_optimizer(model)
    optimizer.add_param_group({"params": [temperature]})
    step(optimizer, model)


def test_parameters_of_several_modules_are_none() -> None:
    one, other = make(), make()
    optimizer = SGDConfig().create_optimizer(nn.ModuleList([one, other]))
    gc.collect()
    step(optimizer, one)
    step(SGDConfig().create_optimizer([*one.parameters(), *other.parameters()]), other)


def test_a_model_that_is_gone_is_none_and_is_let_go() -> None:
    model = make()
    params = list(model.parameters())
    gone = weakref.ref(model)
    optimizer = torch.optim.SGD(params, lr=0.1)
    watch_parameters(optimizer, model)
    del model
    assert gone() is None  # by counting alone: there is no cycle
    optimizer.step()


def test_a_copy_of_model_and_optimizer_is_none() -> None:
    model = make()
    model, optimizer = copy.deepcopy((model, SGDConfig().create_optimizer(model)))
    step(optimizer, model)


def test_what_has_put_the_new_parameters_into_the_optimizer_is_none() -> None:
    model = make()
    optimizer = SGDConfig().create_optimizer(model)
    made_anew(model)
    optimizer.param_groups[0]["params"] = list(model.parameters())  # as accelerate does
    step(optimizer, model)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:FSDP is switching to use")
@pytest.mark.parametrize("whole", [False, True])
def test_a_flat_parameter_of_the_first_fsdp_is_none(whole: bool, alone: None) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    device = torch.device("cpu")
    model = FullyShardedDataParallel(make(), device_id=device, use_orig_params=whole)
    step(SGDConfig().create_optimizer(model), model)


def test_it_looks_once() -> None:
    class Counted(Model):
        looks = 0

        @override
        def parameters(self, recurse: bool = True) -> Any:
            Counted.looks += 1
            return super().parameters(recurse)

    model = Counted(nn.Linear(2, 1))
    optimizer = SGDConfig().create_optimizer(model)
    Counted.looks = 0
    for _ in range(3):
        step(optimizer, model)
    assert Counted.looks == 1


# -- bare parameters, where a trainer knows the model ----------------------------------------------


def bare(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1)


def test_one_of_bare_parameters_that_were_all_replaced_is_found() -> None:
    with pytest.raises(OptimizerError, match=r"SGD has none of .*no optimizer has '0\.weight'"):
        check_unowned([bare(make().parameters())], make())


def test_one_of_two_is_found_as_well() -> None:
    model = make()
    with pytest.raises(OptimizerError, match=r"no optimizer has '2\.weight', '2\.bias'"):
        check_unowned([bare(model[0].parameters()), bare(make()[2].parameters())], model)


@pytest.mark.parametrize(
    "extra",
    [
        lambda model: [nn.Parameter(torch.ones(()))],  # of another shape than all that is left
        lambda model: [param.detach().double() for param in model[2].parameters()],  # masters
        lambda model: [param.detach().clone() for param in model[2].parameters()],
        lambda model: nn.Linear(7, 7).parameters(),
        lambda model: [{"params": []}],
    ],
)
def test_an_optimizer_of_something_else_is_none(extra: Callable[[Model], Any]) -> None:
    model = make()
    check_unowned([bare(model[0].parameters()), bare(extra(model))], model)
    model[2].requires_grad_(False)
    check_unowned([bare(model[0].parameters()), bare(make()[2].parameters())], model)
