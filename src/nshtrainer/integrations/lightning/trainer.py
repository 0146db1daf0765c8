"""Lightning's Trainer, created from a typed config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch import Callback

from nshtrainer.config.validation import plain_containers
from nshtrainer.integrations.lightning.checkpoint.entries import check_checkpoints_of
from nshtrainer.integrations.lightning.checkpoint.files import write_checkpoints_atomically
from nshtrainer.integrations.lightning.optimizer_callback import missing_callbacks
from nshtrainer.integrations.lightning.weight_averaging import AveragingCallback
from nshtrainer.trainer_config import OURS, TrainerConfig

if TYPE_CHECKING:
    from nshtrainer.metric import MetricConfig
    from nshtrainer.resume import ResumeConfig
    from nshtrainer.types import NonFinite, ScheduleClock

__all__ = ["Trainer"]


def _signature() -> Signature:
    """Return the signature: the config, then the arguments of Lightning's Trainer."""
    config = Parameter("config", Parameter.POSITIONAL_OR_KEYWORD, default=None)
    return Signature([config, *signature(pl.Trainer).parameters.values()])


class Trainer(pl.Trainer):
    """Lightning's Trainer with a typed config, a primary metric and a seed.

    Arguments given in Python override the config's; objects, such as callbacks, are given in
    Python only. The `seed` is set when the trainer is created, so create the trainer before the
    module to seed the initial weights. Checkpoints are written atomically.

    Args:
        config: A `TrainerConfig`, a mapping with its fields, or None for the defaults.
        **lightning_arguments: Arguments of Lightning's Trainer.

    Raises:
        ValidationError: The mapping is no valid `TrainerConfig`.
        TypeError: Lightning's Trainer has no argument of this name.

    >>> from nshtrainer.trainer_config import TrainerConfig
    >>> trainer = Trainer(TrainerConfig(max_steps=100, seed=1), max_steps=10, barebones=True)
    >>> trainer.max_steps, trainer.config.max_steps
    (10, 100)
    """

    # Lightning looks here for the names of options that the environment may set
    # (`PL_TRAINER_MAX_STEPS=9`), and so does `help`.
    __signature__ = _signature()

    def __init__(
        self,
        config: TrainerConfig | Mapping[str, Any] | None = None,
        **lightning_arguments: Any,
    ) -> None:
        _refuse_ours(lightning_arguments)
        self.config = TrainerConfig.model_validate({} if config is None else _plain(config))
        if self.config.seed is not None:
            pl.seed_everything(self.config.seed, workers=True)
        given = {**self.config.lightning_arguments(), **lightning_arguments}
        given["callbacks"] = _with_ours(given.get("callbacks"), self.config)
        super().__init__(**given)
        write_checkpoints_atomically(self)
        check_checkpoints_of(self)

    @property
    def primary_metric(self) -> MetricConfig | None:
        """The default metric of schedules that monitor one."""
        return self.config.primary_metric

    @property
    def resume(self) -> ResumeConfig | None:
        """The policy for config changes on resume."""
        return self.config.resume

    @property
    def non_finite(self) -> NonFinite | None:
        """The action for a NaN or Inf in the loss or a gradient."""
        return self.config.non_finite

    @property
    def schedule_clock(self) -> ScheduleClock | None:
        """The counted updates of a schedule when a `GradScaler` skips some."""
        return self.config.schedule_clock


def _refuse_ours(arguments: Iterable[str]) -> None:
    """Refuse options of this package as keyword arguments; they belong in the config."""
    for name in OURS.intersection(arguments):
        raise TypeError(
            f"{name} is not an argument of Lightning's Trainer; set it in the config: "
            f"Trainer(TrainerConfig({name}=...))"
        )


def _plain(config: TrainerConfig | Mapping[str, Any]) -> Any:
    return dict(plain_containers(config)) if isinstance(config, Mapping) else config


def _with_ours(
    callbacks: Iterable[Callback] | Callback | None, config: TrainerConfig
) -> list[Callback]:
    """Return the given callbacks, those of the config, and the missing ones of this package."""
    given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
    if config.weight_averaging is not None:
        given.append(AveragingCallback(config.weight_averaging))
    return [*given, *missing_callbacks(given)]
