"""Measure each optimizer with parameters that FSDP2 shards: two processes against one.

    python tools/package_optimizers/fsdp2.py              all of them
    python tools/package_optimizers/fsdp2.py lion soap    these

The script prints each result that differs from `under_fsdp2` of the class, and fails if there is
one. Both processes see the whole batch, so their gradients equal the gradients of one process, bit
by bit. Errors of optimizers are printed to stderr.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
from nshtrainer.optimizer.torch_optim import portable_muon as muon

PROCESSES = 2
STEPS = 30
"""Number of updates, above the numbers after which some optimizers change their behavior."""
PATIENCE = timedelta(seconds=20)
"""Time that a process waits for another that has failed."""
CLOSE = 1e-4
"""Largest difference of weights, as a share of the largest change of a weight."""

Config = type[TorchOptimizerConfigBase]


def measurable() -> list[str]:
    """Return the names of the optimizers that run on a CPU."""
    return [
        name
        for name, cls in sorted(optimizer_registry.items())
        if issubclass(cls, TorchOptimizerConfigBase)
        and cls.__module__.startswith("nshtrainer.")
        and not getattr(cls, "instead_on_cpu", "")
    ]


class Table(nn.Module):
    """Model for optimizers of sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4, sparse=True)

    def forward(self) -> Tensor:
        """Return the loss."""
        return self.table(torch.tensor([0, 2, 3, 5])).square().mean()


class Network(nn.Module):
    """Model with layers whose rows divide evenly among the processes, and others."""

    def __init__(self, cls: Config) -> None:
        super().__init__()
        bias = cls.needs_dimensions is None
        # States of few bits begin with 4096 numbers a process.
        width = 3072 if getattr(cls, "extra", "") in {"bitsandbytes", "torchao"} else 8
        self.layers = nn.Sequential(
            nn.Linear(3, width, bias), nn.Tanh(), nn.Linear(width, 5, bias), nn.Linear(5, 4, bias)
        )

    def forward(self) -> Tensor:
        """Return the loss."""
        inputs = torch.linspace(-1, 1, 24).reshape(8, 3).sin()
        return (self.layers(inputs) - inputs.sum(1, keepdim=True)).square().mean()


def make_model(cls: Config) -> nn.Module:
    """Return the same model in every process."""
    torch.manual_seed(0)
    return Table() if cls.needs_sparse_gradients else Network(cls)


def train(cls: Config, model: nn.Module) -> dict[str, Tensor]:
    """Return the whole weights after some steps."""
    config: Any = cls.from_yaml(getattr(cls, "example", "") or "{}")
    if getattr(config, "foreach", False) is None:  # one process rounds as two do, which loop
        config = config.replace(foreach=False)
    optimizer = config.create_optimizer(model)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model()
        loss.backward(create_graph=cls.needs_second_backward)
        return loss.detach()

    for step in range(STEPS):
        torch.manual_seed(step)
        optimizer.step(closure)
    if cls.has_modes:
        optimizer.eval()
    return {name: whole(param.detach()) for name, param in model.named_parameters()}


def whole(param: Tensor) -> Tensor:
    """Return a parameter with the shards of all processes."""
    return param.full_tensor() if isinstance(param, DTensor) else param.clone()


def outcome(cls: Config) -> str:
    """Return the result for an optimizer in this process."""
    start = {name: param.detach() for name, param in make_model(cls).named_parameters()}
    alone = train(cls, make_model(cls))
    model: Any = make_model(cls)
    try:
        fully_shard(model, mesh=init_device_mesh("cpu", (PROCESSES,)))
        together = train(cls, model)
    except Exception as error:  # noqa: BLE001 - an optimizer may raise anything
        print(f"{cls.__name__}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return "fails"
    farthest = max(float((alone[name] - start[name]).abs().max()) for name in start)
    apart = max(float((alone[name] - together[name]).abs().max()) for name in start)
    return "works" if apart <= CLOSE * farthest else "differs"


def always() -> bool:
    """Return True, in place of a property of the machine."""
    return True


def process(rank: int, names: list[str], folder: str) -> None:
    """Run one of the processes, which form a new group for each optimizer, also after failures."""
    torch.set_num_threads(1)
    torch.compiler.set_stance("force_eager")  # torchao compiles its steps, for half a minute
    muon.bfloat16_is_emulated = always  # in bfloat16 rounding alone takes Muon percents apart
    warnings.simplefilter("ignore")
    found = {}
    for place, name in enumerate(names):
        cls: Any = optimizer_registry[name]
        cls.under_fsdp2 = "works"  # else it cannot be built
        meeting = f"file://{folder}/meet-{place}"
        dist.init_process_group("gloo", meeting, PATIENCE, PROCESSES, rank)
        found[name] = outcome(cls)
        dist.destroy_process_group()
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")


def measured(names: Iterable[str]) -> dict[str, str]:
    """Return `works`, `differs` or `fails` for each optimizer, from the worst process."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, (list(names), folder), nprocs=PROCESSES)
        files = [Path(folder, f"{rank}.json") for rank in range(PROCESSES)]
        each = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    order = ("fails", "differs", "works")
    return {name: min((one[name] for one in each), key=order.index) for name in each[0]}


def declared(name: str) -> str:
    """Return the result that the class declares."""
    cls: Any = optimizer_registry[name]
    return str(cls.under_fsdp2)


def main(names: list[str]) -> int:
    """Print the optimizers whose measurement and declaration differ."""
    wrong = 0
    for name, found in measured(names or measurable()).items():
        if found != declared(name):
            print(f"{name}: {found}, and declared as {declared(name)}")
            wrong += 1
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
