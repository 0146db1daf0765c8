"""What several tests share: strategies read off config classes, steps and their results."""

from __future__ import annotations

import functools
import io
import math
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import reject
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from nshtrainer import RunLength
from nshtrainer.duration import (
    EpochsConfig,
    FractionConfig,
    SamplesConfig,
    StepsConfig,
    TokensConfig,
)
from nshtrainer.exceptions import OptimizerError
from nshtrainer.lr_scheduler import (
    CurveScheduleConfigBase,
    LRSchedulerConfigBase,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.per_group import HyperparameterScheduleConfig
from nshtrainer.metric import MetricConfig
from nshtrainer.optimizer import OptimizerConfigBase, optimizer_registry
from nshtrainer.optimizer.groups.config import ParameterGroupConfig
from nshtrainer.optimizer.groups.selectors import SelectorConfig
from nshtrainer.optimizer.routed_config import RouteConfig
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase, target_class
from nshtrainer.optimizer.torch_optim.curvature import MuonConfig
from nshtrainer.types import NonNegativeInt

CONFIG_CHANGED = "ignore:the config has changed since the checkpoint"
"""What a state is loaded into is another config on purpose, and what is said of it is tested
elsewhere."""

LONGEST = 10**9
_ATTEMPTS = 30


def durations(longest: int = LONGEST) -> st.SearchStrategy[Any]:
    """Every kind of duration in a run of steps, up to `longest` steps or epochs."""
    return st.one_of(
        st.integers(0, longest).map(lambda steps: StepsConfig(value=steps)),
        st.integers(0, 100 * min(longest, 10**4)).map(lambda n: EpochsConfig(value=n / 100)),
        st.floats(0, 1).map(lambda share: FractionConfig(value=share)),
        st.integers(0, 100 * longest).map(lambda count: SamplesConfig(value=count)),
        st.integers(0, 1000 * longest).map(lambda count: TokensConfig(value=count)),
    )


def rate_curve(config: Any, run: Any) -> Callable[[int], float]:
    """The rates of a schedule, in a run that knows its base rate."""
    track = next(track for track in config.tracks(run) if track.hyperparameter == "lr")
    base = run.context.base_lr if track.kind == "factor" else 1.0
    return lambda step: base * track.curve(step)


@functools.cache  # Hypothesis validates a strategy once, which costs more than many draws from it
def configs_of(cls: type[BaseModel], longest: int = LONGEST) -> st.SearchStrategy[Any]:
    """Valid configs of a class, drawn from the types and ranges of its fields.

    What only a rule over several fields refuses is drawn again; a new class needs no entry here.
    """
    fields = {
        name: _values(field, longest)
        for name, field in cls.model_fields.items()
        if name != "name" or field.is_required()
    }

    def build(values: dict[str, Any]) -> Any:
        try:
            return cls.model_validate(values)
        except ValidationError:
            return None

    # Only the fields that are required are always there: defaults are part of what is tested.
    required = {name: fields[name] for name in fields if cls.model_fields[name].is_required()}
    optional = {name: fields[name] for name in fields if name not in required}
    return _first_built(st.fixed_dictionaries(required, optional=optional).map(build))


def that_add_something(classes: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """The classes that add a validator or a kind of field to the others, those with most first.

    What checks, writes and reads a value of any other class is the code of these, so that many
    examples of it find nothing new.
    """
    seen: set[Any] = set()
    found = []
    for cls in sorted(classes, key=lambda cls: -len(cls.model_fields)):
        parts = {*_validators(cls), *_kinds(cls)}
        if not parts <= seen:
            found.append(cls)
        seen |= parts
    return found


def _validators(cls: type[BaseModel]) -> Iterator[Any]:
    decorators = cls.__pydantic_decorators__
    for kind in (decorators.field_validators, decorators.model_validators):
        yield from (each.func.__qualname__ for each in kind.values())
    for kind in (decorators.field_serializers, decorators.model_serializers):
        yield from (each.func.__qualname__ for each in kind.values())
    for base in cls.__mro__:
        if base.__module__.startswith("nshtrainer"):
            names = vars(base).keys() & {"replace", "to_dict", "model_dump", "model_post_init"}
            yield from (f"{base.__qualname__}.{name}" for name in names)


def _kinds(cls: type[BaseModel]) -> Iterator[Any]:
    for name, field in cls.model_fields.items():
        if name != "name":
            yield repr(field.annotation), repr(field.metadata), field.is_required(), field.exclude


@st.composite
def _first_built(draw: st.DrawFn, built: st.SearchStrategy[Any]) -> Any:
    """What could be built, within a number of attempts that no rule needs."""
    for _ in range(_ATTEMPTS):
        config = draw(built)
        if config is not None:
            return config
    return reject()


def _values(field: FieldInfo, longest: int) -> st.SearchStrategy[Any]:
    if field.metadata and any(isinstance(rule, Ge | Gt | Le | Lt) for rule in field.metadata):
        return _numbers(field.annotation, field.metadata)
    if field.metadata and field.annotation is str:
        return _SOME_TEXT
    return _of_type(field.annotation, longest)


def _of_type(kind: Any, longest: int) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if StepsConfig in arguments:
        return durations(longest)
    if origin is Annotated:
        return _of_annotated(arguments[0], arguments[1:], longest)
    if origin in {Union, types.UnionType}:
        return st.one_of([_of_type(argument, longest) for argument in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return _of_tuple(arguments, longest)
    if origin is Mapping:
        return st.dictionaries(*[_of_type(argument, longest) for argument in arguments], max_size=3)
    return _PLAIN[kind] if kind in _PLAIN else _of_class(kind, longest)


def _of_class(kind: Any, longest: int) -> st.SearchStrategy[Any]:
    if kind is LRSchedulerConfigBase:
        # Drawn in two steps: Hypothesis prints its strategies, and all classes at once are long.
        return st.sampled_from(_simple_curves()).flatmap(lambda cls: configs_of(cls, longest))
    if kind is OptimizerConfigBase:
        return st.sampled_from(_simple_optimizers()).flatmap(lambda cls: configs_of(cls, longest))
    if (
        kind is HyperparameterScheduleConfig
    ):  # one of three: drawn from all of them, most would be refused
        curves = _of_class(LRSchedulerConfigBase, longest)
        return st.sampled_from(["factor", "value"]).flatmap(
            lambda form: curves.map(lambda curve: HyperparameterScheduleConfig(**{form: curve}))
        )
    return configs_of(kind, longest)


def _simple_optimizers() -> list[Any]:
    """The optimizers that can work beside others."""
    return [cls for cls in torchs_optimizers() if not cls.needs_closure]


def _simple_curves() -> list[Any]:
    """The schedules that are curves, and not made of others."""
    curves = [
        cls for cls in lr_scheduler_registry.values() if issubclass(cls, CurveScheduleConfigBase)
    ]
    return [
        cls
        for cls in curves
        if "schedules" in cls.__module__
        and not any(_mentions_schedules(field.annotation) for field in cls.model_fields.values())
    ]


def _mentions_schedules(kind: Any) -> bool:
    return kind is LRSchedulerConfigBase or any(map(_mentions_schedules, get_args(kind)))


def _of_annotated(kind: Any, notes: tuple[Any, ...], longest: int) -> st.SearchStrategy[Any]:
    if kind not in {int, float}:
        return _SOME_TEXT if kind is str else _of_type(kind, longest)
    return _numbers(kind, [rule for note in notes for rule in getattr(note, "metadata", [note])])


def torchs_optimizers() -> list[type[TorchOptimizerConfigBase]]:
    """The configs of torch's own optimizers; those of other packages have laws of their own."""
    return [
        cls
        for cls in optimizer_registry.values()
        if issubclass(cls, TorchOptimizerConfigBase) and cls.target.startswith("torch.optim:")
    ]


def _of_tuple(arguments: tuple[Any, ...], longest: int) -> st.SearchStrategy[Any]:
    if arguments[-1] is Ellipsis:
        if NonNegativeInt in arguments:  # most of these are milestones
            numbers = st.lists(st.integers(0, longest), min_size=1, max_size=3, unique=True)
            return numbers.map(sorted).map(tuple)
        return st.lists(_of_type(arguments[0], longest), min_size=1, max_size=3).map(tuple)
    return st.tuples(*[_of_type(argument, longest) for argument in arguments])


_SOME_TEXT = st.text(min_size=1)
"""For a text with a rule, which is hardly ever that it be empty."""
_SHOWN_TEXT = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1
)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    # Values of options, of which the optimizer around them says what they may be.
    Any: st.sampled_from([0.5, True, None, (0.9, 0.99)]),
    ParameterGroupConfig: st.builds(
        ParameterGroupConfig,
        name=st.integers(0, LONGEST).map(lambda number: f"group {number}"),
        select=st.sampled_from(["*.bias", ("head", SelectorConfig(role="norm"))]),
        options=st.sampled_from([{}, {"lr": 0.5}]),
        freeze=st.just(False),
    ),
    RouteConfig: st.builds(
        RouteConfig,
        name=st.integers(0, LONGEST).map(lambda number: f"route_{number}"),
        select=st.sampled_from(["*.bias", ("head", SelectorConfig(role="norm"))]),
        optimizer=st.sampled_from(["sgd", "adamw"]),
    ),
    # A selector may hold selectors; those inside of it are leaves here.
    SelectorConfig: st.builds(
        SelectorConfig, name=st.sampled_from(["*.bias", "re:h.*"]), ndim=st.integers(0, 4)
    ),
    MetricConfig: st.builds(
        MetricConfig, monitor=_SHOWN_TEXT, mode=st.sampled_from(["min", "max"])
    ),
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers(-LONGEST, LONGEST),
    float: st.floats(-1e6, 1e6),
    str: st.text(),
}


def _numbers(kind: Any, rules: list[Any]) -> st.SearchStrategy[Any]:
    bounds: dict[str, Any] = {"min_value": -LONGEST, "max_value": LONGEST}
    for rule in rules:
        if isinstance(rule, Ge | Gt):
            bounds["min_value"] = getattr(rule, "ge", None) if isinstance(rule, Ge) else rule.gt
        if isinstance(rule, Le | Lt):
            bounds["max_value"] = min(rule.le if isinstance(rule, Le) else rule.lt, LONGEST)
    if kind is int:
        low, high = (any(isinstance(rule, edge) for rule in rules) for edge in (Gt, Lt))
        return st.integers(bounds["min_value"] + low, bounds["max_value"] - high)
    return st.floats(
        **bounds,
        exclude_min=any(isinstance(rule, Gt) for rule in rules),
        exclude_max=any(isinstance(rule, Lt) for rule in rules),
    )


def built_class(cls: type[TorchOptimizerConfigBase]) -> Any:
    """What a config builds here: exactly torch's class, but for Muon on a CPU without bfloat16.

    There torch's iteration takes 10 to 50 times as long, and a class derived from torch's runs it
    in float32. `test_muon.py` holds it to torch's; here it is held to itself.
    """
    from nshtrainer.optimizer.torch_optim.portable_muon import PortableMuon, bfloat16_is_emulated

    if cls is MuonConfig and bfloat16_is_emulated():
        return PortableMuon
    return target_class(cls.target)


def assert_ranges_are_checked(cls: type[BaseModel], model: Any, config: Any) -> None:
    """Each option of a saved group, and its base value, is refused out of the field's range."""
    optimizer = config.create_optimizer(model)
    saved = optimizer.state_dict()
    first, *others = saved["param_groups"]
    numbers = [
        key
        for key, value in first.items()
        if key in cls.model_fields and type(value) in {int, float}
    ]
    for key in numbers:
        bad = math.copysign(2.0**70, -first[key])
        for name in (key, f"initial_{key}"):
            state = {**saved, "param_groups": [{**first, name: bad}, *others]}
            with pytest.raises(OptimizerError, match=f"does not fit: the option {name} is "):
                optimizer.load_state_dict(state)
    optimizer.load_state_dict(saved)


# -- steps -----------------------------------------------------------------------------------------


def sgd(*rates: float, **options: Any) -> SGD:
    """An SGD with a parameter, and so a group, for each rate."""
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates or (1.0,)]
    return SGD(groups, **{"lr": 1.0, **options})


def rates(optimizer: Optimizer) -> list[float]:
    """The learning rate of each group."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def advance(optimizer: Optimizer, scheduler: Any, updates: int) -> list[list[float]]:
    """Step both, and return the rates that each update used."""
    used = []
    for _ in range(updates):
        used.append(rates(optimizer))
        optimizer.step()
        scheduler.step()
    return used


def values(config: Any, steps: Iterable[int], run: RunLength) -> list[float]:
    """What the curve of a schedule is at some steps of a run."""
    curve = config.curve(run)
    return [curve(step) for step in steps]


def train(model: Any, optimizer: Optimizer, steps: int) -> list[float]:
    """Step with closures, and return the losses of a model that computes its own."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)]  # type: ignore[arg-type]


def weights(model: nn.Module) -> list[Tensor]:
    """Copies of the parameters."""
    return [param.detach().clone() for param in model.parameters()]


def same(some: Iterable[Tensor], others: Iterable[Tensor]) -> bool:
    """Whether all tensors are equal, bit by bit."""
    return all(torch.equal(*pair) for pair in zip(some, others, strict=True))


def saved_and_loaded(state: Any) -> Any:
    """What a file gives back, as plain data."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def without_names(message: str) -> str:
    """A message without its list of known names, which grows with the package."""
    return re.sub(r" \(known: [^)]*\)| \(\d+ are registered; [^)]*\)", "", message)
