"""The public names have the types that their modules give them."""

from __future__ import annotations

from typing_extensions import assert_type

import nshtrainer
from nshtrainer import Config, LightningModuleBase, RunLength, Trainer, TrainerConfig

assert_type(nshtrainer.__version__, str)
assert_type(RunLength(total_steps=10).total_steps, int | None)
assert_type(nshtrainer.RunLength(total_steps=10), RunLength)

configs: tuple[type[Config], ...] = (TrainerConfig,)
classes: tuple[type, ...] = (LightningModuleBase, Trainer)
errors: tuple[type[ValueError], ...] = (nshtrainer.exceptions.ConfigError,)
