"""Lightning's Trainer, created from a typed config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint, ProgressBar

from nshtrainer.callbacks.base import CallbackConfigBase
from nshtrainer.config.validation import plain_containers
from nshtrainer.exceptions import MetricError
from nshtrainer.integrations.lightning.callbacks.norm_logging import NormLogging
from nshtrainer.integrations.lightning.checkpoint.entries import check_checkpoints_of
from nshtrainer.integrations.lightning.checkpoint.files import write_checkpoints_atomically
from nshtrainer.integrations.lightning.optimizer_callback import missing_callbacks
from nshtrainer.integrations.lightning.run_length import LightningContext
from nshtrainer.integrations.lightning.weight_averaging import AveragingCallback
from nshtrainer.loggers.base import LoggerConfigBase
from nshtrainer.metric import never_logged
from nshtrainer.trainer_config import OURS, TrainerConfig

if TYPE_CHECKING:
    from nshtrainer.metric import MetricConfig
    from nshtrainer.resume import ResumeConfig
    from nshtrainer.types import NonFinite, ScheduleClock

__all__ = ["Trainer"]

_NEVER_LOGGED = re.compile(
    r"`(?P<who>ModelCheckpoint)\(monitor='(?P<best>.*?)'\)` could not find"
    r"|Early stopping conditioned on metric `(?P<stop>.*?)` which is not available"
)
"""The beginnings of Lightning's messages about a metric that was not logged."""


def _signature() -> Signature:
    """Return the signature: the config, then the arguments of Lightning's Trainer."""
    config = Parameter("config", Parameter.POSITIONAL_OR_KEYWORD, default=None)
    return Signature([config, *signature(pl.Trainer).parameters.values()])


class Trainer(pl.Trainer):
    """Lightning's Trainer with a typed config, a primary metric and a seed.

    Arguments given in Python override the config's, and callbacks are added to the config's. With
    `enable_checkpointing=False` or `enable_progress_bar=False` in Python, the config's callbacks
    for checkpoints or a progress bar are left out. Loggers and callbacks may be given as configs.

    The `seed` is set when the trainer is created, so create the trainer before the module to seed
    the initial weights. Checkpoints are written atomically.

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
        logger = given.get("logger", self.config.logger)
        if logger is not None:  # else the environment may choose
            given["logger"] = _loggers(logger, given)
        given["callbacks"] = _callbacks(self.config, lightning_arguments)
        super().__init__(**given)
        write_checkpoints_atomically(self)
        check_checkpoints_of(self)

    if not TYPE_CHECKING:  # type checkers read the arguments of Lightning's

        @wraps(pl.Trainer.fit)
        def fit(self, *arguments: Any, **options: Any) -> None:
            """Train as Lightning's `Trainer` does.

            Raises:
                MetricError: A checkpoint or early stopping monitors a metric that is never logged.
            """
            try:
                super().fit(*arguments, **options)
            except (MisconfigurationException, RuntimeError) as error:
                found = _NEVER_LOGGED.match(str(error))
                if found is None:
                    raise
                who, metric = found["who"] or "EarlyStopping", found["best"] or found["stop"]
                text = never_logged(who, metric, self.callback_metrics)
                raise MetricError(f"{self._primary_place(metric)}{text}") from error

    def _primary_place(self, monitor: str) -> str:
        """Return the place of the primary metric, to begin a message, if this is its name."""
        context = LightningContext(self, self.lightning_module)
        primary = context.primary_metric
        is_primary = primary is not None and primary.monitor == monitor
        return f"{context.primary_metric_place}: " if is_primary else ""

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


def _loggers(value: Any, given: Mapping[str, Any]) -> Any:
    """Return the argument `logger` of Lightning's Trainer, with loggers created from configs.

    A trial run gets no logger of Lightning; it must not start a run of a service either.
    """
    several = cast("list[Any]", value if isinstance(value, (list, tuple)) else [value])
    if not any(isinstance(each, LoggerConfigBase) for each in several):
        return cast("Any", value)
    if given.get("fast_dev_run"):
        return True
    folder = Path(given.get("default_root_dir") or Path.cwd())
    return [
        each.create_logger(folder) if isinstance(each, LoggerConfigBase) else each
        for each in several
    ]


def _callbacks(config: TrainerConfig, arguments: Mapping[str, Any]) -> list[Callback]:
    """Return the callbacks of the config, the given ones, and the missing ones of this package."""
    unwanted = tuple(cls for key, cls in _SWITCHES.items() if arguments.get(key) is False)
    given = [each for each in _created(config.callbacks) if not isinstance(each, unwanted)]
    value: Any = arguments.get("callbacks") or ()
    given += _created([value] if isinstance(value, (Callback, CallbackConfigBase)) else value)
    if config.weight_averaging is not None:
        given.append(AveragingCallback(config.weight_averaging))
    if config.telemetry is not None:
        given.append(NormLogging(config.telemetry.every))
    return [*given, *missing_callbacks(given)]


def _created(callbacks: Iterable[Callback | CallbackConfigBase]) -> list[Callback]:
    return [
        each.create_callback() if isinstance(each, CallbackConfigBase) else each
        for each in callbacks
    ]


_SWITCHES = {"enable_checkpointing": Checkpoint, "enable_progress_bar": ProgressBar}
"""Arguments of Lightning's Trainer that exclude callbacks, and the classes of these."""
