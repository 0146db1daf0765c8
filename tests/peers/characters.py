"""A small GPT-2 with random weights, and real text as characters: no downloads."""

from __future__ import annotations

from functools import cache
from pydoc_data.topics import topics
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

__all__ = ["Line", "gpt2", "logged", "rows", "trainer"]

WIDTH = 16


@cache
def _text() -> Tensor:
    """The manual of Python, as the places of its characters among those that it has."""
    text = "\n".join(topics[name] for name in sorted(topics))[:5000]
    letters = sorted(set(text))
    return torch.tensor([letters.index(letter) for letter in text])


def rows(count: int, first: int = 0) -> list[dict[str, Tensor]]:
    """Pieces of the text that follow one another."""
    pieces = _text().unfold(0, WIDTH, WIDTH)[first : first + count]
    return [{"input_ids": piece, "labels": piece} for piece in pieces]


def gpt2() -> Any:
    torch.manual_seed(0)
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": WIDTH}
    vocabulary = int(_text().max()) + 1
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, **sizes)
    )


class Line(nn.Module):
    """The smallest model that the Trainer trains."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": self.layer(x).square().mean()}


def trainer(folder: Any, model: Any, data: Any, cls: Any = Trainer, **options: Any) -> Any:
    """A quiet Trainer on the CPU."""
    own = {name: options.pop(name) for name in OBJECTS & options.keys()}
    quiet = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no"}
    arguments = TrainingArguments(output_dir=str(folder), **{**quiet, **options})
    return cls(model, arguments, train_dataset=data, **own)


OBJECTS = {"callbacks", "eval_dataset", "model_init", "optimizers"}
"""What is given to the Trainer itself, and not to its arguments."""


def logged(trainer: Any) -> dict[int, float]:
    """The rate of each update, from 1."""
    logs = trainer.state.log_history
    return {log["step"]: log["learning_rate"] for log in logs if "learning_rate" in log}
