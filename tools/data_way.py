"""Count the functions and files of nshtrainer between a config and torch.

    python tools/data_way.py
    python tools/data_way.py --list

A small model is trained for one epoch under Lightning, with AdamW, weight-decay exemptions and a
warm-up from YAML. A function counts once; comprehensions and lambdas belong to the function around
them.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import nshtrainer
from nshtrainer.configs import LRSchedulerConfig, OptimizerConfig

PACKAGE = Path(nshtrainer.__file__).parent
CONFIG = """\
optimizer: {name: adamw, lr: 3e-3, weight_decay: 0.05, no_decay: bias_and_norm}
lr_scheduler: {name: linear_warmup_cosine_decay, warmup_duration: 1 epochs, max_duration: 100%}
"""
Event = tuple[str, CodeType]


class WayConfig(nshtrainer.Config):
    """Hyperparameters of the model."""

    optimizer: OptimizerConfig
    lr_scheduler: LRSchedulerConfig


class WayModel(nshtrainer.LightningModuleBase[WayConfig]):
    """A linear layer, and a norm that is exempt from weight decay."""

    def __init__(self, hparams: WayConfig) -> None:
        super().__init__(hparams)
        self.net = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 1))

    def training_step(self, batch: Tensor) -> Tensor:
        """Return the loss."""
        return self.net(batch).square().mean()


def train() -> None:
    """Read the config and train the model for two steps."""
    options = {"max_epochs": 2, "accelerator": "cpu", "logger": False}
    trainer = nshtrainer.Trainer(
        {**options, "enable_checkpointing": False},
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(torch.ones(4, 8), batch_size=4)
    trainer.fit(WayModel(WayConfig.from_yaml(CONFIG)), data)


def events_of(run: Callable[[], None]) -> list[Event]:
    """Return the calls of functions and their ends, in their order."""
    events: list[Event] = []

    def record(frame: FrameType, event: str, _: Any) -> None:
        events.append((event, frame.f_code))

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        run()
    finally:
        sys.setprofile(before)
    return events


def is_counted(code: CodeType) -> bool:
    """Return True for the named functions of nshtrainer."""
    return PACKAGE in Path(code.co_filename).parents and not code.co_name.startswith("<")


def passed(events: list[Event], start: str, end: Event | None = None) -> list[str]:
    """Return the functions called from a function of nshtrainer to an event, as `file:line name`.

    Args:
        events: Calls and ends.
        start: The name of the first function.
        end: The event; left out, the end of the first function.
    """
    first = next(
        place
        for place, (event, code) in enumerate(events)
        if event == "call" and code.co_name == start and is_counted(code)
    )
    last = events.index(end or ("return", events[first][1]), first)
    called = (code for event, code in events[first:last] if event == "call" and is_counted(code))
    names = (
        f"{Path(code.co_filename).relative_to(PACKAGE)}:{code.co_firstlineno} {code.co_name}"
        for code in called
    )
    return list(dict.fromkeys(names))


def ways() -> dict[str, list[str]]:
    """Return the functions passed on each way, by what the way leads from and to."""
    train()  # imports, and schemas that are built once
    events = events_of(train)
    adamw = ("call", torch.optim.AdamW.__init__.__code__)
    return {
        "configure_optimizers to AdamW": passed(events, "configure_optimizers", adamw),
        "warmup_duration to the driver": passed(events, "create_scheduler"),
    }


def main(arguments: list[str]) -> None:
    """Print a line for each way, and with `--list` its functions."""
    for name, functions in ways().items():
        files = {each.partition(":")[0] for each in functions}
        print(f"{name:32}{len(functions)} functions in {len(files)} files")
        if "--list" in arguments:
            print(*functions, "", sep="\n")


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    main(sys.argv[1:])
