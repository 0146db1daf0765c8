"""Muon for CPUs without bfloat16, and for convolution kernels, which torch's Muon refuses."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from nshtrainer.optimizer.torch_config import target_class

if TYPE_CHECKING:
    from torch.optim import Muon
else:
    # PyTorch below 2.9 has no Muon: this module can be imported, and the class cannot be used.
    Muon = getattr(torch.optim, "Muon", Optimizer)

__all__ = ["PortableMuon", "bfloat16_is_emulated"]

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""CPU features for products of bfloat16 matrices, as in `torch.cpu.get_capabilities`."""

Coefficients: TypeAlias = tuple[float, float, float]
"""Coefficients a, b and c of an iteration."""


@cache
def bfloat16_is_emulated() -> bool:
    """Return True if the CPU multiplies bfloat16 matrices more slowly than float32 matrices.

    The answer follows from the features of the CPU and is not measured, so that two runs on one
    machine do the same. It is True if oneDNN, which has the kernels, cannot multiply in bfloat16 (5
    to 50 times as slow), or if the CPU has no instructions for it (AVX-512 without them: 1.3 to 3
    times as slow).
    """
    mkldnn: Any = torch.ops.mkldnn
    if not (torch.backends.mkldnn.is_available() and mkldnn._is_mkldnn_bf16_supported()):  # noqa: SLF001 - torch asks itself so
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:  # an older torch; the kernels of oneDNN matter most
        return False
    flags: Mapping[str, Any] = capabilities()
    return not any(flags.get(name) for name in _INSTRUCTIONS)


class PortableMuon(Muon):
    """Muon with two differences from `torch.optim.Muon`.

    On a CPU that emulates bfloat16, the Newton-Schulz iteration runs in float32, and for wide and
    tall matrices on their Gram matrix. A parameter of more than 2 dimensions is taken as a matrix
    of its first dimension by all others. State and options are the same as in torch. Where neither
    difference applies, so is every bit of the result.

    Args:
        params: Parameters, in a form that torch's optimizers take.
        options: The options of `torch.optim.Muon`.

    Raises:
        OptimizerError: The installed PyTorch has no Muon.

    >>> weight = torch.nn.Parameter(torch.eye(2, 3))
    >>> optimizer = PortableMuon([weight], lr=0.1, weight_decay=0.0)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> list(optimizer.state[weight])
    ['momentum_buffer']
    """

    def __init__(self, params: ParamsT, **options: Any) -> None:
        # Not Muon's own `__init__`, which refuses all but matrices.
        parameters = inspect.signature(target_class("torch.optim:Muon")).parameters.values()
        defaults = {each.name: each.default for each in parameters if each.name != "params"}
        Optimizer.__init__(self, params, {**defaults, **options})

    @torch.no_grad()
    @override
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params: list[Tensor] = []
            grads: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, params, grads, momenta)  # pyright: ignore[reportUnknownMemberType]
            for param, grad, momentum in zip(params, grads, momenta, strict=True):
                _update(param, grad, momentum, group)
        return loss


def _update(param: Tensor, grad: Tensor, momentum: Tensor, group: Mapping[str, Any]) -> None:
    momentum.lerp_(grad, 1 - group["momentum"])
    ahead = grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
    matrix = ahead.flatten(1)
    direction = _orthogonal(matrix, group["ns_coefficients"], group["ns_steps"], group["eps"])
    rate = float(group["lr"])
    param.mul_(1 - rate * group["weight_decay"])
    rows, columns = matrix.shape
    is_matched = group["adjust_lr_fn"] == "match_rms_adamw"
    ratio = 0.2 * math.sqrt(max(rows, columns)) if is_matched else math.sqrt(max(1, rows / columns))
    adjusted = rate * ratio
    param.add_(direction.reshape(param.shape), alpha=-adjusted)


def _orthogonal(matrix: Tensor, coefficients: Coefficients, steps: int, eps: float) -> Tensor:
    """Return the matrix with its singular values moved near 1."""
    slow = matrix.device.type == "cpu" and bfloat16_is_emulated()
    x = matrix.to(torch.float32 if slow else torch.bfloat16, copy=True)
    is_tall = matrix.size(0) > matrix.size(1)
    x = x.T if is_tall else x
    x.div_(x.norm().clamp(min=eps))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    x = _in_float32(x, coefficients, steps) if slow else _iterated(x, coefficients, steps)
    return x.T if is_tall else x


def _iterated(x: Tensor, coefficients: Coefficients, steps: int) -> Tensor:
    """Return x after some iterations of x <- (a + b G + c G^2) x, where G is x x^T."""
    a, b, c = coefficients
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _in_float32(x: Tensor, coefficients: Coefficients, steps: int) -> Tensor:
    """Iterate in the form with fewer multiplications, with few enough iterations at a time."""
    while steps > 0:
        # As many iterations of G until a rounding error of 1e-7, growing by a^2 each, is 1e-4.
        a = coefficients[0]
        several = min(steps, 1 + int(math.log(1e3) / (2 * math.log(a)))) if a > 1 else steps
        columns = 2 * x.size(1) / x.size(0)  # a product with x, where one with G costs 1
        by_gram = 4 * several - 3 + columns < several * (columns + 1)
        x = (_iterated_by_gram if by_gram else _iterated)(x, coefficients, several)
        steps -= several
    return x


def _iterated_by_gram(x: Tensor, coefficients: Coefficients, steps: int) -> Tensor:
    """Iterate on G alone and multiply x by the product: less work if x is wide.

    Reference: Gram Newton-Schulz, https://dao-lab.ai/blog/2026/gram-newton-schulz.
    """
    a, b, c = coefficients
    gram = x @ x.T
    product = torch.ones_like(gram).tril().triu()  # an identity, sharded as that is
    for left in reversed(range(steps)):
        change = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        product = torch.addmm(product, change, product, beta=a)
        if left:
            once = torch.addmm(gram, change, gram, beta=a)
            gram = torch.addmm(once, change, once, beta=a)
    return product @ x
