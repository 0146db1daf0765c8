"""Finite checks of gradients, and the hook that skips bad updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from nshtrainer.exceptions import BadUpdateError, OptimizerError
from nshtrainer.optimizer.wrappers.clipping import elements_of, total_norm
from nshtrainer.optimizer.wrappers.hooks import params_with_grad
from nshtrainer.optimizer_record import skip_step

__all__ = ["Skipping", "are_finite", "is_finite", "refuse_lbfgs"]


@torch.no_grad()  # gradients may have a graph of their own
def are_finite(params: Sequence[Tensor]) -> bool:
    """Return True if all gradients are finite, including shards in other processes.

    A sum of all squares that overflows counts as infinite: optimizers keep squares in their state,
    and clipping by an infinite norm makes every gradient 0. The process waits for the device of the
    gradients, and reads one number from it.
    """
    norm = total_norm(params)
    most = _largest(norm.dtype)
    # In 16 bits a norm may be infinite although its square is finite in 32 bits.
    return bool(norm <= most) or bool(total_norm(params, wide=True) <= most)


def is_finite(param: Tensor) -> bool:
    """Return True if the gradient of one parameter and its square are finite."""
    elements = elements_of(param.grad)
    number: Any = (elements.abs() <= _largest(elements.dtype)).logical_not().sum()
    # A DTensor computes the sum over shards only in `full_tensor`.
    return not getattr(number, "full_tensor", lambda: number)()


def _largest(dtype: torch.dtype) -> float:
    """Return the largest number whose square is finite, at least in 32 bits."""
    return math.sqrt(torch.finfo(torch.promote_types(dtype, torch.float32)).max)


def refuse_lbfgs(optimizer: Optimizer, what: str) -> None:
    """Refuse LBFGS, which reads missing gradients as zero and moves anyway.

    Raises:
        OptimizerError: The optimizer is LBFGS.
    """
    if isinstance(optimizer, LBFGS):
        raise OptimizerError(
            f"{what} leaves a whole update out, and LBFGS computes several gradients within one; "
            "use lbfgs without it, or another optimizer with it"
        )


class Skipping:
    """Gradient hook that skips bad updates: neither the optimizer nor its schedule takes a step.

    Each group counts skipped updates under `skipped`, and consecutive ones under
    `skipped_in_a_row`.

    Args:
        max_norm: The largest norm of the gradients of a good update; `None`: any finite norm.
        max_in_a_row: The largest number of bad updates in a row; `None`: any number.
    """

    def __init__(self, max_norm: float | None, max_in_a_row: int | None) -> None:
        self._max_norm = max_norm
        self._max_in_a_row = max_in_a_row

    def __call__(self, optimizer: Optimizer) -> None:
        """Check the gradients, and skip a bad update.

        Without gradients there is no update, or another hook has skipped it. If `GradScaler` found
        the bad gradients, the kernel itself skips the step.
        """
        params = params_with_grad(optimizer)
        if not params:
            return
        bad = not self._is_good(params)
        if not (bad and getattr(optimizer, "found_inf", False)):
            self.count(optimizer, bad=bad)
            if bad:
                skip_step(optimizer)

    def count(self, optimizer: Optimizer, *, bad: bool) -> None:
        """Count an update in each group.

        Raises:
            BadUpdateError: Too many in a row were bad.
        """
        for group in optimizer.param_groups:
            group["skipped"] = group.get("skipped", 0) + bad
            group["skipped_in_a_row"] = (group.get("skipped_in_a_row", 0) + 1) * bad
        self._check(optimizer)

    @torch.no_grad()
    def _is_good(self, params: Sequence[Tensor]) -> bool:
        if self._max_norm is not None:
            return float(total_norm(params)) <= self._max_norm
        return are_finite(params)

    def _check(self, optimizer: Optimizer) -> None:
        most, group = self._max_in_a_row, optimizer.param_groups[0]
        if most is not None and group["skipped_in_a_row"] > most:
            raise BadUpdateError(
                f"{group['skipped_in_a_row']} updates in a row were bad, and max_in_a_row is "
                f"{most}: their gradients were not finite, or above max_norm; look at the data and "
                "the loss, lower lr, or raise max_in_a_row of `skipping` around the optimizer "
                f"({group['skipped']} skipped in all)"
            )
