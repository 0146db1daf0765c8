"""What the fuzzer feeds: each takes bytes, and raises for a fault alone.

What is read is an error of the documented kind, or a config that comes back from what it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nshtrainer.config import Config
from nshtrainer.configs import AdamWConfig, LRSchedulerConfig, OptimizerConfig
from nshtrainer.duration import DurationConfig
from nshtrainer.exceptions import ConfigError, RunLengthError
from nshtrainer.run_length import RunLength

__all__ = ["TARGETS"]


class Target(Config):
    """What files are read as: components, a duration, and whatever else there is."""

    model_config = ConfigDict(extra="allow")

    optimizer: OptimizerConfig = AdamWConfig()
    schedule: LRSchedulerConfig | None = None
    duration: DurationConfig | None = None


RUNS = (
    RunLength(),
    RunLength(total_steps=100, steps_per_epoch=10, samples_per_step=8, tokens_per_step=512),
    RunLength(total_time=60.0),
)
DURATION: TypeAdapter[Any] = TypeAdapter(DurationConfig)


def text_of(data: bytes) -> str:
    """Text, in which what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def read(text_format: str) -> Callable[[bytes], None]:
    """A target that reads text of a format."""

    def target(data: bytes) -> None:
        with suppress(ConfigError):
            comes_back(getattr(Target, f"from_{text_format}")(text_of(data)))

    return target


def comes_back(config: Target) -> None:
    """Write a config in each format, and read it again."""
    for text_format in ("yaml", "json", "toml"):
        try:
            text = getattr(config, f"to_{text_format}")()
        except ConfigError:  # such as a null, which TOML cannot say
            continue
        again = getattr(Target, f"from_{text_format}")(text)
        assert same(again.to_dict(), config.to_dict()), text_format


def same(one: Any, other: Any) -> bool:
    """Whether plain data is equal, nan being nan, in whatever order TOML has tables."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def override(data: bytes) -> None:
    """Lines of overrides of a config of defaults."""
    with suppress(ConfigError):
        comes_back(Target().override(*text_of(data).split("\n")))


def duration(data: bytes) -> None:
    """A duration comes back from its own text, and becomes steps or says why not."""
    try:
        found = DURATION.validate_python(text_of(data))
    except ValidationError:
        return
    assert DURATION.validate_python(found.model_dump(mode="json")) == found
    assert DURATION.validate_python(str(found)) == found
    for run in RUNS:
        with suppress(RunLengthError):
            assert found.resolve(run) >= 0


TARGETS: dict[str, Callable[[bytes], None]] = {
    "yaml": read("yaml"),
    "json": read("json"),
    "toml": read("toml"),
    "override": override,
    "duration": duration,
}
