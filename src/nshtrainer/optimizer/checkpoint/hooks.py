"""Hooks that save and load optimizer state by parameter name.

When a state is saved, `param_names` is written beside the numbers of the parameters, in torch's
format. The groups of the optimizer itself stay without names, so that a group of bare parameters
can be added at any time. When a state is loaded, it is brought into the order of the optimizer
before torch reads it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from weakref import ref

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.checkpoint.config_changes import (
    CONFIG,
    changes_of,
    check_fields,
    decide,
    overridden,
)
from nshtrainer.optimizer.checkpoint.match import (
    PARKED,
    CurrentGroup,
    CurrentParam,
    StateMatch,
    by_name,
    by_place,
    check_names,
    saved_in,
)
from nshtrainer.optimizer.checkpoint.state_check import check_form, check_states, refuse_sizes
from nshtrainer.optimizer.checkpoint.whole_state import joint_match
from nshtrainer.optimizer.groups.parameters import clean_names
from nshtrainer.optimizer_record import call_hooks_on_load, params_of, record_of
from nshtrainer.resume import ResumeConfig, as_data, resolve
from nshtrainer.run_length import known_run_length

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.resume import Change
    from nshtrainer.run_length import RunLength

__all__ = ["OptimizerStateHooks", "is_torchs", "resume_by_name", "set_config"]

_WITHIN = "__bnb_optimizer_quant_state__"
"""Key under which bitsandbytes saves the tensors of a state."""

Group: TypeAlias = dict[str, Any]
Names: TypeAlias = "Mapping[Tensor, tuple[str, ...]]"
StateDict: TypeAlias = dict[str, Any]


def resume_by_name(
    optimizer: Optimizer, model: Module | None, config: OptimizerConfigBase | None = None
) -> OptimizerStateHooks:
    """Make any optimizer save and load its state by the parameter names of a model.

    Names and a config that the optimizer has already are kept.

    Args:
        optimizer: The optimizer that loads a state later, also one that a user built.
        model: The model, whose trainer has the resume policy; `None`: parameters are matched by
            position.
        config: The config that the optimizer was built from, if it is known.
    """
    # Attached once: a second set of hooks would match the state again.
    known: OptimizerStateHooks | None = record_of(optimizer).state_hooks
    if known is None:
        # The shapes of an unknown optimizer's state may depend on more than the parameter.
        unchecked = {} if is_torchs(optimizer) else {"": ()}
        known = OptimizerStateHooks(
            [], is_joint=_is_joint(optimizer), unchecked=unchecked, config=config
        )
        known.attach(optimizer)
    if model is not None:
        known.set_names(model, config)
    return known


def set_config(optimizer: Optimizer, config: OptimizerConfigBase) -> None:
    """Set the whole config that an optimizer was built from, if it resumes by name."""
    known: OptimizerStateHooks | None = record_of(optimizer).state_hooks
    if known is not None:
        known.set_config(config)
        known.begin(optimizer)


def _is_joint(optimizer: Optimizer) -> bool:
    import torch

    return isinstance(optimizer, torch.optim.LBFGS)


def is_torchs(optimizer: Optimizer) -> bool:
    """Return True for an optimizer of PyTorch, or one derived from it."""
    import torch

    bases = type(optimizer).__mro__
    return any(
        issubclass(base, torch.optim.Optimizer)
        and base is not torch.optim.Optimizer
        and base.__module__.startswith("torch.optim.")
        for base in bases
    )


class OptimizerStateHooks:
    """Hooks of one optimizer that save its state with parameter names and load it by name.

    >>> import torch
    >>> one, other = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = torch.optim.SGD([one, other], momentum=0.9)
    >>> OptimizerStateHooks([("one", one), ("other", other)]).attach(optimizer)
    >>> optimizer.state_dict()["param_groups"][0]["param_names"]
    ['one', 'other']

    Args:
        named: The model, or its parameters with their names, as far as these are known.
        run: The length of the run, with the resume policy; default: from the model's trainer.
        is_joint: True if the optimizer keeps one state for all parameters together.
        unchecked: Routes whose state shapes a step on a copy does not show, each with the keys
            whose tensors have the shape of the parameter. The empty name is an optimizer without
            routes.
        config: The config that the optimizer was built from, if it is known.
    """

    def __init__(
        self,
        named: Module | Sequence[tuple[str, Tensor]],
        run: RunLength | None = None,
        *,
        is_joint: bool = False,
        unchecked: Mapping[str, tuple[str, ...]] | None = None,
        config: OptimizerConfigBase | None = None,
    ) -> None:
        self._model: Callable[[], Module | None] = _no_model
        self._known: Names = {}
        if isinstance(named, Sequence):
            self._known = _names_in(named)
        else:
            # Weak: an optimizer must not keep its model alive.
            self._model = ref(named)
        self._resume = run and run.context.resume
        self._is_joint = is_joint
        self._unchecked = {"": ()} if is_joint else unchecked or {}
        self._config = config
        self._in_force: dict[str, Any] | None = None
        self._begun: list[Group] = []
        self._parked: dict[str, Any] = {}
        self.keeps_rates = False
        """True after loading a state whose rates were kept although the config has others."""

    def attach(self, optimizer: Optimizer) -> None:
        """Register the hooks on an optimizer whose groups are now as the config sets them."""
        record_of(optimizer).state_hooks = self
        self._remember(optimizer, self._names())
        self.begin(optimizer)
        optimizer.register_state_dict_post_hook(self.save)
        optimizer.register_load_state_dict_pre_hook(self.load)
        optimizer.register_load_state_dict_post_hook(self.complete)
        call_hooks_on_load(optimizer)

    def set_names(self, model: Module, config: OptimizerConfigBase | None = None) -> None:
        """Take names from a model if there are none, and the resume policy from its trainer."""
        if not self._names():
            self._model = ref(model)
        if self._config is None:
            self.set_config(config)
        self._read_policy(model)

    def set_config(self, config: OptimizerConfigBase | None) -> None:
        """Set the config that the optimizer was built from."""
        self._config, self._in_force = config, None

    @property
    def config(self) -> OptimizerConfigBase | None:
        """The config that the optimizer was built from, if it is known."""
        return self._config

    @property
    def in_force(self) -> dict[str, Any] | None:
        """The config with the values kept from a loaded state, as plain data, if it is known."""
        if self._in_force is None:  # no state was loaded since the config was set
            self._in_force = as_data(self._config)
        return self._in_force

    def begin(self, optimizer: Optimizer) -> None:
        """Note the options of the groups, which are now as the config sets them."""
        self._begun = [_options(group) for group in optimizer.param_groups]

    def changes(self, state: StateDict) -> list[Change]:
        """Return the config changes since a state was saved, as far as the state has a config."""
        return changes_of(state, self._config)

    def save(self, optimizer: Optimizer, state: StateDict) -> None:
        """Write the names, the parked states and the config in force into a state."""
        names = self._names()
        self._remember(optimizer, names)
        # `param_names` is parallel to `params`, so it is written only if all names are known.
        for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
            if names and all(param in names for param in group["params"]):
                saved.setdefault("param_names", [names[param][0] for param in group["params"]])
        if self._parked:
            state[PARKED] = dict(self._parked)
        if self.in_force is not None:
            state[CONFIG] = self.in_force

    def load(self, optimizer: Optimizer, state: StateDict) -> StateDict:
        """Return the state in the order of the optimizer, with the options that the policy sets.

        Raises:
            OptimizerError: The state is no state of an optimizer; a parameter is missing or
                unexpected and the policy does not allow it; the state of a parameter has other
                keys, shapes or kinds of values than the optimizer makes; the policy names an
                unknown option, or is `error` and the config has changed.
        """
        # The form comes first: all that follows reads keys of the state.
        check_form(state)
        state = _without_dicts_within(state)
        names, policy = self._names(), self._policy()
        self._remember(optimizer, names)
        groups = list(self._groups(optimizer, names))
        check_fields(policy, groups)
        resolution = resolve(
            self.changes(state),
            policy,
            lambda change: decide(change, self._config, policy, state),
            own=as_data(self._config),
            error=OptimizerError,
        )
        # Names count only if both sides have them; an old state has none.
        if names and any(each.name is not None for each in saved_in(state)):
            every = {name for each in names.values() for name in each}
            match = by_name(state, groups, every)
            check_names(match, groups, every, policy)
        else:
            match = by_place(state, groups)
        if match is None:
            refuse_sizes(state, groups)
        if self._is_joint:
            match = joint_match(match, groups, may_be_lost=policy.allow_missing)
        rebuilt = _rebuilt(optimizer, state, match, groups, policy)
        check_states(optimizer, rebuilt, match, groups, self._unchecked)
        # Set only after all checks have passed: a refused state changes nothing.
        self._parked = _find_parked(match, groups, names)
        self._in_force = resolution.config
        self.keeps_rates = any(
            "lr" in each.path and not each.is_followed for each in resolution.changes
        )
        resolution.tell()
        return rebuilt

    def complete(self, optimizer: Optimizer) -> None:
        """Add the switches to groups that neither the state nor PyTorch has filled in."""
        for group, begun in zip(optimizer.param_groups, self._begun, strict=False):
            for key in optimizer.defaults.keys() & begun.keys():
                group.setdefault(key, begun[key])

    def _names(self) -> Names:
        """Return all names of each parameter of the model, or the last known ones without it."""
        model = self._model()
        if model is None:
            return self._known
        return _names_in(model.named_parameters(remove_duplicate=False))

    def _remember(self, optimizer: Optimizer, names: Names) -> None:
        """Note the names of the optimizer's own parameters, since the model is not kept alive."""
        if self._model() is not None:
            own = set(params_of(optimizer))
            self._known = {param: each for param, each in names.items() if param in own}

    def _policy(self) -> ResumeConfig:
        model = self._model()
        if hasattr(model, "configure_optimizers"):
            self._read_policy(model)
        return self._resume or ResumeConfig()

    def _read_policy(self, model: Any) -> None:
        """Take the policy from the trainer of a model, if there is none yet."""
        if self._resume is None:
            run = known_run_length(model)
            self._resume = run and run.context.resume

    def __deepcopy__(self, memo: dict[int, Any]) -> OptimizerStateHooks:
        """Copy the hooks, for the copy of the model if that is made at the same time."""
        # Before the rest is copied, which may refer to these hooks.
        memo[id(self)] = twin = OptimizerStateHooks(())
        vars(twin).update(copy.deepcopy(self.__getstate__(), memo))
        model = memo.get(id(self._model()))
        if model is not None:
            twin._model = ref(model)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the names of the optimizer's parameters, without the model."""
        # A weak reference cannot be pickled.
        return {**vars(self), "_model": _no_model}

    def _groups(self, optimizer: Optimizer, names: Names) -> Iterator[CurrentGroup]:
        for index, group in enumerate(optimizer.param_groups):
            params = [
                CurrentParam(
                    param, names.get(param, ()), f"number {place} of parameter group {index}"
                )
                for place, param in enumerate(group["params"])
            ]
            # A group that joined after `begin` has no other options than its present ones.
            is_late = index >= len(self._begun)
            yield CurrentGroup(_options(group) if is_late else self._begun[index], params)


def _no_model() -> None:
    """Return no model, for parameters that were given without one."""


def _names_in(named: Iterable[tuple[str, Tensor]]) -> Names:
    """Return all names of each parameter; none at all if two parameters share a name."""
    pairs = list(named)
    found: dict[Tensor, list[str]] = {}
    for name, (_, tensor) in zip(clean_names([name for name, _ in pairs]), pairs, strict=True):
        own = found.setdefault(tensor, [])
        if name not in own:
            own.append(name)
    every = list(chain.from_iterable(found.values()))
    # A state under an ambiguous name could go to the wrong parameter.
    return {k: tuple(v) for k, v in found.items()} if len(set(every)) == len(every) else {}


def _options(group: Mapping[str, Any]) -> Group:
    """Return the options of a group, with copies of its tensors."""
    # A rate in a tensor is written in place, so the tensor itself would not stay as it is now.
    own = {key: value for key, value in group.items() if key not in ("params", "param_names")}
    return {k: v.detach().clone() if hasattr(v, "detach") else v for k, v in own.items()}


def _find_parked(
    match: StateMatch, groups: Sequence[CurrentGroup], names: Mapping[Tensor, tuple[str, ...]]
) -> dict[str, Any]:
    """Return the saved states of parameters that are in the model but, frozen now, in no group."""
    inside = {own.tensor for group in groups for own in group.params}
    outside = {name for tensor, own in names.items() if tensor not in inside for name in own}
    return {each.name: each.state for each in match.left if each.name in outside and each.state}


def _without_dicts_within(state: StateDict) -> StateDict:
    """Return the state with one dict for each parameter: bitsandbytes saves a dict in a dict."""
    states: dict[Any, Any] = {}
    for key, held in state["state"].items():
        outer = cast("StateDict", held) if isinstance(held, dict) else {}
        within: Any = outer.get(_WITHIN)
        is_two = isinstance(within, dict)
        own = {name: value for name, value in outer.items() if name != _WITHIN}
        states[key] = own | cast("StateDict", within) if is_two else held
    return {**state, "state": states}


# -- the state for torch ---------------------------------------------------------------------------


def _rebuilt(
    optimizer: Optimizer,
    state: StateDict,
    match: StateMatch,
    groups: Sequence[CurrentGroup],
    policy: ResumeConfig,
) -> StateDict:
    """Return the state as the optimizer itself would have saved it."""
    numbers = count()
    # States under other keys than those of parameters belong to the optimizer as a whole.
    keys = {key for group in state["param_groups"] for key in group["params"]}
    states = {key: value for key, value in state["state"].items() if key not in keys}
    rebuilt: list[Group] = []
    for place, live in enumerate(optimizer.param_groups):
        own, was = groups[place].options, match.groups[place]
        ids: list[int] = []
        group: Group = {**(own if was is None else _options(was)), "params": ids}
        for param, found in zip(live["params"], match.params[place], strict=True):
            ids.append(number := next(numbers))
            # A new parameter keeps its present state: some optimizers make one in the constructor.
            held = optimizer.state.get(param) if found is None else found.state
            if held is not None:
                states[number] = held
        if "param_names" in live:
            group["param_names"] = live["param_names"]
        rebuilt.append(overridden(group, own, policy.option_fields()))
    return {**state, "state": states, "param_groups": rebuilt}
