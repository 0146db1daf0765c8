"""The record of one torch optimizer, stored as an attribute of the optimizer.

An attribute lives exactly as long as its optimizer. A weak dictionary would keep an optimizer alive
forever if a value in it references the optimizer, as a model with `self.optimizer` does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakMethod, ref

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

__all__ = [
    "OptimizerRecord",
    "Requirements",
    "StepSkipped",
    "add_requirements",
    "call_hooks_on_load",
    "closure_of",
    "get_requirements",
    "make_skippable",
    "notify_step_skipped",
    "on_step_skipped",
    "optimizer_within",
    "params_of",
    "parts_of",
    "record_of",
    "skip_step",
]

_KEY = "_nshtrainer_record"
_HOOKS = tuple(
    f"_optimizer_{name}_hooks"
    for name in (
        "step_pre",
        "step_post",
        "state_dict_pre",
        "state_dict_post",
        "load_state_dict_pre",
        "load_state_dict_post",
    )
)
"""The attributes in which torch keeps the hooks of an optimizer."""

Hook = tuple[str, Any]
"""One of these attributes, and the key of a hook in it."""


class Requirements(NamedTuple):
    """Training-loop requirements of an optimizer: a closure, a loss that keeps its graph."""

    closure: bool = False
    second_backward: bool = False


class OptimizerRecord:
    """Requirements, wrappers, hooks and listeners of one optimizer.

    torch drops the hooks and the attributes of an optimizer when it is copied or pickled. The hooks
    that `keep_hooks` noted belong to the config, so a copy has copies of them.

    Args:
        optimizer: The optimizer; the record does not keep it alive.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = ref(optimizer)
        self._kept: list[Hook] = []
        self._attributes: frozenset[str] = frozenset()
        self.requirements = Requirements()
        self.wrappers: tuple[Any, ...] = ()
        """The configs that wrapped the optimizer, the outermost first."""
        self.config_class: Any = None
        """The class of the config whose fields are the options of its groups."""
        self.rate_use: Any = None
        """The `RateUse` of the optimizer."""
        self.state_hooks: Any = None
        """The hooks that save and load the optimizer's state by parameter name."""
        self.metric_scheduler: Callable[[], Any] = _nothing
        """Returns the scheduler that reads a metric and writes the rate, while it lives."""
        self.batch_size: float | None = None
        """The batch size for which `lr_scaling` scaled the rate."""
        self.clipped: Any = None
        """The number of steps that clipping by norm has clipped; None without such clipping."""
        self.watch: Any = None
        """The check that the parameters still belong to the model."""
        self.model: Callable[[], Any] = _nothing
        """Returns the model whose parameters the optimizer has, if it is known and alive."""
        self.skip_listeners: list[WeakMethod[Any]] = []
        self.is_skippable = False
        """Copies of the optimizer can skip a step as well."""
        self.is_stepping = False
        self.skips_next = False

    @property
    def optimizer(self) -> Any:
        """The optimizer, while it lives."""
        return self._optimizer()

    def hooks(self) -> list[Hook]:
        """Return all hooks that are registered now."""
        own = vars(self._optimizer())
        return [(name, key) for name in _HOOKS for key in own.get(name, ())]

    def keep_hooks(self, *, but: frozenset[Hook] = frozenset()) -> None:
        """Make copies of the optimizer keep its current hooks and attributes.

        Args:
            but: Hooks that a copy loses, as in torch.
        """
        self._kept += [hook for hook in self.hooks() if hook not in (*but, *self._kept)]
        own: dict[str, Any] = vars(self._optimizer())
        self._attributes = self._attributes or frozenset(own) - {"step", _KEY}
        # `copy` and `pickle` look for the method on the instance first.
        own["__getstate__"] = self.copied_state

    def copied_state(self) -> dict[str, Any]:
        """Return the attributes of a copy: the optimizer's own, the kept hooks, and this record."""
        from torch.optim import Optimizer

        optimizer: Any = self._optimizer()
        cls = cast("Any", type(optimizer))
        state = cls.__getstate__(optimizer)
        if cls.__getstate__ is Optimizer.__getstate__:  # which drops the rest
            own = cast("dict[str, Any]", vars(optimizer))
            state = {**{name: own[name] for name in self._attributes & own.keys()}, **state}
        hooks = {name: OrderedDict(own) for name, own in self._kept_hooks().items()}
        step = {"step": _SkippableStep(self)} if self.is_skippable else {}
        name = "load_state_dict"
        load = {name: _HookedLoad(self)} if name in vars(optimizer) else {}
        return {**state, **hooks, **step, **load, _KEY: self, "__getstate__": self.copied_state}

    def _kept_hooks(self) -> dict[str, dict[str, Any]]:
        # torch numbers hooks from 0 in each process, so the same number could be assigned again.
        found: dict[str, dict[str, Any]] = {name: {} for name in _HOOKS}
        for name, key in self._kept:
            own = vars(self._optimizer())[name]
            if key in own:
                found[name][f"kept {len(found[name])}"] = own[key]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy: watches and listeners belong to the original alone."""
        kept = [(name, key) for name, own in self._kept_hooks().items() for key in own]
        fresh = {
            "_kept": kept,
            "watch": None,
            "model": _nothing,
            "metric_scheduler": _nothing,
            "skip_listeners": [],
        }
        return {**vars(self), "_optimizer": self._optimizer(), **fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_optimizer": ref(state["_optimizer"])})


def _nothing() -> None:
    """Return None, for an optimizer without a model or a scheduler."""


def optimizer_within(optimizer: Any) -> Any:
    """Return the optimizer inside wrappers without hooks of their own; else the argument."""
    within = getattr(optimizer, "optimizer", None)
    has_hooks = within is None or _HOOKS[0] in vars(optimizer)
    return optimizer if has_hooks else optimizer_within(within)


def record_of(optimizer: Any) -> OptimizerRecord:
    """Return the record of an optimizer; create it at the first call.

    The wrappers that Lightning, Fabric and Accelerate put around an optimizer have no hooks of
    their own, and share the record of the optimizer inside.
    """
    optimizer = optimizer_within(optimizer)
    own = cast("dict[str, Any]", vars(optimizer))
    if _KEY not in own:
        own[_KEY] = OptimizerRecord(optimizer)
    return own[_KEY]


def parts_of(optimizer: Any) -> Iterator[Any]:
    """Yield the parts of a `RoutedOptimizer`; any other optimizer is its own only part."""
    yield from getattr(optimizer, "routes", {"": optimizer}).values()


def params_of(optimizer: Any) -> Iterator[Tensor]:
    """Yield the parameters of an optimizer."""
    return (param for group in optimizer.param_groups for param in group["params"])


def closure_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any] | None:
    """Return the closure among the arguments of `step` that a hook receives."""
    return args[1] if len(args) > 1 else kwargs.get("closure")


def add_requirements(
    optimizer: Optimizer, *, closure: bool = False, second_backward: bool = False
) -> None:
    """Declare requirements of an optimizer, in addition to those declared before."""
    record = record_of(optimizer)
    known = record.requirements
    record.requirements = Requirements(
        known.closure or closure, known.second_backward or second_backward
    )


def get_requirements(optimizer: Optimizer) -> Requirements:
    """Return the requirements of an optimizer and its parts; none unless a config declared them."""
    each = [record_of(part).requirements for part in (optimizer, *parts_of(optimizer))]
    return Requirements(any(one.closure for one in each), any(one.second_backward for one in each))


def on_step_skipped(optimizer: Any, listener: WeakMethod[Any]) -> None:
    """Call a method whenever a step of an optimizer is skipped, as long as its object lives."""
    record = record_of(optimizer)
    alive = [other for other in record.skip_listeners if other() is not None]
    record.skip_listeners = [*alive, listener]


def notify_step_skipped(optimizer: Any) -> None:
    """Notify the schedulers of an optimizer that the step in progress changes nothing."""
    for listener in record_of(optimizer).skip_listeners:
        method = listener()
        if method is not None:
            method()


# -- loading ---------------------------------------------------------------------------------------


class _HookedLoad:
    """A `load_state_dict` for optimizers of bitsandbytes, whose own calls no hooks.

    The object does not keep the optimizer alive.
    """

    def __init__(self, record: OptimizerRecord) -> None:
        self._record = record

    def __call__(self, state_dict: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        optimizer: Any = self._record.optimizer
        if optimizer is None:
            return  # there is nothing left to load a state into
        own = cast("dict[str, dict[Any, Any]]", vars(optimizer))
        state = state_dict
        for hook in [*own["_optimizer_load_state_dict_pre_hooks"].values()]:
            found = hook(optimizer, state)
            state = state if found is None else found
        cast("Any", type(optimizer)).load_state_dict(optimizer, state, *args, **kwargs)
        for hook in [*own["_optimizer_load_state_dict_post_hooks"].values()]:
            hook(optimizer)

    def __reduce__(self) -> Any:
        return _HookedLoad, (self._record,)


def call_hooks_on_load(optimizer: Optimizer) -> None:
    """Make an optimizer call its hooks when it loads a state, also one of bitsandbytes."""
    if type(optimizer).load_state_dict.__module__.startswith("bitsandbytes."):
        vars(optimizer)["load_state_dict"] = _HookedLoad(record_of(optimizer))


# -- skipping --------------------------------------------------------------------------------------


class StepSkipped(Exception):  # noqa: N818 - not an error: it ends a step
    """Exit from `step`, raised in a hook or a closure before anything is changed."""

    loss: Any = None
    """The value of the closure, if one was called."""


class _SkippableStep:
    """A `step` method that returns if a hook or the closure raises `StepSkipped`.

    The object is stored in the optimizer's attributes, as the `step` of torch's schedulers, and
    does not keep the optimizer alive either.
    """

    def __init__(self, record: OptimizerRecord, inner: Callable[..., Any] | None = None) -> None:
        self._record = record
        self.inner = inner
        update_wrapper(self, inner or cast("Any", type(record.optimizer)).step)
        self.__func__ = _skippable_step  # what torch's schedulers call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _skippable_step(self._record.optimizer, *args, **kwargs, _inner=self.inner)

    def __reduce__(self) -> Any:
        return _SkippableStep, (self._record,)


def _skippable_step(
    optimizer: Any, *args: Any, _inner: Callable[..., Any] | None = None, **kwargs: Any
) -> Any:
    record = record_of(optimizer)
    if record.skips_next:
        record.skips_next = False
        return None
    step: Any = _inner or partial(cast("Any", type(optimizer)).step, optimizer)
    record.is_stepping = True
    try:
        return step(*args, **kwargs)
    except StepSkipped as skipped:
        return skipped.loss
    finally:
        record.is_stepping = False


def make_skippable(optimizer: Any) -> Callable[[], None]:
    """Make an optimizer able to skip steps by `skip_step`.

    Returns:
        A function that restores the optimizer.
    """
    own = cast("dict[str, Any]", vars(optimizer))
    before = own.get("step")
    if isinstance(before, _SkippableStep):
        return lambda: None
    own["step"] = made = _SkippableStep(record_of(optimizer), before)

    def undo() -> None:
        if own.get("step") is made:
            own.pop("step") if before is None else own.update(step=before)

    return undo


def skip_step(optimizer: Any) -> None:
    """Skip the step in progress, or else the next one, and notify the schedulers.

    The gradients are set to None, which is the only effect on an optimizer that is not skippable.

    Raises:
        StepSkipped: A step is in progress; `step` returns.
    """
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = None
    notify_step_skipped(optimizer)
    record = record_of(optimizer)
    if record.is_stepping:
        raise StepSkipped
    own = cast("dict[str, Any]", vars(record.optimizer))
    record.skips_next = isinstance(own.get("step"), _SkippableStep)
