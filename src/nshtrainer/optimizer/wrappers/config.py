"""Configs that wrap another optimizer: Lookahead, SAM, clipping, skipping of bad updates.

The result is the other optimizer, with hooks.
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
from nshtrainer.types import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

__all__ = [
    "ClippedConfig",
    "LookaheadConfig",
    "SAMConfig",
    "SkippingConfig",
    "WrappingConfigBase",
    "refuse_lbfgs",
    "skips_by_itself",
    "unwrapped",
    "wrappers_around",
]


class WrappingConfigBase(OptimizerConfigBase):
    """Base of configs that wrap another optimizer: subclasses write `wrap`."""

    copies: ClassVar[int] = 0
    """Number of tensors of the size of each parameter that the hooks keep in the state."""

    keeps: ClassVar[bool] = False
    """True if the hooks keep values in the groups, so that an optimizer has at most one of them."""

    optimizer: OptimizerConfig
    """Optimizer that updates the weights."""

    @property
    def needs_closure(self) -> bool:
        """True if `step` needs a closure that computes the loss."""
        return getattr(self.optimizer, "needs_closure", False)

    @property
    @override
    def wrapped_config(self) -> OptimizerConfigBase:
        return self.optimizer

    @override
    def config_for_group(self, name: str | None) -> OptimizerConfigBase | None:
        return self.optimizer.config_for_group(name)

    def label(self) -> str:
        """Return the name of the wrapper with its fields that are set, for people."""
        fields = {key: value for key, value in self if key not in {"name", "optimizer"}}
        shown = [f"{key} {value}" for key, value in fields.items() if value is not None]
        return f"{self.name} ({', '.join(shown)})"

    @abstractmethod
    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the step hooks."""

    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        """Build the other optimizer, and register the hooks.

        Args:
            params: The parameters, in a form that the other optimizer takes.
            run: The length of the run, for an `lr_scaling` of the other optimizer.

        Raises:
            OptimizerError: The same wrapper is already around the other optimizer, or a part of it.
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
    """Return the wrappers around an optimizer that configs built, the outermost first."""
    return record_of(optimizer).wrappers


def skips_by_itself(optimizer: Optimizer) -> bool:
    """Return True if `skipping` is around an optimizer, and checks its gradients."""
    return any(isinstance(config, SkippingConfig) for config in wrappers_around(optimizer))


def unwrapped(config: Config) -> tuple[tuple[WrappingConfigBase, ...], Config]:
    """Return the wrappers in a config, the outermost first, and the config within them.

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
    r"""Slow weights that follow the fast weights of another optimizer: steadier, at little cost.

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
    """Share of the way that the slow weights move to the fast ones, which then restart there."""

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the step hooks."""
        from nshtrainer.optimizer.wrappers.hooks import Lookahead

        hooks = Lookahead(self.k, self.alpha)
        optimizer.register_step_pre_hook(hooks.before)
        optimizer.register_step_post_hook(hooks.after)


@final
@optimizer_registry.register
class ClippedConfig(WrappingConfigBase):
    r"""Gradient clipping around another optimizer, in any loop.

    By norm: $g \leftarrow g\, \min(1, c / (\lVert g \rVert + 10^{-6}))$, with $c$ the `max_norm`
    and $\lVert g \rVert$ the norm of all gradients together, like torch's `clip_grad_norm_`. On a
    CPU this is faster than torch's function: gradients within the limit are not multiplied, and a
    fused kernel clips in its own pass, so the gradients are clipped when `step` returns, not
    before.

    The fields that are set apply in their order. Under Lightning `gradient_clip_val` of the trainer
    does the last two as well.

    >>> ClippedConfig(optimizer="adamw", max_norm=1.0).max_norm
    1.0
    """

    name: Literal["clipped"] = "clipped"

    adaptive: Positive | None = None
    """Largest norm of the gradient of a unit, as a share of the norm of its weights, e.g. 0.01."""

    max_value: Positive | None = None
    """Largest size of an element of a gradient."""

    max_norm: Positive | None = None
    """Largest norm of all gradients together."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if not (self.adaptive or self.max_value or self.max_norm):
            raise ValueError(
                "nothing is clipped: give max_norm, max_value or adaptive, or the optimizer alone"
            )
        return self

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the step hooks."""
        from nshtrainer.optimizer.wrappers.hooks import (
            ClipNorm,
            clip_adaptively,
            clip_values,
            register_grad_hook,
        )

        if self.adaptive is not None:
            register_grad_hook(optimizer, partial(clip_adaptively, limit=self.adaptive))
        if self.max_value is not None:
            register_grad_hook(optimizer, partial(clip_values, limit=self.max_value))
        if self.max_norm is not None:
            ClipNorm(self.max_norm).attach(optimizer)


@final
@optimizer_registry.register
class SkippingConfig(WrappingConfigBase):
    """Wrapper that skips updates whose gradients are NaN, Inf or far too large.

    A skipped update changes nothing: no weight, no momentum, no decay, no count of the optimizer,
    and no value of a schedule of nshtrainer. Gradients are set to None. Each parameter group counts
    skipped updates under `skipped`, which Lightning logs as `skipped_updates`, and the skipped
    updates since the last good one under `skipped_in_a_row`.

    Steps that a `GradScaler` skips are not counted; `schedule_clock` of a `RunLength` controls what
    a schedule does then. Under Lightning, `non_finite` of the trainer or the hyperparameters does
    the same for gradients that are not finite, except for optimizers with `skipping`.

    To check the gradients, the process waits for their device once per update.

    >>> SkippingConfig(optimizer="adamw", max_in_a_row=10).to_dict()["max_in_a_row"]
    10
    """

    keeps = True

    name: Literal["skipping"] = "skipping"

    max_norm: Positive | None = None
    """Largest norm of all gradients together; None: any finite norm is good."""

    max_in_a_row: NonNegativeInt | None = None
    """Largest number of bad updates in a row; one more is an error. None: any number."""

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the step hook.

        Raises:
            OptimizerError: The optimizer is LBFGS, which reads missing gradients as zero.
        """
        from nshtrainer.optimizer.wrappers.hooks import Skipping, register_grad_hook

        refuse_lbfgs(optimizer, "skipping")
        register_grad_hook(optimizer, Skipping(self.max_norm, self.max_in_a_row))
        make_skippable(optimizer)
        record_of(optimizer).is_skippable = True


@final
@optimizer_registry.register
class SAMConfig(WrappingConfigBase):
    r"""Sharpness-aware minimization: gradients from where the loss is highest nearby.

    The optimizer steps with $h = \nabla L(\theta + \rho\, g / \lVert g \rVert)$, with $g = \nabla
    L(\theta)$; with `adaptive`, $\nabla L(\theta + \rho\, \theta^2 g / \lVert \theta g \rVert)$
    (ASAM). An update computes the loss twice, so `step` needs a closure. Lightning passes one, and
    the values that `training_step` logs are logged at both points. The running statistics of batch
    norm are updated at the first point only.

    Each parameter group has the radius under `sam_rho`, so `schedules` can schedule it.

    Reference: P. Foret et al., Sharpness-Aware Minimization for Efficiently Improving
    Generalization, arXiv:2010.01412; J. Kwon et al., ASAM, arXiv:2102.11600.

    >>> SAMConfig(optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}, rho=0.1).needs_closure
    True
    """

    keeps = True

    name: Literal["sam"] = "sam"

    rho: NonNegative = 0.05
    """Radius of the neighborhood."""

    adaptive: bool = False
    r"""Scale the neighborhood by $|\theta|$ (ASAM); `rho` is then about ten times as large."""

    @property
    def needs_closure(self) -> bool:
        """True: the loss is computed twice."""
        return True

    def wrap(self, optimizer: Optimizer, /) -> None:
        """Register the hooks, and declare that the step needs a closure."""
        from nshtrainer.optimizer.wrappers.sam import SAMHooks
        from nshtrainer.optimizer_record import add_requirements

        SAMHooks(self.rho, adaptive=self.adaptive).attach(optimizer)
        add_requirements(optimizer, closure=True)


def refuse_lbfgs(optimizer: Optimizer, what: str) -> None:
    """Refuse LBFGS, which reads missing gradients as zero and moves anyway.

    Raises:
        OptimizerError: The optimizer is LBFGS.
    """
    from torch.optim import LBFGS

    if isinstance(optimizer, LBFGS):
        raise OptimizerError(
            f"{what} leaves a whole update out, and LBFGS computes several gradients within one; "
            "use lbfgs without it, or another optimizer with it"
        )
