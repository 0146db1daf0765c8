"""Schedules of the gallery by shape, with advice on when to use each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nshtrainer.cli.recommended import RECOMMENDED as BY_KIND
from nshtrainer.configs import lr_scheduler_registry
from nshtrainer.project.components import is_from_torch

RECOMMENDED = BY_KIND["lr_scheduler"]


@dataclass(frozen=True)
class Shape:
    """Schedules that move in a similar way."""

    title: str
    when: str
    """When to take a schedule of this shape."""
    schedules: dict[str, str]
    """When to take each of them, by name."""
    column: str = "Use it"
    """Heading of these texts."""


def first_line(cls: type) -> str:
    """Return the first line of a docstring, for a table."""
    return (cls.__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")


def torchs() -> dict[str, Any]:
    """Return the configs of torch's schedulers by name; a new one needs no entry here."""
    return {name: cls for name, cls in sorted(lr_scheduler_registry.items()) if is_from_torch(cls)}


SHAPES = (
    Shape(
        "Decay until the end of the run",
        "Take one of these when the number of steps is fixed before training starts.",
        {
            "cosine": RECOMMENDED["cosine"],
            "linear": RECOMMENDED["linear"],
            "linear_warmup_cosine_decay": "for a linear warm-up and a cosine, with the fields of "
            "nshtrainer 1.5.4",
            "half_cosine": "to lower the learning rate early",
            "polynomial": "to choose the steepness of the decay by one exponent",
            "rex": "to keep the learning rate high for long, with small budgets",
            "tanh": "to hold both ends flat and choose how steep the middle is",
            "flat_cosine": "to train at the full rate first and decay only in the last part",
            "cosine_linear_tail": "to end a cosine early and go to zero in a straight line",
        },
    ),
    Shape(
        "Warm up, stay, decay",
        "Take one of these when the end of the run may move: any checkpoint before the decay can "
        "be trained further.",
        {
            "warmup_stable_decay": RECOMMENDED["warmup_stable_decay"],
            "wsd_s": "to get a usable model at the end of each of several periods",
            "tri_stage": "for speech models, with a long exponential decay",
        },
    ),
    Shape(
        "No end",
        "Take one of these when the number of steps is unknown. The run may stop at any step.",
        {
            "constant": RECOMMENDED["constant"],
            "inverse_sqrt": RECOMMENDED["inverse_sqrt"],
            "power": "to choose the exponent of the decay, with an optional cooldown",
            "noam": "to reproduce the original transformer",
        },
    ),
    Shape(
        "Steps",
        "Take one of these to reproduce a recipe that names epochs or factors.",
        {
            "step": RECOMMENDED["step"],
            "multi_step": RECOMMENDED["multi_step"],
            "exponential": "to decay by the same factor in the same time",
            "piecewise": "to give the points of the curve yourself",
        },
    ),
    Shape(
        "Cycles",
        "Take one of these to go up and down.",
        {
            "one_cycle": RECOMMENDED["one_cycle"],
            "cosine_restarts": RECOMMENDED["cosine_restarts"],
            "cyclic": "to scan a range of learning rates with triangles",
            "chebyshev": "for problems that are almost quadratic, with plain gradient descent",
        },
    ),
    Shape(
        "Combined",
        "These are made of other schedules.",
        {
            "sequence": RECOMMENDED["sequence"],
            "product": "to multiply schedules",
            "override": "to decay now, whatever the schedule says, also after a resume",
            "noise": "to add reproducible noise to a schedule",
            "schedules": RECOMMENDED["schedules"],
        },
    ),
    Shape(
        "Coming from torch",
        "These have the names, fields and defaults of `torch.optim.lr_scheduler`. Take one of them "
        "to keep a schedule that exists, and a schedule from the groups above otherwise.",
        {name: first_line(cls) for name, cls in torchs().items() if cls.is_curve},
        column="Description",
    ),
)
