"""Base of configs whose fields are the options of a torch optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import Self, override

from nshtrainer.config.messages import join_names
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import Params
from nshtrainer.optimizer.build import arguments_of, target_class, version_of
from nshtrainer.optimizer.groups.config import GroupingConfigBase
from nshtrainer.optimizer.learning_rate import check_rates, rate_requirements, rate_use_of
from nshtrainer.optimizer.options import Foreach, Maximize
from nshtrainer.rate_use import set_rate_use

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.checkpoint.hooks import OptimizerStateHooks
    from nshtrainer.optimizer.groups.group_dicts import Group
    from nshtrainer.run_length import RunLength

__all__ = [
    "ForeachConfigBase",
    "TorchOptimizerConfigBase",
    "target_class",
]

_UNDER_FSDP2 = {
    "differs": "it trains other weights than one process does",
    "fails": "its step fails",
}

_FLAGS = ("foreach", "differentiable", "fused", "capturable", "tensor_lr")
"""Fields that choose an implementation of the update."""


class TorchOptimizerConfigBase(GroupingConfigBase):
    """Config with the arguments of a constructor as fields; `target` names the class.

    The fields have the constructor's names and defaults, and the optimizer is an instance of
    exactly the target. Class variables declare the requirements of the optimizer.

    >>> from typing import Literal
    >>> from torch import nn
    >>> from nshtrainer.types import NonNegative
    >>> class PlainSGDConfig(TorchOptimizerConfigBase):
    ...     target = "torch.optim:SGD"
    ...     name: Literal["plain_sgd"] = "plain_sgd"
    ...     lr: NonNegative = 1e-3
    >>> type(PlainSGDConfig().create_optimizer(nn.Linear(2, 1)))
    <class 'torch.optim.sgd.SGD'>
    """

    target: ClassVar[str]
    """Optimizer class as `"module:Class"`; imported when an optimizer is built."""

    needs_closure: ClassVar[bool] = False
    """True if `step` needs a closure that computes the loss."""

    needs_sparse_gradients: ClassVar[bool] = False
    """True if it takes sparse gradients only, such as from `nn.Embedding(..., sparse=True)`."""

    needs_one_group: ClassVar[bool] = False
    """True if all parameters must have the same options."""

    needs_dimensions: ClassVar[int | None] = None
    """Number of dimensions that every parameter must have; `None`: any."""

    needs_second_backward: ClassVar[bool] = False
    """True if the loss must be differentiable twice: `loss.backward(create_graph=True)`."""

    has_modes: ClassVar[bool] = False
    """True if training and evaluation use different weights (`train()` and `eval()`)."""

    state_is_plain: ClassVar[bool] = True
    """True if `torch.load(weights_only=True)` loads its state."""

    state_like_param: ClassVar[tuple[str, ...] | None] = None
    """State keys whose tensors have the parameter's shape, if other shapes depend on more than it.

    None if all shapes follow from the parameter, so that a step on a copy shows them."""

    under_fsdp2: ClassVar[Literal["works", "differs", "fails"]] = "works"
    """Result with parameters that FSDP2 shards: it works, trains other weights than one process, or
    fails. tools/package_optimizers/fsdp2.py measures it."""

    fused_for: ClassVar[tuple[str, ...]] = ()
    """Parameter types that `fused_dtypes` returns by default."""

    foreach_takes_tensor_lr: ClassVar[bool] = True
    """False if `foreach` takes a rate in a tensor only with `capturable`."""

    own_options: ClassVar[frozenset[str]] = frozenset()
    """Fields of the class that are not arguments of the target."""

    group_keys: ClassVar[tuple[str, ...]] = ()
    """Fields that the optimizer reads of a group but its constructor does not name."""

    tensor_lr: bool = False
    """Keep the rate in a tensor that schedules fill in place, as compiled steps need."""

    @model_validator(mode="after")
    def _check_implementation(self) -> Self:
        given = {flag for flag in _FLAGS if getattr(self, flag, False)}
        for other in ("foreach", "differentiable"):
            if {"fused", other} <= given:
                raise ValueError(f"fused and {other} do not go together; leave one of them out")
        refuses_tensor = not self.foreach_takes_tensor_lr and "capturable" not in given
        if refuses_tensor and {"foreach", "tensor_lr"} <= given:
            raise ValueError(
                "foreach takes a tensor_lr only with capturable; leave one of them out"
            )
        return self

    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        """Build the optimizer with the fastest implementation that the parameters allow.

        Args:
            params: A module, `module.parameters()`, `module.named_parameters()`, or a list of group
                dicts whose options apply to the group. A config with rules or presets needs the
                module. The module is not changed, except that a rule may freeze parameters.
            run: The length of the run: a `RunLength` with `samples_per_step` for `lr_scaling`, or
                with `resume`. Under Lightning it is taken from the module's trainer.

        Raises:
            OptimizerError: An option of a group is unknown or out of range; this optimizer does not
                take the parameters; a rule takes no parameter; the batch size for `lr_scaling` is
                unknown; the installed torch lacks the class or an option in use.
        """
        import torch

        from nshtrainer.optimizer.checkpoint.hooks import OptimizerStateHooks
        from nshtrainer.optimizer.groups.build import build_groups
        from nshtrainer.optimizer.groups.group_dicts import names_in
        from nshtrainer.optimizer.groups.parameters import ParameterSubset
        from nshtrainer.optimizer.groups.scaling import batch_size_of
        from nshtrainer.optimizer.parameter_checks import watch_parameters
        from nshtrainer.optimizer_record import record_of

        config, size = self, None
        model = params.model if isinstance(params, ParameterSubset) else params
        if self.lr_scaling is not None:
            size = batch_size_of(run, model)
            config = self.at_batch(size)
        groups = build_groups(config, params)
        known = None
        # The whole optimizer saves and loads the states of its parts.
        if not isinstance(params, ParameterSubset):
            known = OptimizerStateHooks(
                params if isinstance(params, torch.nn.Module) else names_in(groups),
                run,
                is_joint=self.needs_one_group,
                unchecked={} if self.state_like_param is None else {"": self.state_like_param},
                config=config,
            )
        optimizer = config._build(groups, known)  # noqa: SLF001 - a config of this class
        record = record_of(optimizer)
        record.keep_hooks()
        record.batch_size = size if run is None else None
        if known is not None:
            watch_parameters(optimizer, model, config)
        return optimizer

    def _build(self, groups: list[Group], resumption: OptimizerStateHooks | None) -> Optimizer:
        from nshtrainer.optimizer.fused import should_use_fused
        from nshtrainer.optimizer.groups.group_dicts import check_options
        from nshtrainer.optimizer.groups.parameters import shapes_needed
        from nshtrainer.optimizer.learning_rate import with_tensor_rate

        alike = self.without_grouping()
        configs = [check_options(alike, group) for group in groups]
        self._check_needs(groups)
        for group in groups:
            own = (group.options.keys() & self._own_fields()) - {"name"}
            if own:
                raise OptimizerError(
                    f"{group.label}: {', '.join(sorted(own))} applies to all groups; set it in "
                    f"the {type(self).__name__}"
                )
        if self._has_tensor_rates():
            groups = [with_tensor_rate(group, self.options()["lr"]) for group in groups]
        dicts = [self._group_dict(group) for group in groups]
        fused = [
            place
            for place, (group, config) in enumerate(zip(groups, configs, strict=True))
            if should_use_fused(
                config.fused_dtypes(), group.params, config.options() | group.options
            )
        ]
        for place in fused:
            dicts[place]["fused"] = True
        params = [param for group in groups for param in group.params]
        cls = target_class(self.chosen_target(params))
        with shapes_needed(type(self).__name__, params):
            optimizer = cls(dicts, **self.options())
        self._attach(optimizer, fused, resumption)
        return optimizer

    def _attach(
        self, optimizer: Optimizer, fused: list[int], resumption: OptimizerStateHooks | None
    ) -> None:
        """Register the hooks, and record the requirements on the loop and the schedule.

        Args:
            optimizer: The optimizer, just built.
            fused: Positions of the groups for which the fused kernel was chosen.
            resumption: The hooks that save and load states by name; None for a part.
        """
        from nshtrainer.optimizer.fused import FLAGS, FusedFallback, keep_flags
        from nshtrainer.optimizer.learning_rate import keep_tensor_rates
        from nshtrainer.optimizer_record import add_requirements, record_of

        optimizer.register_load_state_dict_pre_hook(_refuse_another)
        if resumption is not None:
            resumption.attach(optimizer)
        optimizer.register_load_state_dict_pre_hook(keep_tensor_rates)
        if any(flag in optimizer.defaults for flag in FLAGS):
            optimizer.register_load_state_dict_pre_hook(keep_flags)
        if fused:
            guard = FusedFallback(fused)
            optimizer.register_step_pre_hook(guard)
            optimizer.register_load_state_dict_post_hook(guard.forget)
        record_of(optimizer).config_class = type(self)
        set_rate_use(optimizer, rate_use_of(self))
        add_requirements(
            optimizer, second_backward=self.needs_second_backward, closure=self.needs_closure
        )

    def _group_dict(self, group: Group) -> dict[str, Any]:
        """Return a new dict for the constructor, which writes into it."""
        params: list[Any] = group.params
        if group.named and group.names:
            params = [*zip(group.names, group.params, strict=True)]
        return {**group.options, "params": params}

    def fused_dtypes(self) -> tuple[str, ...]:
        """Return the parameter types for which torch's fused kernel is faster and as exact.

        The default is `fused_for`, for any options.
        """
        return self.fused_for

    def chosen_target(self, params: Sequence[Tensor]) -> str:  # noqa: ARG002 - for overrides
        """Return the class to build for these parameters: the target, or one derived from it.

        The default is the target. Override it where the target does not work everywhere.
        """
        return self.target

    def takes(self, param: Tensor) -> bool:
        """Return True if the optimizer can update a parameter of this shape."""
        return self.needs_dimensions in (None, param.ndim)

    def options(self) -> dict[str, Any]:
        """Return the arguments for the constructor of the installed torch.

        Raises:
            OptimizerError: The installed torch lacks the class, or an option that is not at its
                default.
        """
        cls = target_class(self.target)
        known, ours = arguments_of(cls), {*self._own_fields(), *self.group_keys}
        fields = {k: field for k, field in type(self).model_fields.items() if k not in ours}
        for key in fields.keys() - known:
            default = fields[key].default
            if getattr(self, key) != default:
                raise OptimizerError(
                    f"{type(self).__name__}: {cls.__name__} of {version_of(self.target)} has no "
                    f"option {key!r}; leave it at {default!r}, or install a release that has it"
                )
        return {key: getattr(self, key) for key in fields if key in known}

    @classmethod
    def _own_fields(cls) -> set[str]:
        """Return the fields that are not arguments of the constructor."""
        return {"name", *TorchOptimizerConfigBase.model_fields, *cls.own_options}

    def _has_tensor_rates(self) -> bool:
        """Return True if the rates of the groups are tensors."""
        # A captured graph would never see another number, so `capturable` needs a tensor as well.
        return self.tensor_lr or getattr(self, "capturable", False)

    def _check_needs(self, groups: list[Group]) -> None:
        """Check that the optimizer takes the parameters, and reads the rate of each group."""
        from nshtrainer.optimizer.groups.group_dicts import described, is_sharded
        from nshtrainer.optimizer.groups.parameters import check_no_lazy

        if self.needs_one_group and len(groups) > 1:
            raise OptimizerError(
                f"{type(self).__name__}: got {len(groups)} parameter groups; this optimizer takes "
                "all parameters in one"
            )
        if self.needs_dimensions is not None:
            check_no_lazy(type(self).__name__, (p for group in groups for p in group.params))
            wrong = described(groups, lambda param: not self.takes(param))
            if wrong:
                raise OptimizerError(
                    f"{type(self).__name__} takes parameters of {self.needs_dimensions} dimensions "
                    f"only; give these to another, such as AdamW: {join_names(wrong)}"
                )
        if self.under_fsdp2 != "works":
            sharded = described(groups, is_sharded)
            if sharded:
                raise OptimizerError(
                    f"{type(self).__name__} does not work where FSDP2 shards parameters: "
                    f"{_UNDER_FSDP2[self.under_fsdp2]}. Keep them whole, as DDP does, or take "
                    f"another, such as AdamW. Sharded are: {join_names(sharded)}"
                )
        if self.lr_problem is not None:
            check_rates(self, groups)

    @classmethod
    def asks(cls) -> list[str]:
        """Return the requirements on parameters, loop and loading of the state, in words."""
        wanted = {
            "a closure": cls.needs_closure,
            "a second backward": cls.needs_second_backward,
            "`train()` and `eval()`": cls.has_modes,
            "sparse gradients": cls.needs_sparse_gradients,
            "all parameters in one group": cls.needs_one_group,
            f"parameters of {cls.needs_dimensions} dimensions": cls.needs_dimensions is not None,
            **rate_requirements(cls),
            "whole parameters (no FSDP2)": cls.under_fsdp2 != "works",
            "`weights_only=False` for its state": not cls.state_is_plain,
        }
        return [what for what, true in wanted.items() if true]

    @classmethod
    @override
    def group_options(cls) -> set[str]:
        return cls.model_fields.keys() - cls._own_fields()


def _refuse_another(optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    """Refuse the state of another optimizer, which torch accepts and fails with in the first step.

    A pre-hook of `load_state_dict`.
    """
    from nshtrainer.optimizer.checkpoint.match import lacking
    from nshtrainer.optimizer.checkpoint.state_check import check_form

    check_form(state_dict)
    groups = state_dict["param_groups"]
    missing = {key for group in groups for key in lacking(group, optimizer.defaults)}
    if missing:
        raise OptimizerError(
            "the saved state belongs to another optimizer: it has no "
            f"{', '.join(sorted(missing))}, which {type(optimizer).__name__} needs; resume with "
            "the optimizer that wrote it, or start without its state"
        )


class ForeachConfigBase(TorchOptimizerConfigBase):
    """Base of torch's optimizers with `foreach` and `differentiable`."""

    maximize: Maximize = False
    """Go up the gradient instead of down: the closure or loss is then an objective."""

    foreach: Foreach = None
    """Update lists of tensors at once. None: the fastest that the parameters allow."""

    differentiable: bool = False
    """Make the update differentiable, as meta-learning needs; slower."""
