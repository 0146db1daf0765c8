"""Foreign optimizer states: each loads and trains to finite weights, or is refused."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from tools.attack.frame import Attempt, Category, FailedError
from torch import Tensor, nn

from nshtrainer.exceptions import NshtrainerError
from nshtrainer.optimizer import optimizer_registry
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase

__all__ = ["CATEGORY"]


def _names() -> list[str]:
    """Return the names of torch's optimizers that need neither a closure nor sparse gradients."""
    return sorted(
        name
        for name, cls in optimizer_registry.items()
        if issubclass(cls, TorchOptimizerConfigBase)
        and cls.target.startswith("torch.optim:")
        and not cls.needs_closure
        and name != "sparseadam"
    )


def _model(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32, bias=False), nn.Linear(32, width, bias=False))


def _trained(name: str, width: int) -> tuple[nn.Module, Any]:
    model = _model(width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = optimizer_registry[name]().create_optimizer(model)
        _train(model, optimizer)
    return model, optimizer


def _train(model: nn.Module, optimizer: Any) -> None:
    for _ in range(2):
        model(torch.ones(4, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


# -- what is done to a state -----------------------------------------------------------------------

TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "one row": lambda old: old[:1],
    "one number": lambda old: old.reshape(-1)[:1].reshape([1] * old.ndim),
    "no dimension": lambda old: old.reshape(-1)[0],
    "one column": lambda old: old[..., :1],
    "zeros in a row": lambda _: torch.zeros(7),
    "nothing": lambda _: torch.zeros(0),
    "one dimension more": lambda old: old[None],
    "float64": lambda old: old.double(),
    "float16": lambda old: old.half(),
    "integers": lambda old: old.long(),
    "complex numbers": lambda old: old.to(torch.complex64),
    "booleans": lambda old: old.bool(),
    "a sparse tensor": lambda old: old.to_sparse(),
    "without values": lambda old: old.to("meta"),
    "expanded": lambda old: torch.zeros(()).expand(old.shape),
    "a number": lambda _: 1.0,
    "a text": lambda _: "text",
    "None": lambda _: None,
}


def _entries(state: dict[str, Any]) -> list[tuple[Any, str]]:
    return [(index, key) for index, entry in state["state"].items() for key in entry]


def _change(random: Random, name: str, state: dict[str, Any]) -> None:
    for index, key in random.sample(_entries(state), random.choice([1, 1, 2])):
        old = state["state"][index][key]
        tensor = old if isinstance(old, Tensor) and old.ndim else torch.ones(10, 8)
        state["state"][index][key] = TENSORS[name](tensor)


def _remove(random: Random, state: dict[str, Any]) -> None:
    index, key = random.choice(_entries(state))
    del state["state"][index][key]


def _add(random: Random, state: dict[str, Any]) -> None:
    state["state"][random.choice(list(state["state"]))]["more"] = torch.ones(1)


def _swap(random: Random, state: dict[str, Any]) -> None:
    one, two = random.sample(list(state["state"]), 2)
    state["state"][one], state["state"][two] = state["state"][two], state["state"][one]


def _group(random: Random, state: dict[str, Any]) -> None:
    group = random.choice(state["param_groups"])
    key = random.choice(list(group))
    if random.random() < 0.5:
        del group[key]
    else:
        group[key] = random.choice([None, "text", -1, [], {}, float("nan"), torch.ones(3)])


MORE: dict[str, Callable[[Random, dict[str, Any]], None]] = {
    "an entry is missing": _remove,
    "an entry too many": _add,
    "entries are swapped": _swap,
    "a value of a group is another": _group,
    "nothing else": lambda *_: None,
}


def _draw(random: Random) -> Attempt:
    one, two = random.choices(_names(), k=2)
    two = random.choice([one, two])
    widths = random.choice([(10, 10), (10, 10), (1, 10), (10, 1)])
    kind = random.choice(["a tensor", "more"])
    name = random.choice(list(TENSORS if kind == "a tensor" else MORE))
    label = f"{one} (width {widths[0]}) into {two} (width {widths[1]}), {kind}: {name}"
    return Attempt(label, partial(_run, random, one, two, widths, name))


def _run(
    random: Random, one: str, two: str, widths: tuple[int, int], name: str, _shared: Path
) -> None:
    state = copy.deepcopy(_trained(one, widths[0])[1].state_dict())
    if name in TENSORS and _entries(state):
        _change(random, name, state)
    elif name in MORE and (_entries(state) or name == "a value of a group is another"):
        MORE[name](random, state)
    torch.save(state, "state.pt")  # as a checkpoint would have it
    model, optimizer = _trained(two, widths[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            optimizer.load_state_dict(torch.load("state.pt", weights_only=True))
        except NshtrainerError as error:
            if not str(error).strip():
                raise FailedError("refused without a message") from error
            return
        _train(model, optimizer)
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise FailedError("taken, and the weights are not finite")


CATEGORY = Category("foreign states", _draw)
