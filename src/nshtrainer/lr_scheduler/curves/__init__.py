"""The maths of schedules: the index of an update -> the factor on the base value.

A curve is a frozen dataclass that is called with a step: pure, in closed form, defined for every
step >= 0. `t` is the index, from 0, of the optimizer update that uses the value. Phases are
half-open `[start, end)`: at its first update a phase has its start value, and from the end of the
last phase on the value is the end value, exactly. A phase of length 0 is absent.

Two curves are the same when they compare equal; `repr` is the name of a curve in checkpoints;
`phases` lists its parts. This package imports the standard library, and the type of a curve.
"""

from __future__ import annotations

from nshtrainer.lr_scheduler.curves.basic import (
    Constant,
    Decay,
    Exponential,
    GeometricDecay,
    Interpolation,
    InverseSqrt,
    LinearWarmupCosine,
    MultiStep,
    Noam,
    Piecewise,
    Power,
    StableDecay,
)
from nshtrainer.lr_scheduler.curves.combinators import Noisy, Override, Product, Sequence, Warmup
from nshtrainer.lr_scheduler.curves.cyclic import (
    Chebyshev,
    OneCycle,
    Periods,
    TriangleWave,
    WarmRestarts,
    triangle_scale,
)
from nshtrainer.lr_scheduler.curves.epochs import Epochs, Staircase, Stretched
from nshtrainer.lr_scheduler.curves.phases import Curve, Phase, phases_of
from nshtrainer.lr_scheduler.curves.shapes import (
    FALLS,
    RISES,
    CosineShape,
    HalfCosineShape,
    HalvingShape,
    InverseShape,
    LinearShape,
    PowerShape,
    ReflectedExponentialShape,
    RootShape,
    Shape,
    SquareShape,
    TanhShape,
)

__all__ = [
    "FALLS",
    "RISES",
    "Chebyshev",
    "Constant",
    "CosineShape",
    "Curve",
    "Decay",
    "Epochs",
    "Exponential",
    "GeometricDecay",
    "HalfCosineShape",
    "HalvingShape",
    "Interpolation",
    "InverseShape",
    "InverseSqrt",
    "LinearShape",
    "LinearWarmupCosine",
    "MultiStep",
    "Noam",
    "Noisy",
    "OneCycle",
    "Override",
    "Periods",
    "Phase",
    "Piecewise",
    "Power",
    "PowerShape",
    "Product",
    "ReflectedExponentialShape",
    "RootShape",
    "Sequence",
    "Shape",
    "SquareShape",
    "StableDecay",
    "Staircase",
    "Stretched",
    "TanhShape",
    "TriangleWave",
    "WarmRestarts",
    "Warmup",
    "phases_of",
    "triangle_scale",
]
