"""A loss or a gradient that is not finite: the run stops, or the update is left out.

Gradients decide, since after they were summed they are the same in all processes. A loss is known
to its own process alone, so one that is not finite makes its gradients so, on their way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import FSDPStrategy
from typing_extensions import override

from nshtrainer.config.messages import join_names
from nshtrainer.exceptions import BadUpdateError
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.optimizer.wrappers.clipping import elements_of
from nshtrainer.optimizer.wrappers.config import skips_by_itself
from nshtrainer.optimizer.wrappers.hooks import params_with_grad, register_grad_hook
from nshtrainer.optimizer.wrappers.skipping import Skipping, are_finite, is_finite, refuse_lbfgs
from nshtrainer.optimizer_record import (
    get_requirements,
    make_skippable,
    notify_step_skipped,
    parts_of,
    skip_step,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.types import NonFinite

__all__ = ["MOST_IN_A_ROW", "FiniteGradientCheck"]

MOST_IN_A_ROW = 10
"""Updates that `skip` leaves out one after the other; one more ends the run."""

_NAMED = 3
"""Parameters that a message names; the others are counted."""


class FiniteGradientCheck(Callback):
    """Does what `non_finite` of the trainer or the hyperparameters says; left out, it is `stop`.

    Each optimizer is looked at before each of its updates, before the gradients are clipped, in
    manual optimization too. One that `skipping` is around looks after itself. Gradients that are
    not finite under a scaler of gradients (16-mixed) are the scaler's, which leaves the update out
    and goes on with a smaller scale; unless the loss is not finite either, or the scale is below 1,
    where it can no longer be the cause.

    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback by themselves.
    """

    def __init__(self) -> None:
        self._choice: NonFinite = "stop"
        self._skipping = Skipping(None, MOST_IN_A_ROW)
        self._poison: Tensor | None = None
        """0, or nan where a loss since the last update was not finite."""
        self._undo: list[Callable[[], None]] = []
        self._looked: set[int] = set()
        """The optimizers whose gradients of the step in progress were looked at."""

    # -- hooks -----------------------------------------------------------------------------------

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learn what is to be done; an optimizer with a closure is looked at after it."""
        self._choice = run_length_of(pl_module).settings.non_finite
        self._poison = None
        self._restore()
        if self._choice == "skip":
            for optimizer in trainer.optimizers:
                refuse_lbfgs(optimizer, "non_finite: skip")
                for part in {id(each): each for each in (optimizer, *parts_of(optimizer))}.values():
                    self._undo.append(make_skippable(part))
                if get_requirements(optimizer).closure and not skips_by_itself(optimizer):
                    self._undo.append(register_grad_hook(optimizer, self._skipping).remove)
        if self._choice != "ignore" and not pl_module.automatic_optimization:
            look = partial(self._look_at_bare_step, trainer, pl_module)
            self._undo += [register_grad_hook(each, look).remove for each in trainer.optimizers]

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the optimizers as they were."""
        self._restore()

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the optimizers as they were."""
        self._restore()

    @override
    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Let the gradients of a loss that is not finite not be finite either."""
        # In float16 it may be the scaled loss that is too large, and that is the scaler's matter.
        scaled = loss.dtype is torch.float16 and _scaler(trainer) is not None
        if self._choice == "ignore" or scaled or not loss.requires_grad:
            return
        poison = loss.detach() * 0  # nan, where the loss is nan or infinite
        self._poison = poison if self._poison is None else self._poison + poison
        hooked: Any = loss  # `register_hook` has no types
        hooked.register_hook(poison.add)

    @override
    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the gradients that an update is about to be made of.

        Raises:
            BadUpdateError: They are not finite, and the run stops; or too many in a row were not.
        """
        self._look(trainer, pl_module, optimizer)
        self._looked.add(id(optimizer))

    def _look_at_bare_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look before a step of which Lightning does not hear, as `use_pl_optimizer=False` has it.

        What a scaler of the user's found is the scaler's.
        """
        if id(optimizer) in self._looked:
            self._looked.remove(id(optimizer))
        elif not getattr(optimizer, "found_inf", False):
            self._look(trainer, pl_module, optimizer)

    def _look(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        poison, self._poison = self._poison, None
        if self._choice == "ignore" or (
            self._choice == "skip" and get_requirements(optimizer).closure
        ):
            return
        parts = _looked_after(optimizer)
        params = [param for part in parts for param in params_with_grad(part)]
        if not params:
            return
        bad = _are_bad(trainer, params, poison)
        if self._choice == "skip":
            self._skip(trainer, optimizer, parts, bad)
        elif bad:
            where, what = _where(trainer, optimizer), _what(pl_module, params, poison)
            raise BadUpdateError(
                f"{where} is not made: {what}. Look at the data of this batch and at the loss; "
                "lower lr, or clip the gradients (gradient_clip_val). To leave such updates out "
                "and go on, set non_finite to skip"
            )

    def _skip(
        self, trainer: pl.Trainer, optimizer: Optimizer, parts: Sequence[Optimizer], bad: bool
    ) -> None:
        """Count an update, and leave a bad one out."""
        for part in parts:
            self._skipping.count(part, bad=bad)
        if bad and _scaler(trainer) is not None:
            # A scaler finds the same gradients, which must be there for it, and does not step.
            for each in (*parts, optimizer):
                notify_step_skipped(each)
        elif bad:
            _skip_parts(optimizer, parts)

    def _restore(self) -> None:
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        self._looked.clear()


def _skip_parts(optimizer: Optimizer, parts: Sequence[Optimizer]) -> None:
    """Skip the step of a whole optimizer, or of those of its parts that do not look themselves."""
    if any(skips_by_itself(part) for part in parts_of(optimizer)):
        for part in parts:
            skip_step(part)
        notify_step_skipped(optimizer)
    else:
        for part in parts:
            notify_step_skipped(part)
        skip_step(optimizer)


def _looked_after(optimizer: Optimizer) -> list[Optimizer]:
    """The parts of an optimizer that do not look at their gradients themselves."""
    if skips_by_itself(optimizer):
        return []
    return [part for part in parts_of(optimizer) if not skips_by_itself(part)]


def _are_bad(trainer: pl.Trainer, params: Sequence[Tensor], poison: Tensor | None) -> bool:
    """Whether gradients are not finite, and no scaler is to blame: in all processes the same."""
    bad = not are_finite(params)
    if isinstance(trainer.strategy, FSDPStrategy):  # its shards are tensors like any other
        bad = _in_any_process(trainer, bad)
    scaler = _scaler(trainer)
    if not bad or scaler is None:
        return bad
    return _in_any_process(trainer, _is_bad(poison) or scaler.get_scale() < 1)


def _in_any_process(trainer: pl.Trainer, decision: bool) -> bool:
    return trainer.strategy.reduce_boolean_decision(decision, all=False)


def _is_bad(poison: Tensor | None) -> bool:
    """Whether the loss of this process is not finite."""
    return poison is not None and not bool(poison.isfinite().all())


def _scaler(trainer: pl.Trainer) -> Any:
    """What scales the loss so that gradients in float16 do not vanish, if anything does."""
    return getattr(trainer.precision_plugin, "scaler", None)


def _where(trainer: pl.Trainer, optimizer: Optimizer) -> str:
    rates = sorted({float(group["lr"]) for group in optimizer.param_groups if "lr" in group})
    at = " to ".join(f"{rate:g}" for rate in dict.fromkeys([*rates[:1], *rates[-1:]]))
    batch = trainer.fit_loop.epoch_loop.batch_idx
    place = f"epoch {trainer.current_epoch}, batch {batch}{f', lr {at}' if at else ''}"
    return f"update {trainer.global_step} ({place})"


def _what(module: pl.LightningModule, params: Sequence[Tensor], poison: Tensor | None) -> str:
    names = {id(param): name for name, param in module.named_parameters()}
    bad = [
        names.get(id(param), "one that is not the module's")
        for param in params
        if not is_finite(param)
    ]
    if not bad:
        return f"the norm of the gradients of all {len(params)} parameters is too large"
    finite = all(bool(elements_of(param.grad).isfinite().all()) for param in params)
    how = "too large to be squared" if finite else "not finite"
    which = f"{len(bad)} of {len(params)} parameters are {how} ({join_names(bad, _NAMED)})"
    gradients = f"the gradients of {which}"
    return f"the loss is not finite, and {gradients}" if _is_bad(poison) else gradients
