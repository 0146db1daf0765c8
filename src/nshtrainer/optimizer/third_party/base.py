"""Base of configs for the optimizers of other packages."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator
from typing_extensions import Self, override

from nshtrainer.config.messages import join_names
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import Params
from nshtrainer.optimizer.groups.group_dicts import refuse_stacks
from nshtrainer.optimizer.stand_ins import device_type
from nshtrainer.optimizer.third_party.group_forms import (
    as_named,
    by_dimensions,
    check_pairs,
    of_adamw,
    uses_muon,
)
from nshtrainer.optimizer.third_party.torchao_state import keep_state_plain
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase, target_class
from nshtrainer.optimizer_record import closure_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from nshtrainer.optimizer.checkpoint.hooks import OptimizerStateHooks
    from nshtrainer.optimizer.groups.group_dicts import Group
    from nshtrainer.run_length import RunLength

__all__ = ["PackageOptimizerConfigBase"]

_PACKAGES: dict[str, dict[str, Any]] = {
    "bitsandbytes": {
        "extra": "bitsandbytes",
        "licence": "MIT",
        "takes_tensor_lr": False,
        "under_fsdp2": "fails",
    },
    "pytorch_optimizer": {"extra": "pytorch-optimizer", "licence": "Apache-2.0"},
    "schedulefree": {"extra": "schedulefree", "licence": "Apache-2.0", "has_modes": True},
    "torchao": {"extra": "torchao", "licence": "BSD-3-Clause", "quantizes_state": True},
}
"""Class variables that the configs of a package share, unless a class sets its own."""


class PackageOptimizerConfigBase(TorchOptimizerConfigBase):
    """Config for an optimizer of another package, which an extra installs.

    The class also declares the extra and the license. Its fields are plain data: for a number
    format or a member of an enumeration a field holds the name, and for infinity `None`.
    """

    extra: ClassVar[str]
    """Extra that installs the package: `pip install nshtrainer[extra]`."""

    licence: ClassVar[str]
    """License of the package's code."""

    example: ClassVar[str] = ""
    """Fields, as YAML, that train a small model if the defaults do not."""

    takes_tensor_lr: ClassVar[bool] = True
    """True if its learning rate may be a tensor."""

    splits_by_dimensions: ClassVar[bool] = False
    """True if matrices and the other parameters must be in separate groups (`use_muon`)."""

    fills_none: ClassVar[tuple[str, ...]] = ()
    """Fields whose `None` the constructor replaces by a number; in a group they must be numbers."""

    pairs_by: ClassVar[tuple[str, str] | None] = None
    """Fields with the dimension that the two parameters of each pair share; `None`: no pairs.

    The parameters of a group are then taken two by two, like the factors of LoRA."""

    for_all: ClassVar[tuple[str, ...]] = ()
    """Fields that a step does not read of a group; they apply to all groups."""

    needs_with: ClassVar[tuple[str, str] | None] = None
    """Field, and another that must be set with it."""

    at_most: ClassVar[tuple[str, str] | None] = None
    """Field, and another that it must not exceed."""

    instead_on_cpu: ClassVar[str] = ""
    """Name of an alternative on a CPU, if this optimizer needs a GPU."""

    quantizes_state: ClassVar[bool] = False
    """True if its state is in torchao tensors, which are saved as plain tensors."""

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Set the class variables that all optimizers of the package share."""
        super().__pydantic_init_subclass__(**kwargs)
        package = getattr(cls, "target", "").partition(":")[0].partition(".")[0]
        shared = _PACKAGES.get(package, {})
        for key in shared.keys() - vars(cls).keys():
            setattr(cls, key, shared[key])

    @model_validator(mode="after")
    def _check_related_fields(self) -> Self:
        if self.at_most:
            low, high = self.at_most
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} is above {high}: give at most {getattr(self, high)}")
        if self.needs_with:
            one, other = self.needs_with
            if getattr(self, one) is not None and getattr(self, other) is None:
                raise ValueError(f"{one} is given without {other}; give both")
        return self

    @override
    def create_optimizer(self, params: Params, /, *, run: RunLength | None = None) -> Optimizer:
        optimizer = super().create_optimizer(params, run=run)
        if self.splits_by_dimensions:
            refuse_stacks(optimizer, params, type(self).__name__)
        return optimizer

    @override
    def options(self) -> dict[str, Any]:
        """Return the arguments for the constructor, with names replaced by what they name.

        Raises:
            OptimizerError: The package is not installed, or lacks the class or an option.
        """
        self._check_installed()
        return self._as_arguments(super().options())

    @override
    def _group_dict(self, group: Group) -> dict[str, Any]:
        for key in self.fills_none:
            if group.options.get(key, 0) is None:
                raise OptimizerError(f"{group.label}: {key} is none; give a number for this group")
        options = self._as_arguments(super()._group_dict(group))
        return as_named(options) if self.splits_by_dimensions else options

    @override
    def base_value(self, tensor: Tensor, options: Mapping[str, Any], key: str) -> Any:
        if not self.splits_by_dimensions:
            return super().base_value(tensor, options, key)
        given = {"use_muon": getattr(self, "use_muon", None), **options}
        field = key if uses_muon(tensor, given) else of_adamw(key)
        return getattr(self, field, getattr(self, key))

    def _as_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        """Replace names of number formats and of enumeration members by what they name."""
        parameters = inspect.signature(target_class(self.target)).parameters
        return {
            key: _as_argument(value, parameters[key].default) if key in parameters else value
            for key, value in values.items()
        }

    @override
    def _build(self, groups: list[Group], resumption: OptimizerStateHooks | None) -> Optimizer:
        self._check_installed()
        if self._has_tensor_rates() and not self.takes_tensor_lr:
            name = type(self).__name__
            raise OptimizerError(
                f"{name}: this optimizer takes no tensor for its rate; leave tensor_lr at false"
            )
        full = [
            group._replace(options={**self._for_groups(group.params), **group.options})
            for group in groups
        ]
        if self.splits_by_dimensions:
            full = [part for group in full for part in by_dimensions(group)]
        try:
            optimizer = super()._build(full, resumption)
        except OptimizerError:
            raise
        except (NotImplementedError, TypeError, ValueError) as error:
            raise OptimizerError(f"{type(self).__name__}: {error}") from error
        self._check_read(groups, optimizer)
        if self.has_modes:
            optimizer.train()  # type: ignore[attr-defined]
        if self.needs_closure:
            optimizer.register_step_pre_hook(_with_gradients)
        if self.quantizes_state:
            keep_state_plain(optimizer)
        return optimizer

    def _for_groups(self, params: list[Tensor]) -> dict[str, Any]:
        """Return the defaults for the options of a group.

        Parameters that FSDP2 shards get the loop: many `foreach` operations do not support them.
        """
        from nshtrainer.optimizer.groups.group_dicts import is_sharded

        own = {key: getattr(self, key) for key in self.group_keys}
        if getattr(self, "foreach", False) is None and any(map(is_sharded, params)):
            own["foreach"] = False
        return {key: value for key, value in own.items() if value is not None}

    @override
    def _check_needs(self, groups: list[Group]) -> None:
        from nshtrainer.optimizer.groups.group_dicts import described

        super()._check_needs(groups)
        if self.pairs_by is not None:
            check_pairs(self, self.pairs_by, groups)
        on_cpu = described(groups, lambda param: device_type(param) == "cpu")
        if self.instead_on_cpu and on_cpu:
            raise OptimizerError(
                f"{type(self).__name__} needs a GPU; move the model to it before its optimizer is "
                f"built, or take {self.instead_on_cpu!r}, which runs on a CPU. On the CPU are: "
                f"{join_names(on_cpu)}"
            )

    def _check_read(self, groups: list[Group], optimizer: Optimizer) -> None:
        """Refuse an option of a group that the optimizer reads only from the constructor.

        Options that it reads of a group are in its defaults, except in the Muons, which fill in
        each group themselves.
        """
        read = {*optimizer.defaults, *self.group_keys}
        options = type(self).model_fields.keys() - self._own_fields()
        kept = options if self.splits_by_dimensions else options & read
        for group in groups:
            unread = (group.options.keys() & options) - (kept - {*self.for_all})
            if unread:
                raise OptimizerError(
                    f"{group.label}: {', '.join(sorted(unread))} applies to all groups; set it in "
                    f"the {type(self).__name__}"
                )

    @classmethod
    @override
    def group_options(cls) -> set[str]:
        return super().group_options() - {*cls.for_all}

    @classmethod
    @override
    def asks(cls) -> list[str]:
        more = {
            "pairs of LoRA factors": cls.pairs_by is not None,
            "a GPU": bool(cls.instead_on_cpu),
            "no `tensor_lr`": not cls.takes_tensor_lr,
        }
        return [*super().asks(), *(what for what, true in more.items() if true)]

    def _check_installed(self) -> None:
        package = self.target.partition(":")[0].partition(".")[0]
        if find_spec(package) is None:
            raise OptimizerError(
                f"{type(self).__name__} needs the package {package}, which is not installed; "
                f"install it with: pip install 'nshtrainer[{self.extra}]'"
            )


def _as_argument(value: Any, default: Any) -> Any:
    """Convert the value of a field to a constructor argument of the same kind as its default."""
    import enum

    import torch

    if value is None and default == math.inf:
        return default
    if not isinstance(value, str):
        return value
    if isinstance(default, enum.Enum):
        return type(default)[value.upper()]
    kind = getattr(torch, value, None)
    return kind if isinstance(kind, torch.dtype) else value


def _with_gradients(_optimizer: Optimizer, args: Any, kwargs: dict[str, Any]) -> Any:
    """Enable gradients in the closure, which some packages do not do: a step hook."""
    import torch

    closure = closure_of(args, kwargs)
    return args[:1], {"closure": closure and torch.enable_grad()(closure)}
