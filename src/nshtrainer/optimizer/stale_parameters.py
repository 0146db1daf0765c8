"""Parameters that the model has no more: an optimizer trains nothing with them, without a word.

Sharding (FSDP2), quantising, `to_empty` and a layer that is made anew put other parameters in the
place of those that were there. An optimizer that was built before has the old ones still, and
nobody computes their gradients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from nshtrainer.config.messages import join_quoted
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.group_dicts import is_sharded
from nshtrainer.optimizer.groups.lazy_parameters import is_lazy
from nshtrainer.optimizer.groups.parameters import clean_names
from nshtrainer.optimizer_record import params_of, record_of
from nshtrainer.run_length import known_run_length

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.optimizer.base import OptimizerConfigBase

__all__ = ["check_stale", "check_unowned", "watch_parameters", "watched"]

_WHY = (
    "others were put in their place after the optimizer was built, as FSDP2 (fully_shard), "
    "quantising, to_empty, load_state_dict(assign=True) or a layer made anew do. It would train "
    "nothing of these: create it when the model is as it is trained, under Lightning in "
    "configure_optimizers"
)
_MOST = 5
"""Names in a message."""


def watch_parameters(optimizer: Any, model: Any, config: OptimizerConfigBase | None = None) -> None:
    """Let an optimizer check before its first step that the model still has its parameters.

    If the model is a LightningModule, its trainer checks what the config assumed of the run.

    What the model does not have now is never asked for, such as a learned temperature. A model that
    is gone by then is no error; it is not kept alive.

    >>> import torch
    >>> from nshtrainer.configs import SGDConfig
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> optimizer = SGDConfig().create_optimizer(model)  # it watches
    >>> model[0] = torch.nn.Linear(2, 1)
    >>> optimizer.step()
    Traceback (most recent call last):
    nshtrainer.exceptions.OptimizerError: SGD has parameters that Sequential has no more
    ('0.weight', '0.bias'): others were put in their place ...

    Args:
        optimizer: What steps. One that watches a model already goes on with that; what is none of
            torch's does not watch.
        model: The module; anything else is not watched.
        config: What the optimizer was built from, if that is known.
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
                run.settings.attach_check()
        optimizer.register_step_pre_hook(watching)


def watched(optimizer: Optimizer) -> _Watch | None:
    """Return what is known of an optimizer from when it was built, or first seen by a trainer."""
    return record_of(optimizer).watch


def check_stale(optimizer: Optimizer) -> None:
    """Check now that the model that an optimizer watches has its parameters; later it does again.

    Raises:
        OptimizerError: It has one of them no more.
    """
    watching = record_of(optimizer).watch
    if watching is not None:
        watching.check(optimizer)


def check_unowned(optimizers: Sequence[Optimizer], model: Module) -> None:
    """Check optimizers of bare parameters, of which nobody knows whose they were.

    One belongs to the model as it was before if the model has none of its parameters, and for each
    of them another one of the same shape and type that no optimizer has. So a learned temperature
    may have an optimizer of its own.

    Args:
        optimizers: All optimizers of the model.
        model: What they are to train.

    Raises:
        OptimizerError: There is such an optimizer.
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
                f"{join_quoted(clean_names([*free]), _MOST)}: {_WHY}"
            )


def _kind(param: Tensor) -> tuple[Any, ...]:
    from torch.nn import Parameter

    # A copy that an optimizer makes for itself, on a CPU or in a higher precision, is no Parameter.
    shape = None if is_lazy(param) else tuple(param.shape)
    return isinstance(param, Parameter), shape, param.dtype


class _Watch:
    """A step hook that checks once, and groups that join later before their first step.

    It keeps neither the model nor a parameter alive.
    """

    def __init__(
        self, optimizer: Optimizer, model: Module, config: OptimizerConfigBase | None
    ) -> None:
        named = dict(model.named_parameters())
        names = {id(p): name for p, name in zip(named.values(), clean_names([*named]), strict=True)}
        mine = map(id, params_of(optimizer))
        self._names = {key: names[key] for key in mine if key in names}
        self._had_names = bool(self._names)
        self._model = ref(model)
        self.config = config
        self._built = frozenset(map(id, params_of(optimizer)))
        self._groups = len(optimizer.param_groups)
        self.waiting = frozenset(id(p) for p in params_of(optimizer) if not p.requires_grad)

    def __call__(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        joined = len(optimizer.param_groups) != self._groups
        if not (joined or self._names):  # what every step but the first comes to
            return
        import torch

        if not torch.compiler.is_compiling():
            self.check(optimizer)
            self._names = {}
            if joined:
                self._check_late(optimizer)

    def _check_late(self, optimizer: Optimizer) -> None:
        from nshtrainer.optimizer.late_groups import warn_decayed

        self._groups, model = len(optimizer.param_groups), self._model()
        if model is not None:
            warn_decayed(optimizer, self._built, self.config, model)
            self._built |= frozenset(map(id, params_of(optimizer)))

    def was_for(self, model: Module) -> bool:
        """Return True if the optimizer had parameters of this model at its first step."""
        return self._had_names and not self._names and self._model() is model

    def check(self, optimizer: Optimizer) -> None:
        """Check that the model, if it is still there, has what it had."""
        model = self._model()
        if model is None:
            return
        there = set(map(id, model.parameters()))
        gone = [
            self._names[id(param)]
            for param in params_of(optimizer)
            # FSDP2 itself shows whole parameters in the place of its shards for a while.
            if id(param) in self._names and id(param) not in there and not is_sharded(param)
        ]
        if gone:
            raise OptimizerError(
                f"{type(optimizer).__name__} has parameters that {type(model).__name__} has no "
                f"more ({join_quoted(gone, _MOST)}): {_WHY}"
            )
