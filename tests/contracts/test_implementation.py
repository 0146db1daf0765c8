"""`fused=None` is faster where it can be, and breaks nothing that torch's default would do."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.support import CONFIG_CHANGED, saved_and_loaded, torchs_optimizers, weights
from torch import Tensor, nn

from nshtrainer.configs import (
    AdagradConfig,
    AdamConfig,
    AdamWConfig,
    RAdamConfig,
    SGDConfig,
)
from nshtrainer.optimizer.fused import should_use_fused

FUSED = [
    *(cls() for cls in torchs_optimizers() if cls().fused_dtypes()),
    AdamWConfig(amsgrad=True, maximize=True),
    SGDConfig(momentum=0.9),
    SGDConfig(momentum=0.9, weight_decay=0.1, nesterov=True),
    AdagradConfig(weight_decay=0.1, lr_decay=0.1),
]
every_fused = pytest.mark.parametrize("config", FUSED, ids=str)

Config = Any  # a config with `fused` and `foreach`


def model(seed: int = 0) -> nn.Module:
    torch.default_generator.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 1))


def backward(module: nn.Module, step: int) -> None:
    torch.default_generator.manual_seed(100 + step)
    module.zero_grad()
    module(torch.randn(4, 2, 4, 4)).square().mean().backward()


def train(module: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        backward(module, step)
        optimizer.step()


def param(*shape: int, **options: Any) -> nn.Parameter:
    torch.default_generator.manual_seed(0)
    return nn.Parameter(torch.randn(shape, **options))


def flag(optimizer: torch.optim.Optimizer) -> Any:
    return optimizer.param_groups[0]["fused"]


def test_adam_adamw_and_adagrad_have_a_fused_form_by_default():
    assert {type(config).__name__ for config in FUSED[:3]} == {
        "AdamConfig",
        "AdamWConfig",
        "AdagradConfig",
    }


@every_fused
def test_the_choice_stands_in_the_groups_and_nowhere_else(config: Config):
    optimizer = config.create_optimizer(model())
    assert flag(optimizer) is True
    assert optimizer.defaults["fused"] is None
    optimizer.add_param_group({"params": [param(3)]})
    assert optimizer.param_groups[1]["fused"] is None
    assert not getattr(optimizer, "_step_supports_amp_scaling", False)


@every_fused
def test_it_is_the_same_as_fused_given_to_the_constructor(config: Config):
    ours, theirs, plain = model(), model(), model()
    optimizer = config.create_optimizer(ours)
    explicit = config.replace(fused=True).create_optimizer(theirs)
    train(ours, optimizer, range(5))
    train(theirs, explicit, range(5))
    train(plain, config.replace(fused=False).create_optimizer(plain), range(5))
    for one, other in zip(weights(ours), weights(theirs), strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-5, atol=1e-6)
    for mine, other in zip(optimizer.state.values(), explicit.state.values(), strict=True):
        for key, value in mine.items():
            assert (value.dtype, value.device) == (other[key].dtype, other[key].device)


@every_fused
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_type_is_fused_where_it_is_as_exact_as_the_loop(config: Config, dtype: torch.dtype):
    tensor = param(300, dtype=dtype)
    optimizer = config.create_optimizer([tensor])
    fused = str(dtype).removeprefix("torch.") in config.fused_dtypes()
    assert flag(optimizer) is (True if fused else None)
    exact, loop = param(300, dtype=torch.float64), param(300, dtype=dtype)
    exact.data.copy_(loop.data)
    tensor.data.copy_(loop.data)
    reference = config.replace(fused=False).create_optimizer([exact])
    default = config.replace(fused=False).create_optimizer([loop])
    for _ in range(5):
        loop.grad = torch.randn(300).to(dtype)
        tensor.grad, exact.grad = loop.grad.clone(), loop.grad.double()
        for each in (optimizer, reference, default):
            each.step()
    if fused:
        allowed = 1.1 * (loop - exact).abs().max() + torch.finfo(dtype).eps
        assert (tensor - exact).abs().max() <= allowed


@every_fused
@pytest.mark.parametrize(
    "options", [{"fused": False}, {"foreach": True}, {"foreach": False}, {"differentiable": True}]
)
def test_what_was_asked_for_is_obeyed(config: Config, options: dict[str, Any]):
    given = config.replace(**options).create_optimizer([param(3)])
    grouped = config.create_optimizer([{"params": [param(3)], **options}])
    for optimizer in (given, grouped):
        for key, value in {"fused": None, **options}.items():
            assert optimizer.param_groups[0][key] is value


def test_each_group_has_its_own_choice():
    groups = [
        {"params": [param(3)]},
        {"params": [param(3, dtype=torch.complex64)]},
        {"params": [param(4)], "foreach": True},
    ]
    optimizer = AdamWConfig().create_optimizer(groups)
    assert [group["fused"] for group in optimizer.param_groups] == [True, None, None]


class Special(Tensor):
    """A kind of tensor of somebody else's."""


REFUSED: dict[str, Callable[[], list[Tensor]]] = {
    "none": list,
    "complex": lambda: [param(3), param(3, dtype=torch.complex64)],
    "float16": lambda: [param(3, dtype=torch.float16)],
    "another device": lambda: [param(3), nn.Parameter(torch.zeros(3, device="meta"))],
    "a device without the kernel": lambda: [nn.Parameter(torch.zeros(3, device="meta"))],
    "a subclass": lambda: [torch.zeros(3).as_subclass(Special)],
    "sparse": lambda: [torch.zeros(3, layout=torch.sparse_coo)],
    "with gaps": lambda: [nn.Parameter(torch.zeros(3, 4)[:, ::2])],
    "overlapping": lambda: [torch.zeros(1).expand(3)],
    "uninitialized": lambda: [nn.parameter.UninitializedParameter()],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_parameters_that_the_kernel_does_not_take_are_left_to_torch(kind: str):
    assert not should_use_fused(["float32"], REFUSED[kind](), {})


def test_any_order_in_memory_without_gaps_is_taken():
    for tensor in (
        torch.zeros(3, 4).t(),
        torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last),
    ):
        assert should_use_fused(["float32"], [tensor], {})


def test_an_option_that_is_a_tensor_is_left_to_torch():
    assert not should_use_fused(["float32"], [param(3)], {"lr": torch.tensor(0.1)})
    assert not should_use_fused(["float32"], [param(3)], {"betas": (0.9, torch.tensor(0.99))})


def test_plain_sgd_and_radam_are_left_to_torch():
    assert flag(SGDConfig().create_optimizer([param(3)])) is None
    assert RAdamConfig().create_optimizer([param(3)]).param_groups[0]["foreach"] is None


def sparse(tensor: nn.Parameter) -> None:
    tensor.grad = torch.eye(*tensor.shape).to_sparse()


# -- checkpoints -------------------------------------------------------------------------------


@every_fused
@pytest.mark.parametrize(("first", "second"), [(None, False), (False, None), (True, None)])
def test_a_checkpoint_does_not_overrule_the_choice(config: Config, first: Any, second: Any):
    source = model()
    trained = config.replace(fused=first).create_optimizer(source)
    train(source, trained, range(3))
    state = saved_and_loaded(trained.state_dict())
    before_loading = copy.deepcopy(state)

    target = copy.deepcopy(source)
    optimizer = config.replace(fused=second).create_optimizer(target)
    own = flag(optimizer)
    optimizer.load_state_dict(state)
    assert flag(optimizer) is own
    assert state["param_groups"] == before_loading["param_groups"]

    train(source, trained, range(3, 6))
    train(target, optimizer, range(3, 6))
    torch.testing.assert_close(weights(target), weights(source), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings(CONFIG_CHANGED)
def test_the_hyperparameters_of_a_checkpoint_are_loaded():
    source = AdamWConfig(lr=0.5).create_optimizer([param(3)])
    target = AdamWConfig(lr=0.1).create_optimizer([param(3)])
    target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == 0.5


def test_a_checkpoint_with_other_groups_is_refused_by_torch():
    one = AdamWConfig().create_optimizer([param(3)])
    two = AdamWConfig().create_optimizer([{"params": [param(3)]}, {"params": [param(4)]}])
    with pytest.raises(ValueError, match="its parameter groups have"):
        one.load_state_dict(two.state_dict())


# -- others that meet the choice ---------------------------------------------------------------


@every_fused
def test_a_group_that_joins_later_trains(config: Config):
    module, late = model(), param(4)
    optimizer = config.create_optimizer(module)
    train(module, optimizer, range(2))
    optimizer.add_param_group({"params": [late]})
    old = late.detach().clone()
    late.grad = torch.ones(4)
    optimizer.step()
    assert not torch.equal(late, old)


@every_fused
def test_gradients_of_gradients_do_what_they_do_with_torchs_default(config: Config):
    results = []
    for fused in (None, False):
        module = model()
        optimizer = config.replace(fused=fused).create_optimizer(module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):
                module.zero_grad()
                inputs = torch.ones(4, 2, 4, 4)
                loss = module(inputs).square().mean()
                loss.backward(create_graph=True)
                sum(p.grad.square().sum() for p in module.parameters()).backward()
                optimizer.step()
        results.append(weights(module))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_dtensors_are_left_to_torch():
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or distributed.is_initialized():
        pytest.skip("needs a process group of its own")
    from torch.distributed.tensor import distribute_tensor, init_device_mesh

    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        tensor = nn.Parameter(distribute_tensor(torch.ones(4), mesh))
        for params in ([tensor], [tensor, param(3)]):
            optimizer = AdamWConfig().create_optimizer(params)
            assert flag(optimizer) is None
            for each in params:
                each.grad = torch.ones_like(each)
            optimizer.step()
    finally:
        distributed.destroy_process_group()


def test_scaled_gradients_are_clipped_and_skipped_as_with_torchs_default():
    for config in (AdamWConfig(), AdamConfig()):
        results = []
        for fused in (None, False):
            module = model()
            optimizer = config.replace(fused=fused).create_optimizer(module)
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
            for step in range(3):
                module.zero_grad()
                torch.default_generator.manual_seed(step)
                loss = module(torch.randn(4, 2, 4, 4)).square().mean()
                scaler.scale(loss).backward()
                if step == 1:
                    next(module.parameters()).grad.fill_(float("inf"))
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(module.parameters(), 0.1)
                scaler.step(optimizer)
                scaler.update()
            results.append(weights(module))
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_the_guard_does_not_stumble_over_a_group_that_was_taken_away():
    optimizer = AdamWConfig().create_optimizer([{"params": [param(3)]}, {"params": [param(4)]}])
    del optimizer.param_groups[1]
    (tensor,) = optimizer.param_groups[0]["params"]
    tensor.grad = torch.ones(3)
    optimizer.step()
    assert flag(optimizer) is True


def test_a_change_of_the_memory_format_between_updates_is_followed():
    results = []
    for fused in (None, False):
        module = model()
        optimizer = AdamWConfig(fused=fused).create_optimizer(module)
        train(module, optimizer, range(2))
        module.to(memory_format=torch.channels_last)
        train(module, optimizer, range(2, 4))
        results.append(weights(module))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"]
)
def test_a_copy_has_the_fused_kernel_and_its_guard(copied: Callable[[Any], Any]):
    def weights(optimizer: torch.optim.Optimizer) -> Tensor:
        (param,) = optimizer.param_groups[0]["params"]
        for step in range(3):
            param.grad = torch.arange(6.0).reshape(3, 2).t() + step
            optimizer.step()
        return param.detach()

    def param() -> nn.Parameter:
        return nn.Parameter(torch.ones(2, 3))

    ours = AdamWConfig().create_optimizer([param()])
    assert ours.param_groups[0]["fused"] is True
    twin = copied(ours)
    assert twin.param_groups[0]["fused"] is True
    torch.testing.assert_close(weights(twin), weights(torch.optim.AdamW([param()])))
    assert twin.param_groups[0]["fused"] is None  # the gradients lie in another order
    assert ours.param_groups[0]["fused"] is True


def test_a_module_may_be_made_complex_after_its_optimizer_was_built():
    param = nn.Parameter(torch.ones(3))
    optimizer = AdamWConfig(lr=0.1).create_optimizer([param])
    param.data = param.data.to(torch.complex64)
    param.grad = torch.ones_like(param)
    optimizer.step()
    assert (param.detach().real < 1).all()
