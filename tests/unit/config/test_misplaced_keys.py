"""Advice about keys that belong to another section of a file."""

from __future__ import annotations

import pytest

from nshtrainer import Config, TrainerConfig
from nshtrainer.configs import AdamWConfig, OptimizerConfig
from nshtrainer.exceptions import ConfigError


class RunConfig(Config):
    optimizer: OptimizerConfig = AdamWConfig()
    trainer: TrainerConfig = TrainerConfig()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("optimizer: {name: muon_with_adamw, lr: 1}", "'optimizer.muon' or 'optimizer.adamw'"),
        ("optimizer: {name: adamw, trainer: {}}", "put it at the top of the file"),
        ("optimizer: adamw\ntrainer: {betas: [0.9, 0.99]}", "put it under 'optimizer'"),
        ("trainer: {logger: [{name: wandb, mode: offline}]}", "(known: name, project"),
        ("trainer: {callbacks: [{name: timer, seed: 1}]}", "put it under 'trainer'"),
    ],
)  # fmt: skip
def test_a_misplaced_key_names_the_sections_that_have_it(text: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_yaml(text)
    assert advice in str(caught.value)
