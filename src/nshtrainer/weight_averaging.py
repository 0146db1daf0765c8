"""Weight averaging of a run: exponential moving average, or stochastic weight averaging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field
from typing_extensions import final

from nshtrainer.config.named import NamedConfig
from nshtrainer.duration import DurationField, EpochsConfig, FractionConfig, StepsConfig
from nshtrainer.types import Fraction

__all__ = [
    "EMACallbackConfig",
    "EMAWeightAveragingConfig",
    "SWAWeightAveragingConfig",
    "WeightAveragingConfig",
    "WeightAveragingConfigBase",
    "WeightAveragingField",
]


class WeightAveragingConfigBase(NamedConfig):
    """The base of weight averages: times of the updates that are averaged, and the device.

    Lightning's callback keeps a second copy of the module. Validation and checkpoints get the
    average as soon as there is one, and so does the module at the end of the run. A checkpoint also
    has the weights of training, from which a resumed run continues.
    """

    start: DurationField
    """Start of the average, counted from the beginning of the run: weights of later updates."""

    every: DurationField
    """Duration between two updates whose weights are averaged."""

    use_buffers: bool = True
    """Average buffers too, such as those of batch norm; else copy them."""

    device: str | None = None
    """Device of the average, such as `cpu` to spare a GPU; left out, the device of the weights."""


@final
class EMAWeightAveragingConfig(WeightAveragingConfigBase):
    r"""An exponential moving average of the weights.

    $a \leftarrow d\, a + (1 - d)\, \theta$ every so often, with $d$ the `decay`; the first weights
    that join are the average. It remembers about $1 / (1 - d)$ of them.

    Reference: B. Polyak and A. Juditsky, Acceleration of Stochastic Approximation by Averaging,
    SIAM J. Control Optim. 30(4), 1992; D. Morales-Brotons et al., Exponential Moving Average of
    Weights in Deep Learning, arXiv:2411.18704.

    >>> str(EMAWeightAveragingConfig(decay=0.99, start="1000 steps").start)
    '1000 steps'
    """

    name: Literal["ema"] = "ema"

    decay: Fraction = 0.999
    """Share of the average that is kept at each update, in [0, 1]."""

    start: DurationField = cast("Any", StepsConfig(value=0))
    """Start of the average, counted from the beginning of the run."""

    every: DurationField = cast("Any", StepsConfig(value=1))
    """Duration between two updates whose weights are averaged; by default each update counts."""


@final
class SWAWeightAveragingConfig(WeightAveragingConfigBase):
    r"""Stochastic weight averaging: the plain mean of the weights at the end of a run.

    $a \leftarrow a + (\theta - a) / (n + 1)$, with $n$ the number of weights that have joined. The
    paper keeps the rate high meanwhile: beside a schedule that falls to 0 there is little to
    average.

    Reference: P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better
    Generalization, arXiv:1803.05407.

    >>> str(SWAWeightAveragingConfig().start)
    '75%'
    """

    name: Literal["swa"] = "swa"

    start: DurationField = cast("Any", FractionConfig(value=0.75))
    """Start of the average, counted from the beginning of the run."""

    every: DurationField = cast("Any", EpochsConfig(value=1))
    """Duration between two updates whose weights are averaged; by default an epoch."""


EMACallbackConfig: TypeAlias = EMAWeightAveragingConfig
"""The name of 1.5.4 for the class."""

AnyWeightAveraging: TypeAlias = EMAWeightAveragingConfig | SWAWeightAveragingConfig


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_ByName: TypeAlias = Annotated[AnyWeightAveraging, Field(discriminator="name")]

WeightAveragingConfig: TypeAlias = Annotated[
    _ByName,
    BeforeValidator(_named, json_schema_input_type=_ByName | Literal["ema", "swa"]),
]
"""The type of a field that holds an average of the weights; a name alone has its defaults."""

if TYPE_CHECKING:

    class WeightAveragingField:
        """A field for a weight average; its constructor argument may have more forms."""

        def __get__(self, instance: object, owner: Any) -> AnyWeightAveraging | None: ...
        def __set__(
            self, instance: object, value: AnyWeightAveraging | str | Mapping[str, Any] | None
        ) -> None: ...
else:
    WeightAveragingField = WeightAveragingConfig | None
