"""Configs of what is put around another optimizer: Lookahead, SAM, clipping.

What is built is the other optimizer, with hooks.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from pydantic import model_validator
from typing_extensions import Self, final

from nshtrainer.config import Config
from nshtrainer.optimizer.base import (
    OptimizerConfig,
    OptimizerConfigBase,
    Params,
    build_optimizer,
    optimizer_registry,
)
from nshtrainer.types import Fraction, NonNegative, Positive, PositiveInt

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

__all__ = [
    "ClippedConfig",
    "LookaheadConfig",
    "SAMConfig",
    "WrappingConfigBase",
    "unwrapped",
    "wrappers_around",
]

_around: WeakKeyDictionary[Any, tuple[WrappingConfigBase, ...]] = WeakKeyDictionary()


class WrappingConfigBase(OptimizerConfigBase):
    """The base of configs that put something around another optimizer: write their `wrap`."""

    optimizer: OptimizerConfig
    """The optimizer that updates the weights."""

    @property
    def needs_closure(self) -> bool:
        """Whether `step` needs a closure that computes the loss."""
        return getattr(self.optimizer, "needs_closure", False)

    def label(self) -> str:
        """What is put around, with its fields, for people."""
        fields = {key: value for key, value in self if key not in {"name", "optimizer"}}
        return f"{self.name} ({', '.join(f'{key} {value}' for key, value in fields.items())})"

    @abstractmethod
    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hooks on the optimizer."""

    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        """Build the other optimizer, and put the hooks on it.

        Args:
            params: What the other one takes.
            run: What is known of the run, where the other one has an `lr_scaling`.
        """
        optimizer = build_optimizer(self.optimizer, params, run)
        self.wrap(optimizer)
        _around[optimizer] = (self, *wrappers_around(optimizer))
        return optimizer


def wrappers_around(optimizer: Optimizer) -> tuple[WrappingConfigBase, ...]:
    """What was put around an optimizer that configs built, the outermost first."""
    return _around.get(optimizer, ())


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

    name: Literal["lookahead"] = "lookahead"

    k: PositiveInt = 5
    """Updates of the fast weights for one of the slow weights."""

    alpha: Fraction = 0.5
    """How far the slow weights go to the fast ones, which then begin there."""

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hooks on the optimizer."""
        from nshtrainer.optimizer.hooks import Lookahead

        hooks = Lookahead(self.k, self.alpha)
        optimizer.register_step_pre_hook(hooks.before)
        optimizer.register_step_post_hook(hooks.after)


@final
@optimizer_registry.register
class SAMConfig(WrappingConfigBase):
    r"""Sharpness-aware minimisation: gradients from where the loss is highest nearby.

    $g = \nabla L(\theta + \rho\, \nabla L(\theta) / \lVert \nabla L(\theta) \rVert)$; with
    `adaptive`, the neighbourhood is scaled by $|\theta|$ (ASAM), and $\rho$ is about ten times as
    large. An update computes the loss twice, so `step` needs a closure; under Lightning it has one,
    and what `training_step` logs is logged at both points. Batch norm sees both points too.

    Reference: P. Foret et al., Sharpness-Aware Minimization for Efficiently Improving
    Generalization, arXiv:2010.01412; J. Kwon et al., ASAM, arXiv:2102.11600.

    >>> SAMConfig(optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}, rho=0.1).needs_closure
    True
    """

    name: Literal["sam"] = "sam"

    rho: NonNegative = 0.05
    """Radius of the neighbourhood."""

    adaptive: bool = False
    """Scale the neighbourhood by the size of each weight."""

    @property
    def needs_closure(self) -> bool:
        """Always: the loss is computed twice."""
        return True

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hook on the optimizer."""
        from nshtrainer.optimizer.hooks import Sharpness
        from nshtrainer.optimizer.needs import declare

        optimizer.register_step_pre_hook(Sharpness(self.rho, adaptive=self.adaptive))
        declare(optimizer, closure=True)


@final
@optimizer_registry.register
class ClippedConfig(WrappingConfigBase):
    """Another optimizer whose gradients are clipped, and bad ones skipped, in any loop.

    What is asked for is done in the order of the fields. Under Lightning `gradient_clip_val` of the
    trainer does the first two as well.

    >>> ClippedConfig(optimizer="adamw", max_norm=1.0, skip_nonfinite=True).max_norm
    1.0
    """

    name: Literal["clipped"] = "clipped"

    skip_nonfinite: bool = False
    """Leave an update out where a gradient is not finite; each group counts them as `skipped`."""

    adaptive: Positive | None = None
    """Largest norm of the gradient of a unit, as a share of that of its weights; such as 0.01."""

    max_value: Positive | None = None
    """Largest size of an element of a gradient."""

    max_norm: Positive | None = None
    """Largest norm of all gradients together."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.skip_nonfinite or self.adaptive or self.max_value or self.max_norm):
            raise ValueError(
                "nothing is clipped: give max_norm, max_value, adaptive or skip_nonfinite, or the "
                "optimizer alone"
            )
        return self

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Put the hook on the optimizer."""
        from nshtrainer.optimizer.hooks import on_gradients

        on_gradients(optimizer, self._change)

    def _change(self, optimizer: Optimizer) -> None:
        from torch.nn.utils import clip_grad_norm_, clip_grad_value_

        from nshtrainer.optimizer.hooks import clip_adaptively, skip_unless_finite

        params = [param for group in optimizer.param_groups for param in group["params"]]
        if self.skip_nonfinite:
            skip_unless_finite(optimizer)
        if self.adaptive is not None:
            clip_adaptively(optimizer, self.adaptive)
        if self.max_value is not None:
            clip_grad_value_(params, self.max_value)
        if self.max_norm is not None:
            clip_grad_norm_(params, self.max_norm)
