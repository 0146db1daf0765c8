"""Freezing of parameters until a moment of the run, with exact resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch import Callback
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
)
from typing_extensions import override

from nshtrainer.config.messages import describe_unknown
from nshtrainer.duration import EpochsConfig
from nshtrainer.exceptions import OptimizerError
from nshtrainer.integrations.lightning.run_length import run_length_of
from nshtrainer.optimizer.groups.parameters import inventory
from nshtrainer.optimizer.groups.selectors import described, nearest, selects
from nshtrainer.optimizer.parameter_checks import watch_parameters, watched
from nshtrainer.optimizer_record import params_of

if TYPE_CHECKING:
    from torch import Tensor

    from nshtrainer.duration import AnyDuration
    from nshtrainer.optimizer.groups.selectors import Selection

__all__ = ["Unfreezing", "renew_ddp"]

_SHARDING = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)


class Unfreezing(Callback):
    """Callback that freezes parameters at the start of a run, and trains them from a moment on.

    Until then they have no gradient, so that the optimizer leaves them and their state alone.

    Args:
        after: The time from the start of the run for which they are frozen.
        groups: Parameter groups by name.
        select: Parameters by a selection, instead of `groups`.
    """

    def __init__(
        self, after: AnyDuration, groups: Sequence[str] = (), select: Selection | None = None
    ) -> None:
        self._after = after
        self._groups = groups
        self._select = select
        self._params: list[Tensor] = []
        self._were_trainable: list[bool] = []
        self._is_frozen = False
        self._start = 0

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freeze the parameters, after the optimizers are created.

        Raises:
            OptimizerError: The strategy shards the parameters; or nothing is selected, or none of
                it is in an optimizer.
        """
        if isinstance(trainer.strategy, _SHARDING):
            raise OptimizerError(
                "unfreeze changes single parameters, which "
                f"{type(trainer.strategy).__name__} joins or shards; remove unfreeze, or use "
                "strategy ddp"
            )
        self._params = self._chosen(trainer, pl_module)
        self._were_trainable = [param.requires_grad for param in self._params]
        self._switch(trainer, pl_module, frozen=True)
        chosen = frozenset(map(id, self._params))
        for optimizer in trainer.optimizers:
            watch_parameters(optimizer, pl_module)
            watch = watched(optimizer)
            if watch is not None:
                watch.waiting |= chosen  # they are frozen on purpose, so no warning names them

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resolve the moment, which a resumed run may have passed."""
        if not self._counts_epochs:
            self._start = ceil(self._after.exact(run_length_of(trainer), "unfreeze.after"))
        self._unfreeze_if_due(trainer, pl_module)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Unfreeze the parameters if the epoch is reached."""
        self._unfreeze_if_due(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Unfreeze the parameters if the step is reached."""
        self._unfreeze_if_due(trainer, pl_module)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave parameters that are still frozen as they were, for another run of the module."""
        for param, was_trainable in zip(self._params, self._were_trainable, strict=True):
            param.requires_grad_(param.requires_grad or was_trainable)

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave them as they were after an error as well."""
        self.teardown(trainer, pl_module, "fit")

    @property
    def _counts_epochs(self) -> bool:
        """True if the moment is the start of an epoch, which needs no number of steps."""
        return isinstance(self._after, EpochsConfig) and self._after.value.is_integer()

    def _unfreeze_if_due(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not self._is_frozen:
            return
        if self._counts_epochs:
            is_due = trainer.current_epoch >= self._after.value
        else:
            is_due = trainer.global_step // run_length_of(trainer).num_optimizers >= self._start
        if is_due:
            self._switch(trainer, module, frozen=False)

    def _switch(self, trainer: pl.Trainer, module: pl.LightningModule, *, frozen: bool) -> None:
        for param in self._params:
            param.requires_grad_(not frozen)
            param.grad = None
        self._is_frozen = frozen
        renew_ddp(trainer, module)

    def _chosen(self, trainer: pl.Trainer, module: pl.LightningModule) -> list[Tensor]:
        if self._select is None:
            return [p for group in self._named(trainer) for p in group["params"]]
        parameters = inventory(module)
        selected = [each for each in parameters if selects(self._select, each)]
        where = f"unfreeze.select: {described(self._select)}"
        if not selected:
            raise OptimizerError(f"{where} matches nothing; {nearest(self._select, parameters)}")
        owned = {id(param) for each in trainer.optimizers for param in params_of(each)}
        found = [each.tensor for each in selected if id(each.tensor) in owned]
        if not found:
            raise OptimizerError(f"{where} matches parameters that are in no optimizer; {_REMEDY}")
        return found

    def _named(self, trainer: pl.Trainer) -> Iterator[dict[str, Any]]:
        """Yield the groups with the given names, those included that a preset split off."""
        groups = [group for each in trainer.optimizers for group in each.param_groups]
        names = [str(group.get("name", "")) for group in groups]
        for wanted in self._groups:
            found = [
                group
                for name, group in zip(names, groups, strict=True)
                if name == wanted or name.startswith(f"{wanted}/")
            ]
            if not found:
                problem = describe_unknown(
                    "parameter group", wanted, dict.fromkeys(filter(None, names))
                )
                raise OptimizerError(f"unfreeze.groups: {problem}; {_REMEDY}")
            yield from found


def renew_ddp(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Wrap the module again if DDP wraps it, after parameters were frozen or unfrozen.

    DDP exchanges the gradients of the parameters that were trainable when it was created, and waits
    for each of them.
    """
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy.model = module
        trainer.strategy.configure_ddp()


_REMEDY = "if they are frozen when the optimizer is created, set its include_frozen: true"
