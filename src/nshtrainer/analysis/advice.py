"""Advice on lengths of a run that are missing."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMAND_LINE", "IN_PYTHON", "Advice"]


class Advice(NamedTuple):
    """Remedies for missing lengths of a run: the steps, and the samples in a step."""

    steps: str
    samples: str


IN_PYTHON = Advice(
    "pass run=RunLength(total_steps=...)", "pass run=RunLength(samples_per_step=...)"
)
COMMAND_LINE = Advice(
    "give --total-steps or --steps-per-epoch, or trainer.max_steps", "give --samples-per-step"
)
