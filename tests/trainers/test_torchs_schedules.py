"""Torch's own schedulers by name under Lightning, against torch's own, moved by the epoch."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tests.trainers.support import Plain, Rates, Tiny, data, trainer
from torch.optim import lr_scheduler as torchs


class ByHand(Plain):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [{"scheduler": self.make(optimizer), "interval": "epoch"}]


def rates_of(module: Any) -> list[float]:
    rates = Rates()
    accumulated = {"max_epochs": 5, "accumulate_grad_batches": 3}
    trainer(pl.Trainer, callbacks=[rates], **accumulated).fit(module, data(batches=10))
    return [rates.seen[step] for step in range(20)]


PAIRS: dict[str, tuple[Any, dict[str, Any]]] = {
    "StepLR": (
        lambda optimizer: torchs.StepLR(optimizer, 2),
        {"name": "step_lr", "step_size": 2},
    ),
    "CosineAnnealingLR": (
        lambda optimizer: torchs.CosineAnnealingLR(optimizer, 3, eta_min=0.01),
        {"name": "cosine_annealing_lr", "T_max": 3, "eta_min": 0.01},
    ),
    "OneCycleLR": (
        lambda optimizer: torchs.OneCycleLR(optimizer, 0.5, 5, pct_start=0.5),
        {"name": "one_cycle_lr", "max_lr": 0.5, "pct_start": 0.5},
    ),
    "MultiplicativeLR": (
        lambda optimizer: torchs.MultiplicativeLR(optimizer, lambda epoch: 0.9),
        {"name": "multiplicative_lr", "lr_lambda": {"name": "constant", "factor": 0.9}},
    ),
}


@pytest.mark.filterwarnings("ignore:A `OneCycleLR` scheduler is using 'interval'")
@pytest.mark.parametrize("name", PAIRS)
def test_in_epochs_the_rates_are_those_of_torch_moved_by_the_epoch(name: str):
    make, config = PAIRS[name]
    expected = rates_of(ByHand(make))
    used = rates_of(Tiny({"lr_scheduler": {**config, "unit": "epoch"}}))
    assert used == pytest.approx(expected, rel=1e-12)
