"""Check that Muon flattens only convolution kernels, and no stacks of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nshtrainer.config.messages import join_names
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.groups.parameters import ParameterSubset, inventory

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = ["refuse_stacks"]


def refuse_stacks(optimizer: Optimizer, params: Any, name: str) -> None:
    """Check that each parameter that Muon takes is a matrix or the kernel of a convolution.

    Args:
        optimizer: The optimizer, whose groups may have `use_muon`.
        params: The parameters that it was built from. Without a module, a parameter of 3 dimensions
            is refused: it may be the matrices of several experts.
        name: The name of the config, for the message.

    Raises:
        OptimizerError: A parameter is neither, such as the matrices of several experts.
    """
    muons = [group for group in optimizer.param_groups if group.get("use_muon", True)]
    flattened: list[Tensor] = [p for group in muons for p in group["params"] if p.ndim > 2]
    known = _parameters(params)
    # Without modules, 4 or 5 dimensions are a kernel; 3 may be either.
    stacks = [
        f"{known[id(p)].name!r} {tuple(p.shape)}" if id(p) in known else f"{tuple(p.shape)}"
        for p in flattened
        if (not known[id(p)].is_kernel if id(p) in known else p.ndim == 3)
    ]
    if stacks:
        raise OptimizerError(
            f"{name}: a stack of matrices would be made orthogonal as one matrix, as the kernels "
            f"of convolutions are. Not known as kernels are: {join_names(stacks)}. Give these to "
            "AdamW, or give the module that has the convolution"
        )


def _parameters(params: Any) -> dict[int, Parameter]:
    """Return the parameters whose modules are known, by the identity of the tensor."""
    import torch

    if isinstance(params, torch.nn.Module):
        return {id(p.tensor): p for p in inventory(params)}
    if isinstance(params, ParameterSubset) and params.model is not None:
        return {id(p.tensor): p for p in params.inventory}
    return {}
