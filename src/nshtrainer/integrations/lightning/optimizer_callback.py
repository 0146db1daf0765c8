"""Train/eval modes, closures and checks for optimizers under Lightning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import WeightAveraging
from typing_extensions import override

from nshtrainer.exceptions import OptimizerError
from nshtrainer.integrations.lightning.checkpoint.files import drop_foreign_paths
from nshtrainer.integrations.lightning.checkpoint.in_force import adopt_kept_values
from nshtrainer.integrations.lightning.checkpoint.resume import check_resume, learn_names
from nshtrainer.integrations.lightning.checkpoint.rng_state import RNGStateCallback
from nshtrainer.integrations.lightning.finite_check import FiniteGradientCheck
from nshtrainer.integrations.lightning.lr_finder import FoundRates
from nshtrainer.integrations.lightning.plateau_callback import PlateauCallback
from nshtrainer.integrations.lightning.run_checks import LengthCheck, OwnershipCheck
from nshtrainer.optimizer.parameter_checks import check_stale, check_unowned, watch_parameters
from nshtrainer.optimizer_record import get_requirements, parts_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["OptimizerCallback", "keeps_graph", "missing_callbacks", "save_in_evaluation"]


class OptimizerCallback(Callback):
    """Callback that meets the requirements of optimizers, or refuses before the first step.

    An optimizer with modes, such as Schedule-Free, is in train mode during a training batch, and in
    eval mode during validation, in checkpoints and after the run. The number of skipped updates is
    logged as `skipped_updates`. Before loading, every optimizer gets the names of its parameters,
    including optimizers built from bare parameters, and the config is compared with that of the
    checkpoint. An optimizer that holds parameters which the module no longer has is an error.

    `LightningModuleBase` and `nshtrainer.Trainer` attach this callback automatically.
    """

    _logged: int | None = None
    """The last logged number of skipped updates."""

    def __init__(self) -> None:
        self._checkpoint: dict[str, Any] | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget the checkpoint of a run that failed before its first step."""
        self._checkpoint = None

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Compare the config with the checkpoint of a resumed run, once its optimizers exist."""
        drop_foreign_paths(trainer, checkpoint)
        if trainer.state.fn != "fit":
            return
        if trainer.strategy.restore_checkpoint_after_setup:
            check_resume(trainer, pl_module, checkpoint)
        else:
            self._checkpoint = checkpoint

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse unmet requirements, and attach the parameter names that loading needs."""
        self._logged = None
        _check_average(trainer)
        learn_names(trainer, pl_module)
        for optimizer in trainer.optimizers:
            watch_parameters(optimizer, pl_module)
            check_stale(optimizer)
        check_unowned(trainer.optimizers, pl_module)
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:
            check_resume(trainer, pl_module, checkpoint)
        if pl_module.automatic_optimization:
            for optimizer in trainer.optimizers:
                _check_closure(optimizer, trainer)
                _check_graph(optimizer, pl_module)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the hyperparameters have the values that a resumed run kept from its checkpoint."""
        adopt_kept_values(trainer, pl_module)

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do the same where nothing was left to train, so that training has not started."""
        adopt_kept_values(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Switch to the training weights."""
        for part in _with_modes(trainer):
            part.train()

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the number of skipped updates, if updates can be skipped.

        Logging at every batch would take as long as the step of a small network.
        """
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        skipped = max((group["skipped"] for group in groups if "skipped" in group), default=None)
        connector = trainer._logger_connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if skipped is not None and (skipped != self._logged or connector.should_update_logs):
            self._logged = skipped
            pl_module.log("skipped_updates", float(skipped), on_step=True, on_epoch=False)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate with the evaluation weights."""
        _evaluate(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the module with the evaluation weights."""
        _evaluate(trainer)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the evaluation weights and state."""
        save_in_evaluation(trainer, checkpoint)


def missing_callbacks(present: Iterable[Callback]) -> list[Callback]:
    """Return the callbacks of this package that a trainer lacks.

    They feed metrics to schedulers, apply found rates per group, drive optimizers, check for NaN
    and Inf, restore random states, compare the length of the run with the assumed one, and report
    parameters that no optimizer updates.
    """
    there = list(present)
    ours = (
        PlateauCallback,
        FoundRates,
        OptimizerCallback,
        FiniteGradientCheck,
        RNGStateCallback,
        LengthCheck,
        OwnershipCheck,
    )
    return [cls() for cls in ours if not any(isinstance(callback, cls) for callback in there)]


def save_in_evaluation(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Save the evaluation weights in a checkpoint, with the matching optimizer state.

    The module keeps these weights until the next training batch.
    """
    if not list(_with_modes(trainer)):
        return
    _evaluate(trainer)
    checkpoint["state_dict"] = trainer.strategy.lightning_module_state_dict()
    if "optimizer_states" in checkpoint:
        checkpoint["optimizer_states"] = [
            trainer.strategy.optimizer_state(optimizer) for optimizer in trainer.optimizers
        ]


def keeps_graph(trainer: pl.Trainer) -> bool:
    """Return True if an optimizer of the run needs second derivatives."""
    return any(get_requirements(optimizer).second_backward for optimizer in trainer.optimizers)


def _with_modes(trainer: pl.Trainer) -> Iterator[Any]:
    """Yield the optimizers, or parts of them, with separate evaluation weights."""
    for optimizer in trainer.optimizers:
        for part in parts_of(optimizer):
            modes = (getattr(part, name, None) for name in ("train", "eval"))
            if all(map(callable, modes)):
                yield part


def _evaluate(trainer: pl.Trainer) -> None:
    for part in _with_modes(trainer):
        if part.state:  # before the first update all weights are the same
            part.eval()


def _check_average(trainer: pl.Trainer) -> None:
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    averages = [each for each in callbacks if isinstance(each, WeightAveraging)]
    if len(averages) > 1:
        names = " and ".join(type(each).__name__ for each in averages)
        raise OptimizerError(
            f"{names} would each replace the weights by an average; remove one of them: a "
            "callback, or weight_averaging of the trainer's config"
        )
    for part in _with_modes(trainer) if averages else ():
        raise OptimizerError(
            f"{type(part).__name__} averages the weights itself, and a second average "
            "(weight_averaging, or Lightning's WeightAveraging) would use its training weights; "
            "remove the second one, or choose another optimizer"
        )


def _check_closure(optimizer: Optimizer, trainer: pl.Trainer) -> None:
    if not get_requirements(optimizer).closure:
        return
    name = f"{type(optimizer).__name__}, as configured, recomputes the loss, "
    if trainer.accumulate_grad_batches != 1:
        raise OptimizerError(
            f"{name}but only for the last batch of an accumulation: "
            f"accumulate_grad_batches={trainer.accumulate_grad_batches} would train on a part of "
            "the data; set it to 1, or choose another optimizer"
        )
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        raise OptimizerError(
            f"{name}which does not work with a GradScaler: precision {trainer.precision} is not "
            "supported; use bf16-mixed or 32-true"
        )


def _check_graph(optimizer: Optimizer, module: pl.LightningModule) -> None:
    own = type(module).backward is not pl.LightningModule.backward
    if get_requirements(optimizer).second_backward and not own:
        raise OptimizerError(
            f"{type(optimizer).__name__} needs second derivatives, but {type(module).__name__} "
            "does not keep the graph; derive it from nshtrainer.LightningModuleBase, or add: def "
            "backward(self, loss): loss.backward(create_graph=True)"
        )
