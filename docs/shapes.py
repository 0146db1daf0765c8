"""The schedules of the gallery by shape, and when to take which."""

from __future__ import annotations

from dataclasses import dataclass

from nshtrainer.cli.recommended import RECOMMENDED as BY_KIND

RECOMMENDED = BY_KIND["lr_scheduler"]


@dataclass(frozen=True)
class Shape:
    """Schedules that move in a similar way."""

    title: str
    when: str
    """When to take a schedule of this shape."""
    schedules: dict[str, str]
    """When to take each of them, by name."""


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
        {
            "chained_scheduler": "to multiply torch schedules; otherwise `product`",
            "constant_lr": "for a smaller factor in the first steps",
            "cosine_annealing_lr": "for torch's cosine, which rises again after `T_max`; otherwise "
            "`cosine`",
            "cosine_annealing_warm_restarts": "for torch's restarts; otherwise `cosine_restarts`",
            "cyclic_lr": "for torch's triangles; otherwise `cyclic`",
            "exponential_lr": "for `gamma` per step or per epoch; otherwise `exponential`",
            "lambda_lr": "to use any schedule as the factor",
            "linear_lr": "for torch's warm-up; otherwise `warmup_duration` of any schedule",
            "multi_step_lr": "for milestones in steps or epochs; otherwise `multi_step`",
            "one_cycle_lr": "for torch's one-cycle policy; otherwise `one_cycle`",
            "polynomial_lr": "for torch's polynomial; otherwise `polynomial`",
            "sequential_lr": "to join torch schedules; otherwise `sequence`",
            "step_lr": "for `gamma` every `step_size`; otherwise `step`",
            "swa_lr": "to reach the learning rate of stochastic weight averaging",
        },
    ),
)
