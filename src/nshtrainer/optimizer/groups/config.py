"""Which parameter gets which settings: the fields that every optimizer config of ours has."""

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
from nshtrainer.optimizer.groups.mup import WidthRule, WidthTransferConfig
from nshtrainer.optimizer.groups.patterns import numbers_in
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

_RESERVED = re.compile(r"default|no_decay|hidden|output|input|fixed|layer_\d+|\w+=.*|.*/.*")


def _free(name: str) -> str:
    if _RESERVED.fullmatch(name):
        raise ValueError(f"{name!r} is the name of a group that nobody names; choose another")
    return name


_RATES = ("lr", "adamw_lr", "lr_1d")
"""Fields that follow the batch, where an optimizer has several rates."""

GroupName: TypeAlias = Annotated[Label, AfterValidator(_free)]
"""The name of a parameter group; not one that a preset makes, nor one with a slash."""


def _frozen(options: Mapping[str, Any]) -> FrozenDict[str, Any]:
    return FrozenDict({key: _hashable(value) for key, value in options.items()})


def _hashable(value: Any) -> Any:
    items = cast("list[Any]", value)
    return tuple(map(_hashable, items)) if isinstance(value, (list, tuple)) else value


class ParameterGroupConfig(Config):
    """A rule: the parameters that it selects, and what holds for them.

    The first rule of a config that selects a parameter takes it. In a file:
    `{name: head, select: head, lr_mult: 10, options: {betas: [0.9, 0.95]}}`.

    >>> ParameterGroupConfig(name="head", select="head", lr_mult=10).select
    'head'
    """

    model_config = ConfigDict(defer_build=True)

    name: GroupName
    """The name of the group, for monitors, tables and schedules."""

    select: Selection
    """Which parameters: a pattern for names, a selector, or a list of these."""

    options: Annotated[Mapping[str, Any], AfterValidator(_frozen)] = Field(
        default_factory=dict, validate_default=True
    )
    """Options of the optimizer that differ for them, such as `lr`, `betas` or `weight_decay`."""

    lr_mult: NonNegative | None = None
    """Factor on the rate that they would have."""

    weight_decay_mult: NonNegative | None = None
    """Factor on the weight decay that they would have."""

    freeze: bool = False
    """Do not train them: `requires_grad` is turned off when the optimizer is created. With the
    config's `include_frozen` the group stays in the optimizer, with options of its own, and is
    trained from when `requires_grad` is turned on."""

    required: bool = True
    """Whether it is an error if there is no such parameter, or if all of them are frozen."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        for key in ("lr", "weight_decay"):
            if key in self.options and getattr(self, f"{key}_mult") is not None:
                raise ValueError(f"options.{key} and {key}_mult are both given; leave one out")
        return self

    @property
    def sets_options(self) -> bool:
        """True if the group has other options than the rest."""
        return bool(self.options) or {self.lr_mult, self.weight_decay_mult} != {None}

    def with_rate_times(self, factor: float) -> ParameterGroupConfig:
        """The rule with the rate that it names, if it does, times a factor."""
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
    r"""A smaller rate for each layer further from the output: $\gamma_l = \gamma\,d^{L - l}$.

    $d$ is `rate`, $l$ the number of the layer, $L$ that of the last. Layer 0 is what comes before
    the stack: embeddings, and all that stands before it in the model. What stands behind it, and
    the head, is the last layer and has the full rate. The number alone may stand for the whole:
    `layer_decay: 0.75`.

    Reference: K. Clark et al., ELECTRA, arXiv:2003.10555; H. Bao et al., BEiT, arXiv:2106.08254.

    >>> LayerDecayConfig(rate=0.75, layers="encoder.layers.*").rate
    0.75
    """

    model_config = ConfigDict(defer_build=True)

    rate: _Decay
    """Factor on the rate from a layer to the one before, in (0, 1]."""

    layers: Annotated[Selection | None, AfterValidator(_numbered)] = None
    """What the layers are: a pattern in which one `*` is the number, `encoder.layers.*` (or after
    `re:` a regular expression with one group for it); or a list of selections from the input to the
    output. Left out: the one stack (`ModuleList` or `Sequential`) of modules of the same class."""


def _as_decay(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"rate": value} if is_number else value


_LayerDecay: TypeAlias = Annotated[
    LayerDecayConfig,
    BeforeValidator(_as_decay, json_schema_input_type=_Decay | LayerDecayConfig),
]


class BatchScalingConfig(Config):
    r"""The rate follows the batch: $\gamma = \gamma_0\,(B / B_0)^p$, $p$ = 1 or 1/2.

    $\gamma_0$ is `lr`, $B_0$ is `base_batch_size`, $B$ the batch of one update: over all devices
    and accumulated batches. Linear is usual for SGD, the square root for Adam and its kin.

    Reference: P. Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677; S. Malladi et al.,
    On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, arXiv:2205.10287.

    >>> BatchScalingConfig(base_batch_size=256).factor(1024)
    4.0
    >>> BatchScalingConfig(base_batch_size=256, rule="sqrt").factor(1024)
    2.0
    """

    model_config = ConfigDict(defer_build=True)

    base_batch_size: PositiveInt
    """The batch for which the rates are meant as they are written."""

    rule: Literal["linear", "sqrt"] = "linear"
    """How the rate grows: with the batch, or with its square root."""

    def factor(self, batch_size: float) -> float:
        """The factor on every rate at a batch."""
        ratio = batch_size / self.base_batch_size
        return ratio if self.rule == "linear" else ratio**0.5


class GroupingConfigBase(OptimizerConfigBase):
    """The fields that say which parameter gets which settings."""

    width_rule: ClassVar[WidthRule | None] = None
    """How the update grows with the gradient, for `width_transfer`; `None`: neither way."""

    lr_scope: ClassVar[RateScope] = "group"
    """The learning rate that is read: that of each group at each step (`group`), that of the first
    group for all groups (`optimizer`), or that of each group at its first step (`first_step`)."""

    lr_requires: ClassVar[tuple[str, Any] | None] = None
    """A field and the value with which the learning rate of a group is read; `None`: always."""

    lr_is_ignored: ClassVar[bool] = False
    """Whether without it `lr` is not read at all, so that it stays at its default."""

    lr_zero: ClassVar[ZeroRate] = "allowed"
    """Whether the learning rate may be 0: always, after the first step, or never."""

    lr_is_written: ClassVar[bool] = False
    """Whether a step may write `lr` into the groups itself, so that it takes no schedule."""

    groups: tuple[ParameterGroupConfig, ...] = ()
    """Rules, of which the first that selects a parameter takes it; each makes a group."""

    no_decay: Literal["none", "bias_and_norm", "ndim_below_2"] = "none"
    """What has no weight decay: nothing (as in torch); biases and the parameters of norms, by
    module and exact name; what has fewer than two dimensions. All but `none` also do as the model
    asks: what its `no_weight_decay()` or `no_weight_decay_keywords()` lists and parameters with
    `_no_weight_decay = True` (mamba-ssm) are spared, and the options in a parameter's `_optim` (S4)
    apply to it. A rule's options win."""

    layer_decay: _LayerDecay | None = None
    """A smaller rate for each layer further from the output; a rule's `lr` wins."""

    include_frozen: bool = False
    """Whether frozen parameters are in the groups, so that they can be trained later and the
    optimizer's state keeps its form."""

    width_transfer: WidthTransferConfig | None = None
    """Rates that were found on a narrower model (muP); a rule's `lr` wins."""

    lr_scaling: BatchScalingConfig | None = None
    """How every rate follows the batch of the run; none: the rates are as they are written."""

    @property
    def asks_for_groups(self) -> bool:
        """Whether parameters have to be told apart, for which their names are needed."""
        presets = (self.no_decay != "none", self.layer_decay, self.width_transfer)
        return bool(self.groups) or any(presets)

    def without_grouping(self) -> Self:
        """The same settings for all parameters."""
        fields = GroupingConfigBase.model_fields
        nothing = {key: field.default for key, field in fields.items() if key != "name"}
        return self.model_copy(update=nothing)

    def at_batch(self, batch_size: float) -> Self:
        """The config with its rates, those of its rules too, as they are at a batch."""
        if self.lr_scaling is None:
            return self
        factor = self.lr_scaling.factor(batch_size)
        groups = tuple(group.with_rate_times(factor) for group in self.groups)
        rates = {key: getattr(self, key) * factor for key in _RATES if hasattr(self, key)}
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
    def _grouping_fits(self) -> Self:
        if self.asks_for_groups or self.lr_scaling:
            self._check_what_is_changed()
            self._check_groups()
        lr = type(self).model_fields.get("lr")
        if self.lr_is_ignored and self.lr_problem and lr and getattr(self, "lr", 0) != lr.default:
            raise ValueError(f"{self.lr_problem}, so lr has no effect")
        return self

    @property
    def lr_problem(self) -> str | None:
        """The reason why the learning rate of one group has no effect, or `None`."""
        if self.lr_scope == "optimizer":
            return f"{self.name} reads the lr of its first group for all groups"
        if self.lr_requires and getattr(self, self.lr_requires[0]) != self.lr_requires[1]:
            field, value = self.lr_requires
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

    def _check_what_is_changed(self) -> None:
        changed = {
            "no_decay": self.no_decay != "none",
            "layer_decay": self.layer_decay is not None,
            "width_transfer": self.width_transfer is not None,
            "lr_scaling": self.lr_scaling is not None,
        }
        if self.width_transfer and self.width_rule is None:
            raise ValueError(f"how the rate of {self.name} follows the width is not known")
        for field, is_set in changed.items():
            option = "weight_decay" if field == "no_decay" else "lr"
            problem = self._problem_of(option, of_group=field != "lr_scaling")
            if is_set and problem:
                raise ValueError(f"{problem}, so {field} has no effect")

    def _check_groups(self) -> None:
        last = len(self.groups) - 1
        first = {group.name: last - back for back, group in enumerate(reversed(self.groups))}
        problems = [
            InitErrorDetails(
                type=problem["type"],
                loc=("groups", place, *where),
                input=problem["input"],
                ctx=problem.get("ctx", {}),
            )
            for place, group in enumerate(self.groups)
            for where, problem in self._wrong_in(group, is_second=first[group.name] != place)
        ]
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)

    def _wrong_in(self, group: ParameterGroupConfig, *, is_second: bool) -> Iterator[_Wrong]:
        if is_second:
            yield ("name",), _custom(f"{group.name!r} is the name of two groups", group.name)
        yield from self._without_effect(group)
        known = self.group_options()
        for key in [key for key in group.options if key not in known]:
            yield ("options", key), _custom(self._unknown(key), group.options[key])
        given = {key: value for key, value in group.options.items() if key in known}
        try:
            self.without_grouping().replace(**given)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                yield ("options", *item["loc"]), cast("dict[str, Any]", item)

    def _without_effect(self, group: ParameterGroupConfig) -> Iterator[_Wrong]:
        if group.freeze and group.sets_options and not self.include_frozen:
            text = (
                "a group that is frozen for good cannot set other options. Remove them, or set "
                "include_frozen to train the group later."
            )
            yield ("freeze",), _custom(text, group.freeze)
        for option, field in (("lr", "lr_mult"), ("weight_decay", "weight_decay_mult")):
            problem = self._problem_of(option)
            if problem and getattr(group, field) is not None:
                yield (field,), _custom(f"{problem}, so it has no effect", getattr(group, field))
        if self.lr_problem and "lr" in group.options:
            text = f"{self.lr_problem}, so it has no effect"
            yield ("options", "lr"), _custom(text, group.options["lr"])

    def _unknown(self, key: str) -> str:
        from nshtrainer.config.messages import describe_unknown

        if key in type(self).model_fields:
            return f"holds for all groups; give it to the {type(self).__name__}"
        return describe_unknown("option", key, sorted(self.group_options()))

    @classmethod
    @abstractmethod
    def group_options(cls) -> set[str]:
        """The optimizer's own options, which may differ from group to group."""


_Wrong: TypeAlias = tuple[tuple[str | int, ...], dict[str, Any]]
"""Where in a rule something is wrong, and what, as pydantic lists it."""


def _custom(text: str, value: Any) -> dict[str, Any]:
    error = PydanticCustomError("group", "{text}", {"text": text})
    return {"type": error, "input": value}
