"""Parameters on the `meta` device in place of a model's own.

An optimizer that is built from them has the same groups, takes no memory and changes no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["device_type", "stand_in"]

_DEVICE = "_nshtrainer_device_type"


def stand_in(param: Tensor) -> Tensor:
    """Return a parameter of the same form on the `meta` device, with the attributes of the other.

    A sharded parameter (`DTensor`) stays sharded. A parameter that is on `meta` itself counts as
    one on a GPU, where a model of this kind is trained.

    >>> import torch
    >>> made = stand_in(torch.nn.Parameter(torch.ones(2, 3), requires_grad=False))
    >>> made.device.type, device_type(made), tuple(made.shape), made.requires_grad
    ('meta', 'cpu', (2, 3), False)
    """
    made = _empty(param)
    # Of a quantized tensor these are its data.
    vars(made).update({k: v for k, v in vars(param).items() if not hasattr(v, "device")})
    kind = device_type(param)
    setattr(made, _DEVICE, "cuda" if kind == "meta" else kind)
    return made


def _empty(param: Tensor) -> Tensor:
    import torch
    from torch.nn.parameter import UninitializedParameter, is_lazy

    if is_lazy(param):
        lazy: Any = UninitializedParameter
        return lazy(requires_grad=param.requires_grad, device="meta", dtype=param.dtype)
    if type(param) in (torch.Tensor, torch.nn.Parameter) and param.layout is torch.strided:
        # `empty_like` would close gaps and overlaps in memory.
        size, stride = param.size(), param.stride()
        made = torch.empty_strided(size, stride, dtype=param.dtype, device="meta")
    else:
        made = torch.empty_like(param.detach(), device="meta")
    return torch.nn.Parameter(made, requires_grad=param.requires_grad)


def device_type(param: Tensor) -> str:
    """Return the type of the device that a parameter is on, or the one that it stands for."""
    return getattr(param, _DEVICE, None) or param.device.type
