"""Validating a config: ours against a plain pydantic discriminated union of the same shape.

    python benchmarks/validation.py [--rounds 15]

Both sides hold an optimizer, a schedule and its two durations, and get the same data: a dict, JSON
text. The plain side is a closed union of frozen models with the same fields and ranges, made from
the same classes by pydantic alone; its union knows every class when it is built, which ours need
not. Timed in turns in one process; a ratio is the median over the rounds.

The aim: at most 1.5 times the plain union.
"""

from __future__ import annotations

import argparse
import json
from typing import Annotated, Any, Literal, Union

from _rounds import Rounds, verdict
from pydantic import BaseModel, ConfigDict, Field, create_model

from nshtrainer import Config
from nshtrainer.configs import (
    AdamWConfig,
    EpochsConfig,
    FractionConfig,
    LRSchedulerConfig,
    OptimizerConfig,
    StepsConfig,
    lr_scheduler_registry,
    optimizer_registry,
)

RUN: dict[str, Any] = {
    "optimizer": {"name": "adamw", "lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
    "lr_scheduler": {
        "name": "linear_warmup_cosine_decay",
        "warmup_duration": {"name": "steps", "value": 1000},
        "max_duration": {"name": "epochs", "value": 90.0},
        "min_lr_factor": 0.01,
    },
}


class RunConfig(Config):
    optimizer: OptimizerConfig = AdamWConfig()
    lr_scheduler: LRSchedulerConfig | None = None


class Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def plain(cls: type[BaseModel], **types: Any) -> Any:
    """Return the same fields, ranges and defaults without nshtrainer."""
    fields: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        kind = types.get(name, field.annotation)
        annotation = Annotated[(kind, *field.metadata)] if field.metadata else kind
        fields[name] = (annotation, ... if field.is_required() else field.default)
    return create_model(f"Plain{cls.__name__}", __base__=Plain, **fields)


def union_of(classes: list[Any]) -> Any:
    return Annotated[Union[tuple(classes)], Field(discriminator="name")]  # noqa: UP007 - computed


def plain_run() -> type[BaseModel]:
    duration = union_of([plain(cls) for cls in (StepsConfig, EpochsConfig, FractionConfig)])
    durations = {"warmup_duration": duration, "max_duration": duration}
    optimizers = union_of([plain(cls) for cls in optimizer_registry.values()])
    schedules = union_of(
        [
            plain(cls, **{name: durations[name] for name in durations if name in cls.model_fields})
            for cls in lr_scheduler_registry.values()
        ]
    )
    return create_model(
        "PlainRun", __base__=Plain, optimizer=(optimizers, ...), lr_scheduler=(schedules, None)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    other, text = plain_run(), json.dumps(RUN)
    ways: dict[Literal["dict", "json"], dict[str, Any]] = {
        "dict": {
            "ours": lambda: RunConfig.model_validate(RUN),
            "plain": lambda: other.model_validate(RUN),
        },
        "json": {
            "ours": lambda: RunConfig.model_validate_json(text),
            "plain": lambda: other.model_validate_json(text),
        },
    }
    for way, calls in ways.items():
        timed = Rounds(calls, rounds=rounds, repeats=3000)
        ratio = timed.ratio("ours", "plain")
        print(
            f"{way}: plain {timed.microseconds('plain'):.1f} us, ours "
            f"{timed.microseconds('ours'):.1f} us, ours / plain {ratio:.2f} "
            f"(aim: at most 1.5, {verdict(met=ratio <= 1.5)})"
        )


if __name__ == "__main__":
    main()
