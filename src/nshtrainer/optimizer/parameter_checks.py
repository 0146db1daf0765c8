"""Check the parameters of an optimizer against its model: replaced, not trained, or added late.

Sharding (FSDP2), quantizing, `to_empty` and replacing a layer put new parameters in the place of
the old ones. An optimizer that was built before still has the old ones, which get no gradients: the
run trains nothing, without an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from nshtrainer.config.messages import join_quoted
from nshtrainer.exceptions import NshtrainerWarning, OptimizerError
from nshtrainer.optimizer.groups.build import marked_options
from nshtrainer.optimizer.groups.config import GroupingConfigBase
from nshtrainer.optimizer.groups.group_dicts import is_sharded
from nshtrainer.optimizer.groups.parameters import clean_names, inventory, is_lazy
from nshtrainer.optimizer_record import params_of, record_of
from nshtrainer.resume import tell_of
from nshtrainer.run_length import known_run_length

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.optimizer.base import OptimizerConfigBase

__all__ = [
    "check_stale",
    "check_unowned",
    "ownership_problems",
    "warn_decayed",
    "watch_parameters",
    "watched",
]

_WHY = (
    "they were replaced after the optimizer was created, as FSDP2 (fully_shard), quantizing, "
    "to_empty, load_state_dict(assign=True) or a new layer do. The new parameters would not be "
    "trained: create the optimizer after such changes, under Lightning in configure_optimizers"
)
_MOST = 5
"""Largest number of names in a message."""


def watch_parameters(optimizer: Any, model: Any, config: OptimizerConfigBase | None = None) -> None:
    """Make an optimizer check before its first step that the model still has its parameters.

    If the model is a LightningModule, its trainer checks what the config assumed of the run.

    A parameter that the model does not have now, such as a learned temperature, is never checked.
    The model is not kept alive; if it no longer exists at the first step, nothing is checked.

    >>> import torch
    >>> from nshtrainer.configs import SGDConfig
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> optimizer = SGDConfig().create_optimizer(model)
    >>> model[0] = torch.nn.Linear(2, 1)
    >>> optimizer.step()
    Traceback (most recent call last):
    nshtrainer.exceptions.OptimizerError: SGD holds parameters no longer in Sequential
    ('0.weight', '0.bias'): they were replaced ...

    Args:
        optimizer: The optimizer. One that already watches a model keeps that model. An object that
            is not a torch `Optimizer` is ignored.
        model: The module; anything else is ignored.
        config: The config that the optimizer was built from, if it is known.
    """
    import torch

    if (
        isinstance(model, torch.nn.Module)
        and isinstance(optimizer, torch.optim.Optimizer)
        and record_of(optimizer).watch is None
    ):
        record_of(optimizer).watch = watching = _Watch(optimizer, model, config)
        record_of(optimizer).model = ref(model)
        if config is not None and hasattr(model, "configure_optimizers"):
            run = known_run_length(model)
            if run is not None:
                run.context.attach_check()
        optimizer.register_step_pre_hook(watching)


def watched(optimizer: Optimizer) -> _Watch | None:
    """Return the watch that was set when the optimizer was built, or first seen by a trainer."""
    return record_of(optimizer).watch


def check_stale(optimizer: Optimizer) -> None:
    """Check now that the watched model still has the optimizer's parameters.

    The check before the first step stays registered.

    Raises:
        OptimizerError: A parameter is no longer in the model.
    """
    watching = record_of(optimizer).watch
    if watching is not None:
        watching.check(optimizer)


def check_unowned(optimizers: Sequence[Optimizer], model: Module) -> None:
    """Check optimizers that were built from bare parameters, without a model to watch.

    Such an optimizer is stale if the model has none of its parameters, but has for each of them
    another one of the same shape and type that is in no optimizer. A learned temperature may
    therefore have an optimizer of its own.

    Args:
        optimizers: All optimizers of the model.
        model: The model that they train.

    Raises:
        OptimizerError: An optimizer is stale.
    """
    named = list(model.named_parameters())
    own = {id(param) for _, param in named}
    taken = {id(param) for optimizer in optimizers for param in params_of(optimizer)}
    free = {name: param for name, param in named if param.requires_grad and id(param) not in taken}
    kinds = Counter(map(_kind, free.values()))
    for optimizer in optimizers:
        theirs = list(params_of(optimizer))
        has_places = not Counter(map(_kind, theirs)) - kinds
        if theirs and own.isdisjoint(map(id, theirs)) and has_places:
            raise OptimizerError(
                f"{type(optimizer).__name__} has none of the parameters of {type(model).__name__}, "
                "but others of the same shapes, and no optimizer has "
                f"{join_quoted(clean_names([*free]), _MOST)}. Its own are no longer in the model: "
                f"{_WHY}"
            )


def _kind(param: Tensor) -> tuple[Any, ...]:
    from torch.nn import Parameter

    # A copy that an optimizer makes for itself, on a CPU or in a higher precision, is no Parameter.
    shape = None if is_lazy(param) else tuple(param.shape)
    return isinstance(param, Parameter), shape, param.dtype


class _Watch:
    """Step hook that checks the first step, and the first step after each added group.

    The hook keeps neither the model nor a parameter alive.
    """

    def __init__(
        self, optimizer: Optimizer, model: Module, config: OptimizerConfigBase | None
    ) -> None:
        named = dict(model.named_parameters())
        names = {id(p): name for p, name in zip(named.values(), clean_names([*named]), strict=True)}
        mine = map(id, params_of(optimizer))
        self._names = {key: names[key] for key in mine if key in names}
        self._has_names = bool(self._names)
        self._model = ref(model)
        self.config = config
        self._built = frozenset(map(id, params_of(optimizer)))
        self._groups = len(optimizer.param_groups)
        self.waiting = frozenset(id(p) for p in params_of(optimizer) if not p.requires_grad)

    def __call__(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        joined = len(optimizer.param_groups) != self._groups
        if not (joined or self._names):  # every step after the first ends here
            return
        import torch

        if not torch.compiler.is_compiling():
            self.check(optimizer)
            self._names = {}
            if joined:
                self._check_late(optimizer)

    def _check_late(self, optimizer: Optimizer) -> None:

        self._groups, model = len(optimizer.param_groups), self._model()
        if model is not None:
            warn_decayed(optimizer, self._built, self.config, model)
            self._built |= frozenset(map(id, params_of(optimizer)))

    def was_for(self, model: Module) -> bool:
        """Return True if the optimizer had parameters of this model at its first step."""
        return self._has_names and not self._names and self._model() is model

    def check(self, optimizer: Optimizer) -> None:
        """Check that the model, if it still exists, has all parameters that it had."""
        model = self._model()
        if model is None:
            return
        there = set(map(id, model.parameters()))
        gone = [
            self._names[id(param)]
            for param in params_of(optimizer)
            # FSDP2 swaps whole parameters in for its shards during forward and backward.
            if id(param) in self._names and id(param) not in there and not is_sharded(param)
        ]
        if gone:
            raise OptimizerError(
                f"{type(optimizer).__name__} holds parameters no longer in "
                f"{type(model).__name__} ({join_quoted(gone, _MOST)}): {_WHY}"
            )


def ownership_problems(optimizers: Sequence[Optimizer], model: Module) -> list[str]:
    """Return messages about parameters that are not trained although they seem to be.

    Nothing is reported if no optimizer has, or had, a parameter of the model: it may work on copies
    or on shards.

    >>> import torch
    >>> from nshtrainer.configs import SGDConfig
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    >>> optimizer = SGDConfig().create_optimizer(model[1])
    >>> ownership_problems([optimizer], model)
    ["Sequential: '0.weight', '0.bias' are trainable and in no optimizer, so they are not ..."]

    Args:
        optimizers: All optimizers of the model.
        model: The model that they train.
    """
    named = [*model.named_parameters()]
    clean = clean_names([name for name, _ in named])
    names: dict[Tensor, str] = {p: name for (_, p), name in zip(named, clean, strict=True)}
    owned = {param for optimizer in optimizers for param in params_of(optimizer)}
    before = [known for known in map(watched, optimizers) if known is not None]
    has_none = owned.isdisjoint(names) and not any(known.was_for(model) for known in before)
    if has_none or any(is_sharded(p) and p not in names for p in owned):
        return []
    found = {
        "trainable and in no optimizer, so they are not updated. Add them by add_param_group, "
        "create the optimizer when they are trainable or with include_frozen, or freeze them by "
        "requires_grad_(False).": [p for p in names if p.requires_grad and p not in owned],
        "in an optimizer and frozen, so they are not updated. Turn their gradient on by "
        "requires_grad_(True), or remove them from the optimizer.": list(_frozen(optimizers)),
    }
    of_model = {text: [names[p] for p in params if p in names] for text, params in found.items()}
    return [
        f"{type(model).__name__}: {join_quoted(those, _MOST)} are {text}"
        for text, those in of_model.items()
        if those
    ]


def _frozen(optimizers: Sequence[Optimizer]) -> Iterator[Tensor]:
    """Yield frozen parameters that were trained before, or trainable when they were added.

    A parameter that was frozen from the start waits in the optimizer on purpose. With several
    optimizers nothing is yielded: each may freeze the parameters of the others in turn.
    """
    for optimizer in optimizers if len(optimizers) == 1 else ():
        known = watched(optimizer)
        waiting = known.waiting if known is not None else frozenset[int]()
        for param in params_of(optimizer):
            is_new = id(param) not in waiting or optimizer.state.get(param)
            if is_new and not param.requires_grad:
                yield param


def warn_decayed(optimizer: Optimizer, known: Collection[int], config: Any, model: Module) -> None:
    """Warn of late parameters with a weight decay that the config's `no_decay` sets to 0.

    Args:
        optimizer: The optimizer.
        known: Identities of the parameters that were in the optimizer before.
        config: The config that the optimizer was built from, or `None`.
        model: The module that has the parameters.
    """
    late = [
        (group, own)
        for group in optimizer.param_groups
        if group.get("weight_decay")
        and (own := _config_of(group, config)) is not None
        and any(id(param) not in known for param in group["params"])
    ]
    decayed: list[str] = []
    for group, own in late:
        parameters = inventory(model)
        names = clean_names([one.name for one in parameters])
        options = marked_options(own, parameters, model)
        theirs = set(map(id, group["params"])).difference(known)
        decayed += [
            name
            for name, one, option in zip(names, parameters, options, strict=True)
            if id(one.tensor) in theirs and option.get("weight_decay") == 0
        ]
    if decayed:
        tell_of(
            f"{type(model).__name__}: {join_quoted(decayed, _MOST)} are decayed against no_decay: "
            "their group was added with a weight_decay. Add a group with weight_decay=0 for them, "
            "or set include_frozen, which groups them from the start.",
            NshtrainerWarning,
        )


def _config_of(group: dict[str, Any], config: Any) -> GroupingConfigBase | None:
    """Return the config that a group belongs to, if it has a `no_decay`."""
    own = None if config is None else config.config_for_group(group.get("name"))
    asks = isinstance(own, GroupingConfigBase) and own.no_decay != "none"
    return own if asks else None
