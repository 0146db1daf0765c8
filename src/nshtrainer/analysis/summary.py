"""Summary of parameter groups and schedules: the table of `fit`, `explain` and `diff`.

The summary is computed from the torch optimizers that were built, custom ones included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nshtrainer.analysis.sentences import group_sentence, schedulers_of, sentences
from nshtrainer.config.messages import join_names
from nshtrainer.console import records_text, say_lines
from nshtrainer.escaping import printable
from nshtrainer.optimizer.checkpoint.fresh_state import form_of, state_bytes
from nshtrainer.optimizer.groups.parameters import is_lazy
from nshtrainer.optimizer.stand_ins import device_type
from nshtrainer.optimizer.wrappers.config import wrappers_around
from nshtrainer.optimizer_record import params_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.optimizer.base import OptimizerConfigBase
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = [
    "COLUMNS",
    "GroupRow",
    "OptimizationSummary",
    "Parameters",
    "Sources",
    "bytes_text",
    "cells",
    "print_explained",
    "remarks",
    "summarize",
    "summary_text",
]

_LAZY = "sizes of lazy parameters: unknown until a batch has passed through the model"

_NO_OPTIONS = ("params", "param_names", "name", "lr", "weight_decay")
"""Keys of a group that are no options, and options with a column of their own."""


_NOT_OF_STATE = ("params", "param_names", "name", "lr", "initial_lr")
"""Keys of a group that make no difference to the state."""


@dataclass(frozen=True)
class GroupRow:
    """One parameter group.

    Args:
        name: The name of the group, or its number.
        optimizer: The class that updates it.
        around: The wrappers of the optimizer, the outermost first; each begins with its name.
        implementation: The implementation: `fused`, `foreach`, `plain`, or `its own`.
        tensors: The number of parameters; a tied one counts once.
        parameters: The number of elements of these parameters.
        share: The share of these elements in all elements of the module.
        lr: The learning rate at the start of the schedules.
        weight_decay: The weight decay at the start of the schedules.
        schedule: A description of the schedules.
        state_bytes: The size of the optimizer state; None if unknown.
        options: The other options of the optimizer.
        names: The names of the parameters.
    """

    name: str
    optimizer: str
    around: list[str]
    implementation: str
    tensors: int
    parameters: int
    share: float
    lr: float | None
    weight_decay: float | None
    schedule: str | None
    state_bytes: int | None
    options: dict[str, Any]
    names: list[str]

    @property
    def update(self) -> str:
        """The optimizer within its wrappers: `lookahead(sam(SGD))`."""
        opened = "".join(f"{each.partition(' ')[0]}(" for each in self.around)
        return f"{opened}{self.optimizer}{')' * len(self.around)}"


@dataclass(frozen=True)
class Parameters:
    """Some parameters of a module: their number, their number of elements, and examples."""

    tensors: int
    parameters: int
    names: list[str]


class Sources(NamedTuple):
    """The objects that a summary was computed from.

    Args:
        parameters: All parameters of the model.
        optimizers: The optimizers, with a row of the summary for each of their groups.
        schedulers: Lightning's config of each scheduler; empty if a length is missing.
        configs: The configs of the optimizers that are known, each with its path.
        model: The model, if it is known.
    """

    parameters: Sequence[Parameter] = ()
    optimizers: Sequence[Optimizer] = ()
    schedulers: Sequence[Any] = ()
    configs: Sequence[tuple[str, OptimizerConfigBase]] = ()
    model: Module | None = None


@dataclass(frozen=True)
class OptimizationSummary:
    """Parameter groups, schedules, and parameters outside the optimizers.

    Args:
        groups: A row for each parameter group.
        frozen: Frozen parameters, in a group or not.
        tied: Parameters with several names, joined by ` = `.
        uncovered: Trainable parameters that are in no group.
        schedules: One sentence for all groups with the same schedule.
        total_steps: The number of updates in the run, if known.
        missing: Unknown facts, each with advice.
        sources: The objects behind these facts.
    """

    groups: list[GroupRow]
    frozen: Parameters
    tied: Parameters
    uncovered: Parameters
    schedules: list[str]
    total_steps: int | None
    missing: list[str]
    sources: Sources = field(default=Sources(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        data = asdict(replace(self, sources=Sources()))
        del data["sources"]
        return data


def summarize(
    sources: Sources,
    *,
    total_steps: int | None = None,
    missing: Sequence[str] = (),
    on_cpu: bool | None = None,
) -> OptimizationSummary:
    """Summarize a model and the optimizers that were built for it.

    Args:
        sources: The parameters, the optimizers and the schedulers; they are not changed.
        total_steps: The number of updates in the run, if known.
        missing: Unknown facts, each with advice.
        on_cpu: True if the model will be trained on a CPU; by default read from the parameters.
    """
    owned, built = sources.parameters, sources.optimizers
    names = {id(parameter.tensor): parameter.name for parameter in owned}
    numbers = _elements(parameter.tensor for parameter in owned)
    table = _Table(sources.schedulers, names, numbers, on_cpu)
    held = {id(param) for each in built for param in params_of(each)}
    trained = [p for p in owned if p.tensor.requires_grad]
    return OptimizationSummary(
        groups=[table.row(each, group) for each in built for group in enumerate(each.param_groups)],
        frozen=_parameters(p for p in owned if not p.tensor.requires_grad),
        tied=_parameters(p for p in owned if len(p.names) > 1),
        uncovered=_parameters(p for p in trained if id(p.tensor) not in held),
        schedules=[text for config in sources.schedulers for text in sentences(config)],
        total_steps=total_steps,
        missing=[*missing, *_remarks(owned, held - names.keys())],
        sources=sources,
    )


def _remarks(owned: Iterable[Parameter], strangers: Collection[int]) -> Iterator[str]:
    if any(is_lazy(p.tensor) for p in owned):
        yield _LAZY
    if strangers:
        number = len(strangers)
        yield f"names of {number} tensor{'s' * (number > 1)} in the optimizer that the model lacks"


def _elements(params: Iterable[Tensor]) -> int:
    """Return the number of elements; 0 for a lazy parameter."""
    return sum(param.numel() for param in params if not is_lazy(param))


def _parameters(found: Iterable[Parameter]) -> Parameters:
    kept = list(found)
    numbers = _elements(parameter.tensor for parameter in kept)
    return Parameters(len(kept), numbers, [" = ".join(parameter.names) for parameter in kept])


class _Table:
    """The rows of the parameter groups of a model.

    Args:
        schedulers: Lightning's config of each scheduler.
        names: The name of each parameter, by its identity.
        numbers: The number of elements of the model.
        on_cpu: True if the model will be trained on a CPU; None to read it from the parameters.
    """

    def __init__(
        self, schedulers: Sequence[Any], names: Mapping[int, str], numbers: int, on_cpu: bool | None
    ) -> None:
        self._schedulers, self._names = schedulers, names
        self._numbers, self._on_cpu = numbers, on_cpu
        self._sizes: dict[Any, int | None] = {}

    def row(self, optimizer: Optimizer, numbered: tuple[int, dict[str, Any]]) -> GroupRow:
        """Return the row of a group of an optimizer."""
        place, group = numbered
        part = _part_with(optimizer, group)
        count = _elements(group["params"])
        around = [each for own in dict.fromkeys((optimizer, part)) for each in wrappers_around(own)]
        mine = schedulers_of(optimizer, self._schedulers)
        texts = [text for each in mine if (text := group_sentence(each, group))]
        options = {
            key: _plain(group.get(f"initial_{key}", now))
            for key, now in group.items()
            if key not in _NO_OPTIONS and not key.startswith("initial_")
        }
        return GroupRow(
            name=str(group.get("name", place)),
            optimizer=type(part).__name__,
            around=[each.label() for each in around],
            implementation=_implementation(group, self._on_cpu),
            tensors=len(group["params"]),
            parameters=count,
            share=count / self._numbers if self._numbers else 0.0,
            lr=_number(group.get("initial_lr", group.get("lr"))),
            weight_decay=_number(group.get("initial_weight_decay", group.get("weight_decay"))),
            schedule="; ".join(texts) or None,
            state_bytes=self._state_bytes(part, group, sum(each.copies for each in around)),
            options=options,
            names=[self._names[id(p)] for p in group["params"] if id(p) in self._names],
        )

    def _state_bytes(self, part: Optimizer, group: dict[str, Any], copies: int) -> int | None:
        """Return the size of the state; groups that differ in the rate alone have one size."""
        forms = [_form(param) for param in group["params"]]
        options = {k: v for k, v in group.items() if k not in _NOT_OF_STATE}
        # A rate of 0 might be a special case.
        key = (id(part), repr(forms), repr(options), bool(group.get("lr")), copies)
        if key not in self._sizes:
            self._sizes[key] = state_bytes(part, group, copies=copies)
        return self._sizes[key]


def _form(param: Tensor) -> Any:
    if is_lazy(param):
        return None
    return param.requires_grad, form_of(param), getattr(param, "placements", None)


def _part_with(optimizer: Optimizer, group: Mapping[str, Any]) -> Optimizer:
    """Return the inner optimizer that a group of a routed optimizer belongs to."""
    parts: Mapping[str, Optimizer] = getattr(optimizer, "routes", {})
    owners = (p for p in parts.values() if any(group is own for own in p.param_groups))
    return next(owners, optimizer)


def _implementation(group: Mapping[str, Any], on_cpu: bool | None) -> str:
    """Return the implementation that computes the updates, as far as the group tells."""
    if not group.keys() & {"foreach", "fused"}:
        return "its own"
    chosen = [flag for flag in ("fused", "foreach") if group.get(flag)]
    if chosen:
        return chosen[0]
    if on_cpu is None:
        on_cpu = all(device_type(param) == "cpu" for param in group["params"])
    # torch uses foreach on an accelerator by default.
    return "plain" if on_cpu or group.get("foreach") is False else "foreach"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _plain(value: Any) -> Any:
    """Return a tensor as a number, a pair as a list, and other data as text."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in cast("list[Any]", value)]
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, (bool, int, float, str, type(None))) else str(number)


# -- for people ------------------------------------------------------------------------------------

COLUMNS = (
    "group",
    "optimizer",
    "implementation",
    "tensors",
    "parameters",
    "share",
    "lr",
    "weight decay",
    "state",
    "examples",
)
"""The columns of the table."""


def print_explained(found: OptimizationSummary) -> None:
    """Print the table, the parameters outside its rows, and the schedules."""
    say_lines(f"{summary_text(found)}\n")


def summary_text(found: OptimizationSummary) -> str:
    """Return the table, the parameters outside its rows, and the schedules, as lines."""
    below = (f"{label:10} {printable(text)}" for label, text in remarks(found))
    return records_text(COLUMNS, map(cells, found.groups)) + "\n".join(below)


def remarks(found: OptimizationSummary) -> Iterator[tuple[str, str]]:
    """Yield the lines below the table: each has a label and a text."""
    yield "frozen", _parameters_text(found.frozen)
    yield "tied", _parameters_text(found.tied)
    yield "unassigned", _parameters_text(found.uncovered)
    for text in found.schedules:
        yield "schedule", text
    yield "steps", "unknown" if found.total_steps is None else str(found.total_steps)
    for text in found.missing:
        yield "missing", text


def cells(row: GroupRow) -> tuple[str, ...]:
    """Return the cells of a row of the table."""
    return (
        row.name,
        row.update,
        row.implementation,
        str(row.tensors),
        f"{row.parameters:,}",
        f"{100 * row.share:.3g}%",
        "-" if row.lr is None else f"{row.lr:g}",
        "-" if row.weight_decay is None else f"{row.weight_decay:g}",
        "unknown" if row.state_bytes is None else bytes_text(row.state_bytes),
        join_names(row.names, limit=2),
    )


def _parameters_text(found: Parameters) -> str:
    if not found.tensors:
        return "0"
    what = f"{found.tensors} tensor{'s' * (found.tensors > 1)}"
    return f"{what}, {found.parameters:,} parameters: {join_names(found.names, limit=3)}"


def bytes_text(size: int) -> str:
    """Format a number of bytes with three digits.

    >>> bytes_text(0), bytes_text(1536), bytes_text(3 * 2**30)
    ('0 B', '1.5 KiB', '3 GiB')
    """
    value, units = float(size), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1000 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:.3g} {unit}"
