"""An optimizer lives as long as torch's own would, and its copies are configured as it is."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from tests.contracts.test_every_driven_schedule import config_of
from tests.contracts.test_every_optimizer import EVERY, make_model
from tests.contracts.test_every_package_optimizer import EVERY as PACKAGES
from tests.contracts.test_every_package_optimizer import make_model as make_package_model
from tests.contracts.test_every_package_optimizer import modest
from tests.contracts.test_every_package_optimizer import train as train_package
from tests.contracts.test_every_wrapper import REQUIRED, WRAPPERS
from tests.models import Sine
from tests.support import same, train, weights
from torch import nn
from torch.utils.hooks import RemovableHandle

from nshtrainer import RunLength
from nshtrainer.configs import (
    ClippedConfig,
    LookaheadConfig,
    MetricConfig,
    MuonWithAdamWConfig,
    SAMConfig,
    SGDConfig,
    SkippingConfig,
    lr_scheduler_registry,
)
from nshtrainer.optimizer.torch_config import target_class
from nshtrainer.optimizer_record import record_of
from nshtrainer.run_context import RunContext
from nshtrainer.run_length import LazyRunLength

RUN = RunLength(
    total_steps=20,
    steps_per_epoch=5,
    samples_per_step=8,
    tokens_per_step=64,
    context=RunContext(primary_metric=MetricConfig(monitor="loss", mode="min")),
)
ON_CPU = [cls for cls in PACKAGES if not cls.instead_on_cpu]
every_schedule = pytest.mark.parametrize(
    "cls", list(lr_scheduler_registry.values()), ids=lambda cls: cls.__name__
)
every_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda cls: cls.__name__)
COPIES: list[Callable[[Any], Any]] = [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
both_copies = pytest.mark.parametrize("copied", COPIES, ids=["copy", "pickle"])
UNPICKLED = {"ADOPTConfig"}
"""It has a lambda, which pickle refuses by name."""

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")


@pytest.fixture(autouse=True)
def _as_written() -> Iterator[None]:
    """The steps of torchao without the half minute in which they are compiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


def wrapped(wrapper: Any, inner: Any) -> Any:
    name = wrapper.model_fields["name"].default
    return wrapper(optimizer=inner, **REQUIRED.get(name, {}))


def named_groups() -> Any:
    """A wrapped optimizer with the groups that the examples of schedules name."""
    rules = [{"name": "head", "select": "layers.2.*"}, {"name": "backbone", "select": "*"}]
    inner = {"name": "clipped", "max_norm": 1.0, "optimizer": {"name": "adamw", "groups": rules}}
    return SkippingConfig.from_mapping({"optimizer": inner})


def left_alive(model: Any, config: Any, use: Callable[..., Any], schedule: Any = None) -> list[str]:
    """What of a model that holds its own optimizer and scheduler outlives it, without a collector.

    Args:
        model: Makes the model.
        config: Builds the optimizer, of ours or a class of torch's.
        use: Steps it.
        schedule: The config of the schedule.
    """
    net = model()
    build = getattr(config, "create_optimizer", None)
    net.optimizer = build(net) if build else config(net.parameters())
    held = [net, net.optimizer, next(net.parameters())]
    if schedule is not None:
        net.scheduler = schedule.create_scheduler(net.optimizer, RUN)["scheduler"]
        held.append(net.scheduler)
    use(net, net.optimizer)
    net.optimizer.state_dict()
    refs = {type(each).__name__: weakref.ref(each) for each in held}
    gc.disable()
    try:
        del net, held
        return [name for name, each in refs.items() if each() is not None]
    finally:
        gc.enable()


def two_steps(model: Any, optimizer: Any) -> None:
    train(model, optimizer, 2)


# -- lifetime --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_a_model_with_its_own_optimizer_is_freed_by_counting_alone(cls: Any) -> None:
    assert left_alive(partial(make_model, cls), cls(), two_steps) == []


@every_schedule
def test_a_scheduler_does_not_keep_alive_what_knew_the_length_of_its_run(cls: Any) -> None:
    class Trainer:
        pass

    trainer = Trainer()
    known = {name: value for name, value in vars(RUN).items() if value is not None}
    run: Any = LazyRunLength(_trainer=trainer, **known)
    gone = weakref.ref(trainer)
    optimizer = named_groups().create_optimizer(Sine(bias=True), run=run)
    scheduler = config_of(cls).create_scheduler(optimizer, run)["scheduler"]
    del trainer, run
    assert gone() is None
    assert scheduler.optimizer is optimizer


@every_wrapper
@pytest.mark.parametrize("inner", ["adamw", "sgd", "muon_with_adamw"])
def test_so_is_one_whose_optimizer_is_wrapped(wrapper: Any, inner: str) -> None:
    assert left_alive(partial(Sine, bias=True), wrapped(wrapper, inner), two_steps) == []


@every_schedule
def test_so_is_one_that_has_a_schedule(cls: Any) -> None:
    def use(_model: Any, optimizer: Any) -> None:
        optimizer.step()

    assert left_alive(partial(Sine, bias=True), named_groups(), use, config_of(cls)) == []


# -- copies ----------------------------------------------------------------------------------------


def kept(optimizer: Any) -> list[Any]:
    """The wrappers and requirements of an optimizer, and the types of its hooks in their order."""
    record = record_of(optimizer)
    names = [name for name in vars(optimizer) if name.endswith("_hooks")]
    hooks = {
        name: [getattr(hook, "__qualname__", type(hook).__name__) for hook in own.values()]
        for name, own in ((name, vars(optimizer)[name]) for name in names)
    }
    for own in hooks.values():
        own[:] = [name for name in own if name != "_Watch"]  # it looks at the model of the original
    return [record.wrappers, record.requirements, hooks]


@every_wrapper
@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_copies_of_a_wrapped_optimizer_go_on_as_it_does(wrapper: Any, cls: Any) -> None:
    # SAM takes no sparse gradients, and `skipping` no LBFGS.
    refuses = {SAMConfig: cls.needs_sparse_gradients, SkippingConfig: cls().name == "lbfgs"}
    if refuses.get(wrapper):
        return
    model = make_model(cls)
    optimizer = wrapped(wrapper, cls(lr=0.01)).create_optimizer(model)
    train(model, optimizer, 2)
    assert_copies_go_on(model, optimizer, train, 6)  # after 5, lookahead meets its slow weights


@pytest.mark.parametrize("cls", [*EVERY, *ON_CPU], ids=lambda cls: cls.__name__)
def test_copies_of_an_optimizer_go_on_as_it_does(cls: Any) -> None:
    if cls in ON_CPU:
        model, config, steps = make_package_model(cls), modest(cls), partial(train_package, cls)
    else:
        model, config, steps = make_model(cls), cls(), train
    optimizer = config.create_optimizer(model)
    if not cls.__module__.endswith("torchao"):  # whose states cannot be copied
        steps(model, optimizer, 2)
    copies = COPIES
    if cls.__name__ in UNPICKLED:
        copies = COPIES[:1]
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps((model, optimizer))
    assert_copies_go_on(model, optimizer, steps, 3, copies)


def assert_copies_go_on(
    model: Any, optimizer: Any, steps: Callable[..., Any], count: int, copies: Any = COPIES
) -> None:
    """Each copy gives the losses and the weights that the original gives afterwards."""
    twins = [copied((model, optimizer)) for copied in copies]
    losses = steps(model, optimizer, count)
    for twin, other in twins:
        assert steps(twin, other, count) == losses
        assert same(weights(model), weights(twin))


@both_copies
def test_an_attribute_of_the_user_is_lost_in_a_copy_as_torch_loses_it(copied: Any) -> None:
    optimizer = SGDConfig().create_optimizer(Sine(bias=True))
    vars(optimizer)["model"] = "theirs"
    assert not hasattr(copied(optimizer), "model")


@both_copies
def test_the_wrapper_is_in_a_copy(copied: Any) -> None:
    param = nn.Parameter(torch.zeros(4))
    config = ClippedConfig(optimizer=SGDConfig(lr=1.0), max_norm=1e-3)
    twin = copied(config.create_optimizer([param]))
    (own,) = twin.param_groups[0]["params"]
    own.grad = torch.full((4,), 100.0)
    twin.step()
    assert own.norm().item() == pytest.approx(1e-3, rel=1e-3)


@both_copies
def test_a_copy_of_a_copy_has_the_wrappers_too(copied: Any) -> None:
    config = LookaheadConfig(optimizer=SkippingConfig(optimizer=MuonWithAdamWConfig()), k=2)
    model = Sine(bias=True)
    model.optimizer = config.create_optimizer(model)
    twin = copied(copied(model))
    assert record_of(twin.optimizer).wrappers == record_of(model.optimizer).wrappers
    assert train(model, model.optimizer, 5) == train(twin, twin.optimizer, 5)
    assert same(weights(model), weights(twin))


def test_a_hook_of_the_user_is_lost_in_a_copy_as_torch_loses_it() -> None:
    optimizer = SkippingConfig(optimizer="sgd").create_optimizer(Sine(bias=True))
    before = kept(copy.deepcopy(optimizer))
    optimizer.register_step_pre_hook(lambda *_: None)
    assert kept(copy.deepcopy(optimizer)) == before


def test_a_hook_that_is_registered_after_loading_does_not_replace_one_of_the_copy() -> None:
    twin = pickle.loads(pickle.dumps(SkippingConfig(optimizer="sgd").create_optimizer(Sine(True))))
    RemovableHandle.next_id, before = 0, RemovableHandle.next_id
    try:
        for _ in range(8):
            twin.register_step_pre_hook(lambda *_: None)
    finally:
        RemovableHandle.next_id = before
    assert len(twin._optimizer_step_pre_hooks) == 9


# -- other packages --------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ON_CPU, ids=lambda cls: cls.__name__)
def test_one_of_another_package_is_freed_as_there_and_its_copies_have_its_hooks(cls: Any) -> None:
    def use(model: Any, optimizer: Any) -> None:
        # States of torchao cannot be copied.
        for copied in COPIES[: 1 + (cls.__name__ not in UNPICKLED)]:
            assert kept(copied(optimizer)) == kept(optimizer)
        train_package(cls, model, optimizer, 1)

    model = partial(make_package_model, cls)
    config = ClippedConfig(optimizer=modest(cls), max_norm=1.0)
    # The first step may import something, and a failed import keeps what it was called from.
    alive = left_alive(model, config, use) and left_alive(model, config, use)
    if alive:
        theirs = partial(target_class(cls.target), **modest(cls).options())
        assert left_alive(model, theirs, use) == alive
