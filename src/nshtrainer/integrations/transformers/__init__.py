"""Hugging Face transformers integration: run length and metrics of its `Trainer`.

The callback is imported on first use, since it derives from a transformers class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nshtrainer.integrations.transformers.run_length import TrainerRunLength, run_length_of

if TYPE_CHECKING:
    from nshtrainer.integrations.transformers.callbacks import MetricCallback

__all__ = ["MetricCallback", "TrainerRunLength", "run_length_of"]


def __getattr__(name: str) -> Any:
    if name != "MetricCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nshtrainer.integrations.transformers.callbacks import MetricCallback

    return MetricCallback
