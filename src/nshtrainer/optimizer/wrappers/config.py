"""Configs of what is put around another optimizer: Lookahead, clipping, skipping of bad updates.

What is built is the other optimizer, with hooks.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import Self, final, override

from nshtrainer.config import Config
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import (
    OptimizerConfig,
    OptimizerConfigBase,
    Params,
    optimizer_registry,
)
from nshtrainer.optimizer.build import build_optimizer
from nshtrainer.optimizer_record import make_skippable, parts_of, record_of
from nshtrainer.types import Fraction, NonNegativeInt, Positive, PositiveInt

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

__all__ = [
    "ClippedConfig",
    "LookaheadConfig",
    "SkippingConfig",
    "WrappingConfigBase",
    "skips_by_itself",
    "unwrapped",
    "wrappers_around",
]


class WrappingConfigBase(OptimizerConfigBase):
    """The base of configs that put something around another optimizer: write their `wrap`."""

    copies: ClassVar[int] = 0
    """How many tensors of the size of each parameter it keeps in the optimizer's state."""

    keeps: ClassVar[bool] = False
    """Whether it keeps anything in the groups, so that there is one of it around an optimizer."""

    optimizer: OptimizerConfig
    """The optimizer that updates the weights."""

    @property
    def needs_closure(self) -> bool:
        """Whether `step` needs a closure that computes the loss."""
        return getattr(self.optimizer, "needs_closure", False)

    @property
    @override
    def wrapped_config(self) -> OptimizerConfigBase:
        return self.optimizer

    @override
    def config_for_group(self, name: str | None) -> OptimizerConfigBase | None:
        return self.optimizer.config_for_group(name)

    def label(self) -> str:
        """What is put around, with the fields that say something, for people."""
        fields = {key: value for key, value in self if key not in {"name", "optimizer"}}
        said = [f"{key} {value}" for key, value in fields.items() if value is not None]
        return f"{self.name} ({', '.join(said)})"

    @abstractmethod
    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hooks on the optimizer."""

    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        """Build the other optimizer, and put the hooks on it.

        Args:
            params: What the other one takes.
            run: What is known of the run, where the other one has an `lr_scaling`.

        Raises:
            OptimizerError: The wrapper is around the other one, or a part of it, already.
        """
        from nshtrainer.optimizer.checkpoint.hooks import set_config

        optimizer = build_optimizer(self.optimizer, params, run)
        parts = (optimizer, *parts_of(optimizer))
        inside: list[Self] = [one for part in parts for one in record_of(part).wrappers]
        if self.keeps and type(self) in map(type, inside):
            raise OptimizerError(
                f"{self.name}: there is another {self.name} inside, and both would keep their "
                "values under the same keys. Remove one of them."
            )
        record = record_of(optimizer)
        before = frozenset(record.hooks())
        self.wrap(optimizer)
        record.keep_hooks(but=before)
        set_config(optimizer, self)
        record.wrappers = (self, *record.wrappers)
        return optimizer


def wrappers_around(optimizer: Optimizer) -> tuple[WrappingConfigBase, ...]:
    """What was put around an optimizer that configs built, the outermost first."""
    return record_of(optimizer).wrappers


def skips_by_itself(optimizer: Optimizer) -> bool:
    """Whether `skipping` is around an optimizer, and looks at its gradients."""
    return any(isinstance(config, SkippingConfig) for config in wrappers_around(optimizer))


def unwrapped(config: Config) -> tuple[tuple[WrappingConfigBase, ...], Config]:
    """The wrappers in a config, the outermost first, and the config within them.

    >>> wrappers, within = unwrapped(LookaheadConfig(optimizer="sgd"))
    >>> [wrapper.label() for wrapper in wrappers], type(within).__name__
    (['lookahead (k 5, alpha 0.5)'], 'SGDConfig')
    """
    if not isinstance(config, WrappingConfigBase):
        return (), config
    wrappers, within = unwrapped(config.optimizer)
    return (config, *wrappers), within


@final
@optimizer_registry.register
class LookaheadConfig(WrappingConfigBase):
    r"""Slow weights that follow the fast ones of another optimizer: steadier, almost for free.

    After every $k$ updates of $\theta$: $\phi \leftarrow \phi + \alpha(\theta - \phi)$, $\theta
    \leftarrow \phi$. The other optimizer keeps its momentum. One more copy of the weights is kept.

    Reference: M. Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, arXiv:1907.08610.

    >>> from torch import nn
    >>> optimizer = LookaheadConfig(optimizer="sgd", k=6).create_optimizer(nn.Linear(2, 1))
    >>> type(optimizer)
    <class 'torch.optim.sgd.SGD'>
    """

    copies = 1
    keeps = True

    name: Literal["lookahead"] = "lookahead"

    k: PositiveInt = 5
    """Updates of the fast weights for one of the slow weights."""

    alpha: Fraction = 0.5
    """How far the slow weights go to the fast ones, which then begin there."""

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hooks on the optimizer."""
        from nshtrainer.optimizer.wrappers.hooks import Lookahead

        hooks = Lookahead(self.k, self.alpha)
        optimizer.register_step_pre_hook(hooks.before)
        optimizer.register_step_post_hook(hooks.after)


@final
@optimizer_registry.register
class ClippedConfig(WrappingConfigBase):
    r"""Another optimizer whose gradients are clipped, in any loop.

    By norm: $g \leftarrow g\, \min(1, c / (\lVert g \rVert + 10^{-6}))$, with $c$ the `max_norm`
    and $\lVert g \rVert$ the norm of all gradients together, as torch's `clip_grad_norm_`. On a CPU
    it takes less time than that: nothing is multiplied where nothing is clipped, and a fused kernel
    clips in its own pass, so the gradients are clipped when `step` returns, not before.

    What is asked for is done in the order of the fields. Under Lightning `gradient_clip_val` of the
    trainer does the last two as well.

    >>> ClippedConfig(optimizer="adamw", max_norm=1.0).max_norm
    1.0
    """

    name: Literal["clipped"] = "clipped"

    adaptive: Positive | None = None
    """Largest norm of the gradient of a unit, as a share of that of its weights; such as 0.01."""

    max_value: Positive | None = None
    """Largest size of an element of a gradient."""

    max_norm: Positive | None = None
    """Largest norm of all gradients together."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.adaptive or self.max_value or self.max_norm):
            raise ValueError(
                "nothing is clipped: give max_norm, max_value or adaptive, or the optimizer alone"
            )
        return self

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hooks on the optimizer."""
        from nshtrainer.optimizer.wrappers.clipping import ClipNorm, clip_adaptively, clip_values
        from nshtrainer.optimizer.wrappers.hooks import register_grad_hook

        if self.adaptive is not None:
            register_grad_hook(optimizer, partial(clip_adaptively, limit=self.adaptive))
        if self.max_value is not None:
            register_grad_hook(optimizer, partial(clip_values, limit=self.max_value))
        if self.max_norm is not None:
            ClipNorm(self.max_norm).attach(optimizer)


@final
@optimizer_registry.register
class SkippingConfig(WrappingConfigBase):
    """Another optimizer that skips bad updates: gradients with nan or infinity, or far too large.

    A skipped update changes nothing: no weight, no momentum, no decay, no count of the optimizer,
    and no value of a schedule of ours. Its gradients are gone. Each parameter group counts what was
    skipped under `skipped`, which Lightning logs as `skipped_updates`, and what was since the last
    good update under `skipped_in_a_row`.

    What a `GradScaler` leaves out is the scaler's, and is not counted: `schedule_clock` of a
    `RunLength` says what a schedule does then. Under Lightning, `non_finite` of the trainer or the
    hyperparameters does the same for gradients that are not finite, and leaves the optimizer to
    `skipping` where that is around it.

    To look at the gradients, the process waits for their device, once an update.

    >>> SkippingConfig(optimizer="adamw", max_in_a_row=10).to_dict()["max_in_a_row"]
    10
    """

    keeps = True

    name: Literal["skipping"] = "skipping"

    max_norm: Positive | None = None
    """Largest norm of all gradients together; left out, any finite one is good."""

    max_in_a_row: NonNegativeInt | None = None
    """Bad updates that may follow each other; one more is an error. Left out, any number."""

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hook on the optimizer.

        Raises:
            OptimizerError: It is LBFGS, for which gradients that are gone are zero.
        """
        from nshtrainer.optimizer.wrappers.hooks import register_grad_hook
        from nshtrainer.optimizer.wrappers.skipping import Skipping, refuse_lbfgs

        refuse_lbfgs(optimizer, "skipping")
        register_grad_hook(optimizer, Skipping(self.max_norm, self.max_in_a_row))
        make_skippable(optimizer)
        record_of(optimizer).is_skippable = True
