"""Cost of a Lightning step: the CPU time of `fit` divided by the number of steps."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset


def cpu_microseconds(trainer_class: Any, module: Any, steps: int, *config: Any) -> float:
    """Train on batches of 32 rows of 64 numbers, with a trainer that does nothing else."""
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(steps * 32, 64), torch.randint(10, (steps * 32,)))
    trainer = trainer_class(
        *config,
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches: Any = torch.arange(steps * 32).split(32)
    loader = DataLoader(data, batch_size=None, sampler=batches)
    start = time.process_time()
    trainer.fit(module, loader)
    return (time.process_time() - start) / steps * 1e6
