"""Per-parameter settings: rules, weight-decay exemptions, layer decay, batch and width scaling."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import Self

from nshtrainer.config import Config
from nshtrainer.optimizer.base import OptimizerConfigBase
from nshtrainer.optimizer.groups.patterns import numbers_in
from nshtrainer.optimizer.groups.scaling import WidthRule, WidthTransferConfig
from nshtrainer.optimizer.groups.selectors import Selection
from nshtrainer.rate_use import RateScope, ZeroRate
from nshtrainer.types import FrozenDict, Label, NonNegative, PositiveInt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BatchScalingConfig",
    "GroupingConfigBase",
    "LayerDecayConfig",
    "ParameterGroupConfig",
]

# The names that presets give to groups, alone or joined by slashes.
_RESERVED = re.compile(r"default|no_decay|hidden|output|input|fixed|layer_\d+|\w+=.*|.*/.*")


def _check_reserved(name: str) -> str:
    if _RESERVED.fullmatch(name):
        raise ValueError(f"group name {name!r} is reserved; choose another")
    return name


_RATES = ("lr", "adamw_lr", "lr_1d")
"""Fields with learning rates, which `lr_scaling` scales."""

GroupName: TypeAlias = Annotated[Label, AfterValidator(_check_reserved)]
"""Name of a parameter group; the names that presets make, and names with a slash, are reserved."""


def _hashable(value: Any) -> Any:
    # Parameters with equal options are found by the hash of these.
    items = cast("list[Any]", value)
    return tuple(map(_hashable, items)) if isinstance(value, (list, tuple)) else value


class ParameterGroupConfig(Config):
    """Rule for a parameter group: a selection of parameters, and their options.

    The first rule of a config that selects a parameter takes it. In a file:
    `{name: head, select: head, lr_mult: 10, options: {betas: [0.9, 0.95]}}`.

    >>> ParameterGroupConfig(name="head", select="head", lr_mult=10).select
    'head'
    """

    model_config = ConfigDict(defer_build=True)

    name: GroupName
    """Name of the group, in monitors, tables and schedules."""

    select: Selection
    """Parameters of the group: a pattern for names, a selector, or a list of these."""

    options: Annotated[
        Mapping[str, Any],
        AfterValidator(lambda given: FrozenDict({k: _hashable(v) for k, v in given.items()})),
    ] = Field(default_factory=dict, validate_default=True)
    """Options of the optimizer for the group, such as `lr`, `betas` or `weight_decay`."""

    lr_mult: NonNegative | None = None
    """Factor on the learning rate that the parameters have without the rule."""

    weight_decay_mult: NonNegative | None = None
    """Factor on the weight decay that the parameters have without the rule."""

    freeze: bool = False
    """Freeze the parameters: `requires_grad` is turned off when the optimizer is created. With the
    config's `include_frozen` the group stays in the optimizer, with its own options, and is trained
    once `requires_grad` is turned on."""

    required: bool = True
    """Raise an error if no parameter is selected, or if all selected ones are frozen."""

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        for key in ("lr", "weight_decay"):
            if key in self.options and getattr(self, f"{key}_mult") is not None:
                raise ValueError(f"options.{key} and {key}_mult are both given; leave one out")
        return self

    @property
    def sets_options(self) -> bool:
        """True if the group sets options."""
        return bool(self.options) or {self.lr_mult, self.weight_decay_mult} != {None}

    def with_rate_times(self, factor: float) -> ParameterGroupConfig:
        """Return the rule with its learning rates, if it sets any, times a factor."""
        rates = {key: self.options[key] * factor for key in _RATES if key in self.options}
        return self.model_copy(update={"options": FrozenDict({**self.options, **rates})})


_Decay = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]


def _numbered(layers: Any) -> Any:
    if isinstance(layers, str) and numbers_in(layers) != 1:
        raise ValueError(
            "a pattern for layers has one '*', for their number: 'encoder.layers.*'; or one group, "
            r"in a regular expression: 're:encoder\.layers\.(\d+)\..*'"
        )
    return layers


class LayerDecayConfig(Config):
    r"""Layer-wise learning-rate decay: $\gamma_l = \gamma\,d^{L - l}$.

    $d$ is `rate`, $l$ the number of the layer, $L$ the number of the last layer. Layer 0 is
    everything before the stack in the model, and embeddings. Everything after the stack, and the
    head, is the last layer and has the full rate. A number is short for the whole config:
    `layer_decay: 0.75`.

    Reference: K. Clark et al., ELECTRA, arXiv:2003.10555; H. Bao et al., BEiT, arXiv:2106.08254.

    >>> LayerDecayConfig(rate=0.75, layers="encoder.layers.*").rate
    0.75
    """

    model_config = ConfigDict(defer_build=True)

    rate: _Decay
    """Factor on the rate from a layer to the one before, in (0, 1]."""

    layers: Annotated[Selection | None, AfterValidator(_numbered)] = None
    """Layers: a pattern in which one `*` is the number, `encoder.layers.*` (or after `re:` a
    regular expression with one group for the number); or a list of selections from the input to the
    output. Default: the only stack (`ModuleList` or `Sequential`) of modules of the same class."""


def _as_decay(value: Any) -> Any:
    # `layer_decay: true` is an error, not a rate of 1.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"rate": value} if is_number else value


_LayerDecay: TypeAlias = Annotated[
    LayerDecayConfig,
    BeforeValidator(_as_decay, json_schema_input_type=_Decay | LayerDecayConfig),
]


class BatchScalingConfig(Config):
    r"""Learning-rate scaling with the batch size: $\gamma = \gamma_0\,(B / B_0)^p$, $p$ = 1 or 1/2.

    $\gamma_0$ is `lr`, $B_0$ is `base_batch_size`, $B$ the batch of one update: over all devices
    and accumulated batches. Linear is usual for SGD, the square root for Adam and its variants.

    Reference: P. Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677; S. Malladi et al.,
    On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, arXiv:2205.10287.

    >>> BatchScalingConfig(base_batch_size=256).factor(1024)
    4.0
    >>> BatchScalingConfig(base_batch_size=256, rule="sqrt").factor(1024)
    2.0
    """

    model_config = ConfigDict(defer_build=True)

    base_batch_size: PositiveInt
    """Batch size at which the learning rates are as written in the config."""

    rule: Literal["linear", "sqrt"] = "linear"
    """Growth of the rate: in proportion to the batch size, or to its square root."""

    def factor(self, batch_size: float) -> float:
        """Return the factor on every learning rate at a batch size."""
        ratio = batch_size / self.base_batch_size
        return ratio if self.rule == "linear" else ratio**0.5


class GroupingConfigBase(OptimizerConfigBase):
    """Base of optimizer configs with per-parameter settings: rules and presets."""

    width_rule: ClassVar[WidthRule | None] = None
    """Scaling rule for `width_transfer`, see `WidthRule`; `None`: not supported."""

    lr_scope: ClassVar[RateScope] = "group"
    """Learning rate that the optimizer reads: of each group at each step (`group`), of the first
    group for all groups (`optimizer`), or of each group at its first step (`first_step`)."""

    lr_requires: ClassVar[tuple[str, Any] | None] = None
    """Field, and the value with which the learning rate of a group is read; `None`: always read."""

    lr_is_ignored: ClassVar[bool] = False
    """True if `lr` is not read at all without `lr_requires`; it then stays at its default."""

    lr_zero: ClassVar[ZeroRate] = "allowed"
    """Steps at which the learning rate may be 0: all, all after the first, or none."""

    lr_is_written: ClassVar[bool] = False
    """True if a step may write `lr` into the groups, so that it cannot be scheduled."""

    groups: tuple[ParameterGroupConfig, ...] = ()
    """Rules, each of which makes a group; the first rule that selects a parameter takes it."""

    no_decay: Literal["none", "bias_and_norm", "ndim_below_2"] = "none"
    """Parameters without weight decay: none (as in torch); biases and the parameters of norms, by
    module and exact name; or parameters with fewer than two dimensions. All values but `none` also
    exempt the parameters that the model lists in `no_weight_decay()` or
    `no_weight_decay_keywords()` and parameters with `_no_weight_decay = True` (mamba-ssm), and
    apply the options in a parameter's `_optim` (S4). A rule's options win."""

    layer_decay: _LayerDecay | None = None
    """Layer-wise learning-rate decay from the output to the input; a rule's `lr` wins."""

    include_frozen: bool = False
    """Include frozen parameters in the groups, so that they can be trained later and the optimizer
    state keeps its form."""

    width_transfer: WidthTransferConfig | None = None
    """Transfer of learning rates from a narrower model (muP); a rule's `lr` wins."""

    lr_scaling: BatchScalingConfig | None = None
    """Scaling of all learning rates with the batch size of the run; None: rates as written."""

    @property
    def asks_for_groups(self) -> bool:
        """True if the config has rules or presets, which need the names of the parameters."""
        presets = (self.no_decay != "none", self.layer_decay, self.width_transfer)
        return bool(self.groups) or any(presets)

    def without_grouping(self) -> Self:
        """Return the config without rules and presets."""
        fields = GroupingConfigBase.model_fields
        nothing = {key: field.default for key, field in fields.items() if key != "name"}
        return self.model_copy(update=nothing)

    def at_batch(self, batch_size: float) -> Self:
        """Return the config with its learning rates, also in its rules, scaled to a batch size."""
        if self.lr_scaling is None:
            return self
        factor = self.lr_scaling.factor(batch_size)
        groups = tuple(group.with_rate_times(factor) for group in self.groups)
        rates = {key: getattr(self, key) * factor for key in _RATES if hasattr(self, key)}
        # Without `lr_scaling`, so that no rate is scaled twice.
        return self.replace(**rates, groups=groups, lr_scaling=None)

    def base_value(self, tensor: Tensor, options: Mapping[str, Any], key: str) -> Any:  # noqa: ARG002
        """Return the value of an option of a parameter whose rule does not set the option.

        Args:
            tensor: The parameter.
            options: The options that its rule sets.
            key: The name of the option.
        """
        return getattr(self, key)

    @model_validator(mode="after")
    def _check_grouping(self) -> Self:
        if self.asks_for_groups or self.lr_scaling:
            self._check_presets()
            self._check_groups()
        lr = type(self).model_fields.get("lr")
        if self.lr_is_ignored and self.lr_problem and lr and getattr(self, "lr", 0) != lr.default:
            raise ValueError(f"{self.lr_problem}, so lr has no effect")
        return self

    @property
    def lr_problem(self) -> str | None:
        """Reason why the learning rate of a single group has no effect, or `None`."""
        if self.lr_scope == "optimizer":
            return f"{self.name} reads the lr of its first group for all groups"
        if self.lr_requires and getattr(self, self.lr_requires[0]) != self.lr_requires[1]:
            field, value = self.lr_requires
            # The default of the whole config may be read even where the rate of a group is not.
            whose = "lr" if self.lr_is_ignored else "the lr of a group"
            return f"{self.name} reads {whose} only with {field}: {str(value).lower()}"
        return None

    def _problem_of(self, option: str, *, of_group: bool = True) -> str | None:
        """Return the reason why a factor on an option has no effect, or `None`."""
        if option not in type(self).model_fields:
            return f"{self.name} has no {option}"
        if getattr(self, option) is None:
            return f"the {option} of {self.name} is none, not a number"
        return self.lr_problem if option == "lr" and (of_group or self.lr_is_ignored) else None

    def _check_presets(self) -> None:
        changed = {
            "no_decay": self.no_decay != "none",
            "layer_decay": self.layer_decay is not None,
            "width_transfer": self.width_transfer is not None,
            "lr_scaling": self.lr_scaling is not None,
        }
        if self.width_transfer and self.width_rule is None:
            raise ValueError(f"how the rate of {self.name} follows the width is not known")
        # `lr_scaling` changes the rate of all groups alike, which is read where one group's is not.
        for field, is_set in changed.items():
            option = "weight_decay" if field == "no_decay" else "lr"
            problem = self._problem_of(option, of_group=field != "lr_scaling")
            if is_set and problem:
                raise ValueError(f"{problem}, so {field} has no effect")

    def _check_groups(self) -> None:
        last = len(self.groups) - 1
        # In reverse, so that of two groups with one name the first is kept.
        first = {group.name: last - back for back, group in enumerate(reversed(self.groups))}
        # All problems of all rules at once, each with its place, as pydantic reports its own.
        problems = [
            InitErrorDetails(
                type=problem["type"],
                loc=("groups", place, *where),
                input=problem["input"],
                ctx=problem.get("ctx", {}),
            )
            for place, group in enumerate(self.groups)
            for where, problem in self._problems_in(group, is_second=first[group.name] != place)
        ]
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)

    def _problems_in(self, group: ParameterGroupConfig, *, is_second: bool) -> Iterator[_Wrong]:
        if is_second:
            yield ("name",), _problem(f"{group.name!r} is the name of two groups", group.name)
        yield from self._ineffective_fields(group)
        known = self.group_options()
        for key in [key for key in group.options if key not in known]:
            yield ("options", key), _problem(self._unknown(key), group.options[key])
        given = {key: value for key, value in group.options.items() if key in known}
        # The options of a rule have the ranges of the config's fields.
        plain = self.without_grouping()
        try:
            plain.__pydantic_validator__.validate_python({**dict(plain), **given})
        except ValidationError as error:
            for item in error.errors(include_url=False):
                yield ("options", *item["loc"]), cast("dict[str, Any]", item)

    def _ineffective_fields(self, group: ParameterGroupConfig) -> Iterator[_Wrong]:
        if group.freeze and group.sets_options and not self.include_frozen:
            text = (
                "a group that is frozen for good cannot set other options. Remove them, or set "
                "include_frozen to train the group later."
            )
            yield ("freeze",), _problem(text, group.freeze)
        for option, field in (("lr", "lr_mult"), ("weight_decay", "weight_decay_mult")):
            problem = self._problem_of(option)
            if problem and getattr(group, field) is not None:
                yield (field,), _problem(f"{problem}, so it has no effect", getattr(group, field))
        if self.lr_problem and "lr" in group.options:
            text = f"{self.lr_problem}, so it has no effect"
            yield ("options", "lr"), _problem(text, group.options["lr"])

    def _unknown(self, key: str) -> str:
        from nshtrainer.config.messages import describe_unknown

        if key in type(self).model_fields:
            return f"applies to all groups; set it in the {type(self).__name__}"
        return describe_unknown("option", key, sorted(self.group_options()))

    @classmethod
    @abstractmethod
    def group_options(cls) -> set[str]:
        """Return the optimizer's own options, which may differ between groups."""


_Wrong: TypeAlias = tuple[tuple[str | int, ...], dict[str, Any]]
"""Location of an error within a rule, and the error as pydantic lists it."""


def _problem(text: str, value: Any) -> dict[str, Any]:
    error = PydanticCustomError("group", "{text}", {"text": text})
    return {"type": error, "input": value}
