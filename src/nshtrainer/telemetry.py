"""Telemetry of optimizer steps: norms of gradients, weights and updates per parameter group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakMethod

import torch
from torch import Tensor
from torch.optim import Optimizer

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.wrappers.hooks import elements_of
from nshtrainer.optimizer_record import (
    closure_of,
    on_step_skipped,
    optimizer_within,
    parts_of,
    record_of,
)

__all__ = ["Telemetry", "watch_telemetry"]

Log = Callable[[dict[str, float], int], None]

_SAMPLE = 1 << 15
"""Elements of a parameter that are compared before and after a step."""

_RUN = 16
"""Neighbors among them: a line of a processor's cache, which is read as a whole."""

_foreach_norm: Any = vars(torch)["_foreach_norm"]


def watch_telemetry(
    optimizer: Any, every: int = 50, log: Log | None = None, *, name: str = "telemetry"
) -> Telemetry:
    """Measure the steps of an optimizer, in any training loop.

    Args:
        optimizer: A torch optimizer, or one that Lightning, Fabric or Accelerate has wrapped.
        every: Steps from one measurement to the next, at least 1.
        log: A function that is called after each measured step with the values, by name, and the
            number of steps since the call of `watch_telemetry`.
        name: The first part of the names of the values.

    Returns:
        The telemetry, whose `latest` holds the last values. It measures until `remove` is called.

    Raises:
        OptimizerError: `every` is below 1, or the object is not an optimizer.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> telemetry = watch_telemetry(optimizer, every=1)
    >>> weight.sum().backward()
    >>> _ = optimizer.step()
    >>> {name: round(value, 3) for name, value in telemetry.latest.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'telemetry/0/grad_norm': 1.414, 'telemetry/0/weight_norm': 5.0,
     'telemetry/0/update_norm': 0.141, 'telemetry/0/update_ratio': 0.028,
     'telemetry/0/effective_step': 1.0, 'telemetry/0/lr': 0.1, 'telemetry/skipped': 0.0}
    """
    if every < 1:
        raise OptimizerError(f"telemetry: every must be >= 1 (got {every})")
    inner = optimizer_within(optimizer)
    if not hasattr(inner, "register_step_pre_hook"):
        raise OptimizerError(
            f"telemetry: {type(optimizer).__name__} is not an optimizer; pass a torch optimizer"
        )
    return Telemetry(inner, every, log, name)


class Telemetry:
    """Measurements of an optimizer's steps, made by `watch_telemetry`.

    For each group (by its name, or its number) and each measured step:

    - `grad_norm`: the norm of the gradients, before clipping and without loss scaling;
    - `weight_norm`: the norm of the weights before the step;
    - `update_norm`: the norm of the change of the weights, weight decay included;
    - `update_ratio`: `update_norm / weight_norm`;
    - `effective_step`: the root mean square of the change, divided by `lr`; about 1 for Adam if
      the gradients agree in sign from step to step, and less if they do not;
    - `lr`: the learning rate in force;
    - `clipped`: the share of steps since the last measurement that `max_norm` of a `clipped`
      optimizer has clipped.

    `skipped` is the share of skipped steps since the last measurement. The weights and updates of a
    parameter with more than 32,768 elements are estimated from that many, evenly spaced, so that a
    measurement costs less than a step. The shards of DTensors are added up over their processes, in
    one reduction per dimension of a device mesh. Values stay on their device until they are read.

    Args:
        optimizer: The torch optimizer.
        every: Steps from one measurement to the next.
        log: The function that is called after each measured step.
        name: The first part of the names of the values.
    """

    def __init__(self, optimizer: Optimizer, every: int, log: Log | None, name: str) -> None:
        self.steps = 0
        """Steps since the telemetry was attached, without those that a hook has skipped."""
        self._every = every
        self._log = log
        self._name = name
        self._skipped = 0
        # Earlier steps do not count.
        self._clipped = {id(part): record_of(part).clipped for part in parts_of(optimizer)}
        self._groups: list[_Group] | None = None
        self._measured: dict[str, Any] = {}
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        # First, so that gradients are read before another hook clips them.
        hooks: Any = vars(optimizer)["_optimizer_step_pre_hooks"]
        hooks.move_to_end(self._handles[0].id, last=False)
        on_step_skipped(optimizer, WeakMethod(self._count_skipped))

    @property
    def latest(self) -> dict[str, float]:
        """The values of the last measured step by name; empty before the first."""
        return {f"{self._name}/{name}": float(value) for name, value in self._measured.items()}

    def remove(self) -> None:
        """Stop measuring."""
        for handle in self._handles:
            handle.remove()

    def _count_skipped(self) -> None:
        self._skipped += 1
        self._groups = None

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        if (self.steps + 1) % self._every:
            return None
        self._groups = [
            _Group(str(group.get("name", place)), group)
            for place, group in enumerate(optimizer.param_groups)
        ]
        closure = closure_of(args, kwargs)
        if closure is None:
            self._read_grads(optimizer)
            return None

        def run() -> Any:
            loss = closure()
            self._read_grads(optimizer)
            return loss

        return (optimizer,), {"closure": run}

    def _read_grads(self, optimizer: Optimizer) -> None:
        scale = getattr(optimizer, "grad_scale", None)
        for group in self._groups or ():
            group.read_grads(1.0 if scale is None else scale)

    def _after_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        self.steps += 1
        groups, self._groups = self._groups, None
        if groups is None:
            return
        values: dict[str, Any] = {}
        for group, squares in zip(groups, _squares_of(groups), strict=True):
            values |= {f"{group.name}/{key}": each for key, each in group.values(squares).items()}
        values |= self._clipped_shares(optimizer)
        self._measured = {**values, "skipped": self._skipped / (self._skipped + self._every)}
        self._skipped = 0
        if self._log is not None:
            self._log(self.latest, self.steps)

    def _clipped_shares(self, optimizer: Optimizer) -> dict[str, Any]:
        shares: dict[str, Any] = {}
        places = {id(group): place for place, group in enumerate(optimizer.param_groups)}
        for part in parts_of(optimizer):
            count = record_of(part).clipped
            if count is None:
                continue
            share = (count - self._clipped[id(part)]) / self._every
            self._clipped[id(part)] = count
            names = (group.get("name", places[id(group)]) for group in part.param_groups)
            shares |= {f"{name}/clipped": share for name in names}
        return shares


class _Group:
    """One parameter group in one step: its gradients, its weights, and their change."""

    def __init__(self, name: str, group: dict[str, Any]) -> None:
        self.name = name
        lr: Any = group.get("lr", math.nan)
        # A schedule writes into a rate that is a tensor.
        self._lr = lr.clone() if isinstance(lr, Tensor) else lr
        self._size = sum(param.numel() for param in group["params"])
        self._params: dict[Any, list[Tensor]] = {}
        for param in group["params"]:
            self._params.setdefault(getattr(param, "device_mesh", None), []).append(param)
        self._weights = {
            mesh: [_sample(param).clone() for param in params]
            for mesh, params in self._params.items()
        }
        self._grads: dict[Any, Tensor] = {}

    @property
    def meshes(self) -> Iterable[Any]:
        """The device meshes of the parameters; None for plain tensors."""
        return self._params

    def read_grads(self, scale: Any) -> None:
        """Sum the squares of the gradients, before a hook or the step changes them."""
        for mesh, params in self._params.items():
            with_grad = [param for param in params if param.grad is not None]
            grads = [elements_of(_local(param.grad)) for param in with_grad]
            self._grads[mesh] = _sum_of_squares(grads, map(_share, with_grad)) / scale**2

    def squares(self, mesh: Any) -> Tensor:
        """Return the sums of squares in this process: of gradients, weights and the update."""
        params, weights = self._params.get(mesh, []), self._weights.get(mesh, [])
        now = [_sample(param) for param in params]
        factors = [
            _share(param) * _local(param).numel() * (1 + param.is_complex()) / max(1, each.numel())
            for param, each in zip(params, now, strict=True)
        ]
        change = [new - old for new, old in zip(now, weights, strict=True)]
        sums = [_sum_of_squares(weights, factors), _sum_of_squares(change, factors)]
        grad = self._grads.get(mesh, torch.tensor(0.0))
        return torch.stack([each.to(sums[0].device) for each in (grad, *sums)])

    def values(self, squares: Tensor) -> dict[str, Any]:
        """Return the measurements, from the sums of squares over all processes."""
        grad, weight, update = squares.sqrt().unbind()
        return {
            "grad_norm": grad,
            "weight_norm": weight,
            "update_norm": update,
            "update_ratio": update / weight,
            "effective_step": update / (self._lr * math.sqrt(self._size)),
            "lr": self._lr,
        }


def _squares_of(groups: Sequence[_Group]) -> Tensor:
    """Return the sums of squares of all groups, one row each, over all processes."""
    found: Any = 0.0
    all_reduce: Any = vars(torch.distributed)["all_reduce"]
    meshes: Iterable[Any] = dict.fromkeys(mesh for group in groups for mesh in group.meshes)
    for mesh in meshes:
        squares = [group.squares(mesh) for group in groups]
        # A group may be empty, or on another accelerator.
        device = next((each.device for each in squares if not each.is_cpu), torch.device("cpu"))
        rows = torch.stack([each.to(device) for each in squares])
        processes: list[Any] = [] if mesh is None else mesh.get_all_groups()
        for some in processes:
            all_reduce(rows, group=some)
        found = rows + found
    return found


def _local(tensor: Any) -> Tensor:
    """Return the shard of a DTensor in this process; another tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _share(param: Any) -> float:
    """Return the share of a local shard in a sum over all processes: 1 / its replicas."""
    mesh = getattr(param, "device_mesh", None)
    if mesh is None:
        return 1.0
    sizes = zip(mesh.shape, param.placements, strict=True)
    return 1 / math.prod(size for size, place in sizes if place.is_replicate())


def _sample(param: Tensor) -> Tensor:
    """Return the elements of the local shard, or evenly spaced short runs of them."""
    local = _local(param.detach())
    flat = (torch.view_as_real(local) if local.is_complex() else local).flatten()
    step = flat.numel() // _SAMPLE
    if step < 2:
        return flat
    # A step that divides the length of a row would compare a few columns alone.
    while math.gcd(step * _RUN, flat.numel() // len(local)) > _RUN:
        step -= 1
    return flat[: flat.numel() // _RUN * _RUN].view(-1, _RUN)[::step]


def _sum_of_squares(values: Sequence[Tensor], factors: Iterable[float]) -> Tensor:
    kinds: dict[Any, tuple[list[Tensor], list[float]]] = {}
    for value, factor in zip(values, factors, strict=True):
        tensors, weights = kinds.setdefault((value.device, value.dtype), ([], []))
        tensors.append(value)
        weights.append(factor)
    sums: list[Tensor] = []
    for (device, dtype), (tensors, weights) in kinds.items():
        wide = torch.promote_types(dtype, torch.float32)
        norms = torch.stack(_foreach_norm(tensors, 2, wide))
        sums.append(norms.square() @ torch.tensor(weights, dtype=norms.dtype, device=device))
    return sum((each.to(sums[0].device) for each in sums[1:]), sums[0]) if sums else torch.zeros(())
