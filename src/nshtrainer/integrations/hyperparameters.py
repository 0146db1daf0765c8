"""Configs among the hyperparameters that a plain Lightning module or datamodule saves.

Checkpoints and loggers get plain data, and `load_from_checkpoint` converts it back where the
constructor is annotated with a config. `module.hparams` keeps the config itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import fields, is_dataclass
from inspect import isclass
from typing import Any, cast, get_args

from pydantic import Field, PydanticSchemaGenerationError, create_model

from nshtrainer.config import Config
from nshtrainer.config.field_types import hints_of, hints_of_constructor, is_registry
from nshtrainer.config.validation import plain_containers
from nshtrainer.exceptions import CheckpointError, ConfigError

__all__ = ["plain", "restored"]

_PLAIN = (str, Mapping, list, tuple)
"""The types of plain data that a config can be made of."""


# -- writing ---------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a value with plain data in place of each config; the value itself if it has none.

    A dataclass that holds a config becomes a dict of its fields. A config that has no plain form
    stays as it is.

    >>> from nshtrainer.metric import MetricConfig
    >>> plain({"metric": MetricConfig(monitor="loss", mode="min"), "widths": [1, 2]})
    {'metric': {'monitor': 'loss', 'mode': 'min'}, 'widths': [1, 2]}
    """
    if isinstance(value, Config):
        try:
            return value.to_dict()
        except ConfigError:
            return value
    if is_dataclass(value) and not isclass(value):
        whole = {each.name: getattr(value, each.name) for each in fields(value)}
        return value if (found := plain(whole)) is whole else found
    if type(value) in {list, tuple}:
        parts = dict(enumerate(cast("list[Any]", value)))
        return (
            value if (found := plain(parts)) is parts else cast("Any", type(value))(found.values())
        )
    return _plain_dict(cast("dict[Any, Any]", value)) if isinstance(value, dict) else value


def _plain_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    changed = {key: new for key, old in value.items() if (new := plain(old)) is not old}
    if changed:
        value = copy(value)  # of the same type, such as Lightning's AttributeDict
        value.update(changed)
    return value


# -- reading ---------------------------------------------------------------------------------------


def restored(cls: Any, checkpoint: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor that are annotated with configs, as configs.

    Args:
        cls: The class of the module or datamodule.
        checkpoint: The loaded checkpoint.
        given: Arguments of the caller, which take precedence over the checkpoint's.

    Raises:
        CheckpointError: A value is not valid for its annotation.
    """
    saved: Any = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_KEY) or {}
    if "_instantiator" in saved:  # LightningCLI converts them itself
        return {}
    hints = {name: hint for name, hint in _hints(cls).items() if _holds_config(hint)}
    whole = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)
    values = {**({whole: saved} if whole in hints else saved), **given}
    return {
        name: _restore(name, hint, values[name])
        for name, hint in hints.items()
        if isinstance(values.get(name), _PLAIN)
    }


def _hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a constructor, and of the bases that get its `**kwargs`."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            found |= hints_of_constructor(base, include_extras=True)
    return found


def _holds_config(hint: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Return True if a type is, or holds, a config: `dict[str, OptimizerConfig]` does."""
    for each in hints_of(hint):
        if is_registry(each) or (isclass(each) and issubclass(each, Config)):
            return True
        parts = [*get_args(each)]
        if is_dataclass(each) and each not in seen:
            parts += hints_of_constructor(each, include_extras=True).values()
        if any(_holds_config(part, (*seen, each)) for part in parts):
            return True
    return False


def _restore(name: str, hint: Any, value: Any) -> Any:
    """Validate a value as a field of a config, whose messages have the place."""
    field: Any = (hint, Field(alias=name))
    try:
        model = create_model("Hyperparameters", __base__=Config, value=field)
    except PydanticSchemaGenerationError:  # a dataclass with a module in it, for example
        return value
    try:
        # Lightning reads a file of hyperparameters as a container of OmegaConf.
        return getattr(model.from_mapping({name: plain_containers(value)}), "value")  # noqa: B009
    except ValueError as error:
        raise CheckpointError(
            f"hyperparameter {name!r} of the checkpoint is not valid for its annotation; pass a "
            f"valid one: load_from_checkpoint(path, {name}=...)\n{error}"
        ) from error
