"""Stop or skip the step when the loss or a gradient is NaN or Inf.

Gradients decide, since they are equal in all processes after the reduction. A loss is known to its
own process only, so a loss that is NaN or Inf makes its gradients NaN in the backward pass.
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
from nshtrainer.optimizer.wrappers.config import refuse_lbfgs, skips_by_itself
from nshtrainer.optimizer.wrappers.hooks import (
    Skipping,
    are_finite,
    elements_of,
    is_finite,
    params_with_grad,
    register_grad_hook,
)
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
"""Consecutive updates that `skip` may skip; one more ends the run."""

_NAMED = 3
"""Number of parameters that a message names; others are counted."""


class FiniteGradientCheck(Callback):
    """Callback for `non_finite` of the trainer or the hyperparameters; the default is `stop`.

    The gradients of each optimizer are checked before each update and before they are clipped, in
    manual optimization too. An optimizer within `skipping` checks them itself. With a GradScaler
    (16-mixed), non-finite gradients are left to the scaler, which skips the update and reduces the
    scale, unless the loss is not finite either, or the scale is below 1 and cannot be the cause.

    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback automatically.
    """

    def __init__(self) -> None:
        self._choice: NonFinite = "stop"
        self._skipping = Skipping(None, MOST_IN_A_ROW)
        self._poison: Tensor | None = None
        """0, or NaN if a loss since the last update was not finite."""
        self._undo: list[Callable[[], None]] = []
        self._checked_steps: set[int] = set()
        """Optimizers whose gradients were already checked in the current step."""

    # -- hooks -----------------------------------------------------------------------------------

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the action, and check an optimizer with a closure after the closure."""
        self._choice = run_length_of(pl_module).context.non_finite
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
            look = partial(self._check_bare_step, trainer, pl_module)
            self._undo += [register_grad_hook(each, look).remove for each in trainer.optimizers]

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the optimizers."""
        self._restore()

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Restore the optimizers."""
        self._restore()

    @override
    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Make the gradients of a non-finite loss non-finite."""
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
        """Check the gradients of the next update.

        Raises:
            BadUpdateError: The gradients are not finite and the run stops, or too many consecutive
                updates were skipped.
        """
        self._check_gradients(trainer, pl_module, optimizer)
        self._checked_steps.add(id(optimizer))

    def _check_bare_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Check a step that Lightning does not see, as with `use_pl_optimizer=False`.

        Gradients that a custom GradScaler found non-finite are left to that scaler.
        """
        if id(optimizer) in self._checked_steps:
            self._checked_steps.remove(id(optimizer))
        elif not getattr(optimizer, "found_inf", False):
            self._check_gradients(trainer, pl_module, optimizer)

    def _check_gradients(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        poison, self._poison = self._poison, None
        if self._choice == "ignore" or (
            self._choice == "skip" and get_requirements(optimizer).closure
        ):
            return
        # Optimizers that check their gradients themselves, and parts that do, are left out.
        parts = () if skips_by_itself(optimizer) else parts_of(optimizer)
        parts = [part for part in parts if not skips_by_itself(part)]
        params = [param for part in parts for param in params_with_grad(part)]
        if not params:
            return
        bad = _are_bad(trainer, params, poison)
        if self._choice == "skip":
            self._skip(trainer, optimizer, parts, bad)
        elif bad:
            where, what = (
                _describe_place(trainer, optimizer),
                _describe_cause(pl_module, params, poison),
            )
            raise BadUpdateError(
                f"{where} is not applied: {what}. Check the data of this batch and the loss; "
                "lower lr, or clip the gradients (gradient_clip_val). To skip such updates, set "
                "non_finite to skip"
            )

    def _skip(
        self, trainer: pl.Trainer, optimizer: Optimizer, parts: Sequence[Optimizer], bad: bool
    ) -> None:
        """Count an update, and skip one with non-finite gradients."""
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
        self._checked_steps.clear()


def _skip_parts(optimizer: Optimizer, parts: Sequence[Optimizer]) -> None:
    """Skip the step of an optimizer, or of its parts that do not check gradients themselves."""
    if any(skips_by_itself(part) for part in parts_of(optimizer)):
        for part in parts:
            skip_step(part)
        notify_step_skipped(optimizer)
    else:
        for part in parts:
            notify_step_skipped(part)
        skip_step(optimizer)


def _are_bad(trainer: pl.Trainer, params: Sequence[Tensor], poison: Tensor | None) -> bool:
    """Return True in all processes if gradients are not finite, and no scaler is the cause."""
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
    """Return True if the loss of this process is not finite."""
    return poison is not None and not bool(poison.isfinite().all())


def _scaler(trainer: pl.Trainer) -> Any:
    """Return the GradScaler of float16 training, if any."""
    return getattr(trainer.precision_plugin, "scaler", None)


def _describe_place(trainer: pl.Trainer, optimizer: Optimizer) -> str:
    rates = sorted({float(group["lr"]) for group in optimizer.param_groups if "lr" in group})
    at = " to ".join(f"{rate:g}" for rate in dict.fromkeys([*rates[:1], *rates[-1:]]))
    batch = trainer.fit_loop.epoch_loop.batch_idx
    place = f"epoch {trainer.current_epoch}, batch {batch}{f', lr {at}' if at else ''}"
    return f"update {trainer.global_step} ({place})"


def _describe_cause(
    module: pl.LightningModule, params: Sequence[Tensor], poison: Tensor | None
) -> str:
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
