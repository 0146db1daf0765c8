"""LightningModule whose hyperparameters are a config."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import currentframe
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, cast

from lightning.fabric.utilities.data import AttributeDict
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.model_helpers import (
    _restricted_classmethod,  # pyright: ignore[reportPrivateUsage]
)
from typing_extensions import Self, TypeVar, override

from nshtrainer.config import Config
from nshtrainer.config.validation import plain_containers
from nshtrainer.integrations.hyperparameters import plain
from nshtrainer.integrations.lightning.checkpoint.entries import check_loaded
from nshtrainer.integrations.lightning.checkpoint.files import drop_foreign_paths
from nshtrainer.integrations.lightning.configure_optimizers import (
    configure_optimizers,
    current_rate,
    with_rate,
)
from nshtrainer.integrations.lightning.hparams import (
    Source,
    argument_for_hparams,
    config_argument,
    refuse_unknown,
    saved_config,
    write_plainly,
)
from nshtrainer.integrations.lightning.optimizer_callback import (
    keeps_graph,
    missing_callbacks,
    save_in_evaluation,
)
from nshtrainer.integrations.lightning.weight_averaging import save_averages

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["LightningModuleBase"]

T = TypeVar("T", bound=Config, default=Config)


class LightningModuleBase(LightningModule, Generic[T]):
    """A LightningModule whose hyperparameters are a typed config.

    The hyperparameters are logged and saved as plain data, and loaded from a checkpoint as the
    config. If exactly one of their fields holds an optimizer, and at most one a scheduler,
    you don't need to write `configure_optimizers`.

    Args:
        hparams: A config of the class in the brackets, or a mapping with its fields.

    Raises:
        ValidationError: The mapping is not valid for the config.
        TypeError: `hparams` is neither, or the class names no config.

    >>> import torch
    >>> from nshtrainer import Config
    >>> class MyConfig(Config):
    ...     width: int = 8
    ...     lr: float = 0.001
    >>> class MyModel(LightningModuleBase[MyConfig]):
    ...     def __init__(self, hparams):
    ...         super().__init__(hparams)
    ...         self.layer = torch.nn.Linear(self.hparams.width, 1)
    ...     def training_step(self, batch):
    ...         return self.layer(batch).square().mean()
    ...     def configure_optimizers(self):
    ...         return torch.optim.AdamW(self.parameters(), self.hparams.lr)
    >>> MyModel({"width": 4}).hparams
    MyConfig(width=4)

    With a field `optimizer: OptimizerConfig` in place of `lr`, the last method can be left out.
    """

    # A script of the module has no use for a property that replaces a config.
    __jit_unused_properties__: list[str] = [  # noqa: RUF012 - as Lightning declares it
        *LightningModule.__jit_unused_properties__,
        "lr",
    ]

    def __init__(self, hparams: T | Mapping[str, Any]) -> None:
        super().__init__()
        self._config: T = self._validated(hparams)
        self._initial_config: T = self._config
        self._others: dict[str, Any] = {}
        self._log_hyperparams = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # An override without a call of `super()` must not bring config objects into checkpoints,
        # nor leave one unchecked.
        for name in ("on_save_checkpoint", "on_load_checkpoint"):
            base, own = getattr(LightningModuleBase, name), getattr(cls, name)
            if own is not base:
                setattr(cls, name, _called_first(base, own))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                # torch hides why a property raised; `hasattr` is still False.
                if name == "lr" and "_config" in self.__dict__:
                    current_rate(self._config)
                raise

    # -- hyperparameters -----------------------------------------------------------------------

    @classmethod
    def hparams_cls(cls) -> type[T]:
        """The class of the hyperparameters: the type argument of this class or of a base.

        Override it to use another class.

        Raises:
            TypeError: There is no type argument.
        """
        found = config_argument(cls, LightningModuleBase)
        found = getattr(found, "__default__", found) if isinstance(found, TypeVar) else found
        if isinstance(found, type) and issubclass(found, Config):
            return cast("type[T]", found)
        raise TypeError(
            f"{cls.__name__} has no hyperparameter class; write class "
            f"{cls.__name__}(LightningModuleBase[MyConfig]), or override hparams_cls()"
        )

    @classmethod
    def _validated(cls, hparams: Any) -> T:
        wanted = cls.hparams_cls()
        if isinstance(hparams, wanted):
            return hparams
        if isinstance(hparams, Mapping):
            return wanted.model_validate(dict(plain_containers(hparams)))
        raise TypeError(
            f"the hyperparameters of {cls.__name__} must be a {wanted.__name__} or a mapping with "
            f"its fields, not {type(hparams).__name__}"
        )

    @property
    @override
    def hparams(self) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The frozen hyperparameters; to change a value, set `lr` or rebuild the module."""
        return self._config

    @property
    @override
    def hparams_initial(self) -> AttributeDict:
        """The hyperparameters at construction, as plain data for loggers."""
        return AttributeDict({**plain(self._others), **self._initial_config.to_dict()})

    @property
    def lr(self) -> float:
        """The learning rate in the optimizer's config; setting it replaces the hyperparameters.

        Lightning's Tuner and LearningRateFinder read and set this value. With `lr_scaling` and a
        known batch it is the scaled rate, as used by the updates.

        Raises:
            AttributeError: The hyperparameters have neither an optimizer with an `lr` nor a field
                `lr`, or several optimizers.
        """
        return current_rate(self._config, self)

    @lr.setter
    def lr(self, rate: float) -> None:
        self._config = with_rate(self._config, rate, self)

    @override
    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Save further constructor arguments; the hyperparameters are saved without this call.

        Call it in a constructor with arguments besides `hparams` to save those too.
        """
        here = currentframe()
        frame = frame or (here and here.f_back)
        names = [name for name in args if isinstance(name, str)]
        self._log_hyperparams = logger
        if names or not args:
            super().save_hyperparameters(*names, ignore=ignore, frame=frame, logger=logger)

    @override
    def _set_hparams(self, hp: Any) -> None:
        """Store the result of Lightning's `save_hyperparameters`."""
        given = {name: value for name, value in dict(hp).items() if not name.startswith("_")}
        given.pop("hparams", None)
        self._others.update(given)
        self._hparams = AttributeDict(self._others)

    # -- checkpoints ---------------------------------------------------------------------------

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the hyperparameters into the checkpoint as plain data.

        An override need not call this method: it runs before the override.
        """
        write_plainly(checkpoint, self._config, self._others)
        if self._fabric is None and self._trainer is not None:
            save_in_evaluation(self._trainer, checkpoint)
            save_averages(self._trainer, checkpoint)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse damaged entries, and drop paths outside the folder of the run.

        An override need not call this method: it runs before the override.

        Raises:
            CheckpointError: An entry is damaged; the message names it.
        """
        if self._fabric is None and self._trainer is not None:
            check_loaded(self._trainer, checkpoint)
            drop_foreign_paths(self._trainer, checkpoint)

    @_restricted_classmethod
    @override
    def load_from_checkpoint(
        cls,  # noqa: N805 - the decorator makes it a classmethod
        checkpoint_path: Source,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        *,
        hparams: Any = None,
        overrides: Iterable[str] = (),
        **kwargs: Any,
    ) -> Self:
        """Build the module from a checkpoint, with its hyperparameters as a config.

        Args:
            checkpoint_path: A path, a URL or an open file.
            map_location: The device of the tensors, as in `torch.load`.
            hparams_file: A file to take the hyperparameters from instead.
            strict: True to require that the weights match the module's exactly.
            weights_only: True to refuse objects other than plain data and tensors; the default,
                for a URL too.
            hparams: Hyperparameters to use instead of the saved ones: a config or a mapping.
            overrides: Changes to the hyperparameters, such as `["optimizer.lr=3e-4"]`.
            **kwargs: Other arguments of the constructor.

        Raises:
            CheckpointError: The checkpoint has no hyperparameters, or invalid ones.
            ConfigError: An override or the file is invalid.
            TypeError: The constructor takes no such argument, or both `hparams` and
                `hparams_file` are given.
        """
        refuse_unknown(cls, kwargs)
        if hparams is not None and hparams_file is not None:
            raise TypeError("hparams and hparams_file are both given; pass one of them")
        weights_only = True if weights_only is None else weights_only
        wanted = cls.hparams_cls()
        if hparams is not None:
            config = cls._validated(hparams)
        elif hparams_file is not None:
            config = wanted.from_file(hparams_file)
        else:
            config = saved_config(checkpoint_path, wanted, weights_only=weights_only)
        changes = [overrides] if isinstance(overrides, str) else overrides
        arguments: dict[str, Any] = {argument_for_hparams(cls): config.override(*changes)}
        return super().load_from_checkpoint(  # pyright: ignore[reportUnknownMemberType]
            checkpoint_path,
            map_location=map_location,
            strict=strict,
            weights_only=weights_only,
            **arguments,
            **kwargs,
        )

    # -- optimisation --------------------------------------------------------------------------

    @override
    def configure_optimizers(self) -> Any:
        """Create the optimizer and the scheduler that the hyperparameters describe.

        An override may return any form that Lightning accepts, also for type checkers.

        Raises:
            OptimizerError: Not exactly one field holds an optimizer config.
            ScheduleError: More than one field holds a scheduler config.
        """
        return configure_optimizers(self, self._config)

    @override
    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients, with their graph if an optimizer needs second derivatives."""
        if not keeps_graph(self.trainer):
            super().backward(loss, *args, **kwargs)
            return
        with warnings.catch_warnings():
            # The cycle that torch warns of ends when Lightning sets the gradients to None.
            warnings.filterwarnings("ignore", "Using backward.. with create_graph=True")
            super().backward(loss, *args, **{"create_graph": True, **kwargs})

    @override
    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Return the callbacks for schedulers and optimizers; an override should keep them."""
        return missing_callbacks(getattr(self.trainer, "callbacks", []))


def _called_first(base: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """Return an override of a hook that calls the one of the base first."""

    @wraps(own)
    def hook(self: Any, checkpoint: dict[str, Any]) -> Any:
        base(self, checkpoint)
        return own(self, checkpoint)

    return hook
