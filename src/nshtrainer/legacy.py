"""Hyperparameters of nshtrainer 1.5.4 checkpoints, converted to current data.

The old package is not needed, and no code in the file is run. Changed keys are renamed; keys
without a counterpart are left out with a warning that names them.

>>> convert({"warmup": {"kind": "epochs", "value": 5}, "width": 64})
{'warmup': {'name': 'epochs', 'value': 5}, 'width': 64}
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, overload

from pydantic import ValidationError

from nshtrainer.config import Config
from nshtrainer.config.document import MAX_DEPTH
from nshtrainer.config.messages import dotted
from nshtrainer.exceptions import CheckpointError, ConfigError, NshtrainerWarning
from nshtrainer.loggers.base import logger_registry
from nshtrainer.trainer_config import TrainerConfig

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from nshtrainer.config.files import FilePath

__all__ = ["convert", "read_hparams", "read_trainer_config"]

ConfigT = TypeVar("ConfigT", bound=Config)
Data = dict[str, Any]

_IN_CHECKPOINT = {"model": "hyper_parameters", "trainer": "trainer_hyper_parameters"}
"""Keys of a checkpoint for the data that `.metadata.json` has under `hparams`."""

_MOST_BYTES, _MOST_VALUES = 20_000_000, 200_000
"""Limits above those of a config: the metadata of 1.5.4 list every installed package."""

_SAY_NOTHING = frozenset(
    {
        "additional_lightning_kwargs",
        "auto_determine_num_nodes",
        "auto_set_debug_flag",
        "auto_set_default_root_dir",
        "ckpt_path",
        "debug",
        "directory",
        "environment",
        "id",
        "lightning_kwargs",
        "meta",
        "name",
        "notes",
        "project",
        "reduce_lr_on_plateau_sanity_checking",
        "save_checkpoint_metadata",
        "tags",
    }
)
"""Options of the old trainer that do not affect training."""


@overload
def read_hparams(path: FilePath) -> Data: ...
@overload
def read_hparams(path: FilePath, cls: type[ConfigT]) -> ConfigT: ...
def read_hparams(path: FilePath, cls: type[Config] | None = None) -> Any:
    """Read the hyperparameters of the module in a checkpoint of nshtrainer 1.5.4.

    Load the weights as usual: `MyModel.load_from_checkpoint(path, hparams=read_hparams(path,
    MyConfig))`.

    Args:
        path: A `.ckpt` file, or the `.metadata.json` beside it.
        cls: The current class of the hyperparameters; left out, plain data is returned.

    Raises:
        CheckpointError: The file cannot be read without running code from it, has no
            hyperparameters, or they do not describe a `cls`.

    Warns:
        NshtrainerWarning: The meaning of a schedule has changed, or a key is unknown to `cls`.
    """
    converter = _Converter(str(path))
    data = converter(_saved(path, "model"))
    notes = converter.notes
    result = data if cls is None else _fit(data, cls, path, notes, _unknown_key)
    _warn(path, notes)
    return result


def read_trainer_config(path: FilePath) -> TrainerConfig:
    """Read the options of the trainer in a checkpoint of nshtrainer 1.5.4.

    Args:
        path: A `.ckpt` file, or the `.metadata.json` beside it.

    Raises:
        CheckpointError: The file cannot be read without running code from it, or has no options.

    Warns:
        NshtrainerWarning: An option has no counterpart; it is left out.
    """
    notes: list[str] = []
    old: Data = _Converter(str(path))(_saved(path, "trainer"))
    old |= _mapping(old.get("lightning_kwargs"))
    known = TrainerConfig.model_fields.keys() - {"callbacks"}
    data = {key: old.pop(key) for key in known if old.get(key) is not None}
    data |= _clipping(old.pop("gradient_clipping", None)) | _renamed_values(data)
    data |= _loggers(old.pop("loggers", None)) | _stopping(old.pop("early_stopping", None))
    lost = [key for key, value in old.items() if key not in _SAY_NOTHING and _is_set(value)]
    if lost:
        notes.append(f"these options have no counterpart and are left out: {', '.join(lost)}")
    config = _fit(data, TrainerConfig, path, notes, _whole_option)
    _warn(path, notes)
    return config


def convert(hparams: Mapping[str, Any]) -> Data:
    """Rename the keys that changed since nshtrainer 1.5.4, at any depth of plain data.

    - a duration's `kind` becomes `name`
    - Adafactor's `eps1` and `eps2` become the pair `eps`
    - `patience` and `cooldown` of reduce-on-plateau become numbers where they were epochs

    Args:
        hparams: Hyperparameters as 1.5.4 dumped them; the argument is not modified.

    Raises:
        CheckpointError: The data is nested too deep, or contains itself.

    Warns:
        NshtrainerWarning: The meaning of a schedule has changed.
    """
    converter = _Converter("hparams")
    data = converter(hparams)
    _warn("hparams", converter.notes)
    return data


# -- the file --------------------------------------------------------------------------------------


def _saved(given: FilePath, part: str) -> Data:
    path = os.fsdecode(given)
    is_json = Path(path).suffix == ".json"
    whole = _mapping(_read_json(path) if is_json else _read_checkpoint(path))
    found = _mapping(whole.get("hparams")).get(part) if is_json else whole.get(_IN_CHECKPOINT[part])
    if not isinstance(found, Mapping):
        where = f"hparams.{part}" if is_json else _IN_CHECKPOINT[part]
        raise CheckpointError(f"{path}: there is no {where!r} in it; was it made by 1.5.4?")
    return _mapping(cast("Any", found))


def _read_json(path: str) -> Any:
    from nshtrainer.config.files import read_file

    try:
        return json.loads(read_file(path, most=_MOST_BYTES))
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not valid JSON ({error}); was it cut off?") from error


def _read_checkpoint(path: str) -> Any:
    """Return the checkpoint without the values of its tensors; code in it is refused, not run."""
    from pickle import UnpicklingError

    import torch

    from nshtrainer.config.files import is_zip

    try:
        # Only a zip file, which torch writes since 1.6, can be read without its tensors.
        if is_zip(path):
            return torch.load(path, map_location="meta", mmap=True, weights_only=True)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnpicklingError as error:
        _refuse(path, error)
    except Exception as error:  # torch raises many exception types for a damaged file
        raise CheckpointError(f"{path}: is damaged, or no checkpoint ({error})") from error


def _refuse(path: FilePath, error: Exception) -> NoReturn:
    raise CheckpointError(
        f"{path}: holds objects that only code can make, or is no checkpoint; give the "
        ".metadata.json that 1.5.4 wrote beside it, or, where you trust the file, open it once "
        "with the packages it was made with and give its hyper_parameters, as plain data, to "
        f"convert() ({str(error).strip().splitlines()[0] if str(error).strip() else 'no details'})"
    ) from error


def _mapping(value: Any) -> Data:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


# -- conversion ------------------------------------------------------------------------------------


class _Converter:
    """Rename keys at any depth, in bounded time: a hostile file may contain itself many times."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.notes: list[str] = []
        self._values = 0

    def __call__(self, value: Any, keys: tuple[Any, ...] = ()) -> Any:
        self._values += 1
        if len(keys) > MAX_DEPTH or self._values > _MOST_VALUES:
            raise CheckpointError(f"{self.source}: is nested too deep, or has too many values")
        if isinstance(value, Mapping):
            items = cast("Mapping[str, Any]", value).items()
            return self._changed({key: self(part, (*keys, key)) for key, part in items}, keys)
        if isinstance(value, (list, tuple)):
            parts = enumerate(cast("Iterable[Any]", value))
            return [self(part, (*keys, index)) for index, part in parts]
        return value

    def _changed(self, data: Data, keys: tuple[Any, ...]) -> Data:
        name = data.get("name")
        if data.keys() == {"kind", "value"} and data["kind"] in {"steps", "epochs"}:
            return {"name": data["kind"], "value": data["value"]}
        if name == "adafactor" and data.keys() & {"eps1", "eps2"}:
            pair = [data.pop("eps1", None), data.pop("eps2", 1e-3)]
            return {**data, "eps": pair}
        if name == "reduce_lr_on_plateau":
            return {key: _number_of_epochs(value) for key, value in data.items()}
        if name == "linear_warmup_cosine_decay" and data.get("annealing"):
            self.notes.append(
                f"{dotted(keys)}: annealing mirrored the cosine; now the cosine restarts"
            )
        return data


def _number_of_epochs(value: Any) -> Any:
    """Return the number that 1.5.4 used for a duration in epochs."""
    data = _mapping(value)
    return int(data["value"]) if data.get("name") == "epochs" else value


def _clipping(old: Any) -> Data:
    clipping = _mapping(old)
    if not clipping.get("enabled"):
        return {}
    algorithm = clipping.get("algorithm")
    return {"gradient_clip_val": clipping.get("value"), "gradient_clip_algorithm": algorithm}


def _loggers(old: Any) -> Data:
    """Return the enabled loggers that have a counterpart, with the options that it has."""
    known = logger_registry.summaries()
    found = [
        {key: each[key] for key in logger_registry[each["name"]].model_fields if key in each}
        for each in map(_mapping, cast("list[Any]", old) if isinstance(old, list) else ())
        if each.get("name") in known and each.get("enabled") is not False
    ]
    return {"logger": found} if found else {}


def _stopping(old: Any) -> Data:
    stopping = _mapping(old)
    if not stopping or stopping.get("enabled") is False:
        return {}
    options = {**stopping, **_mapping(stopping.get("metric"))}
    known = ("patience", "min_delta", "strict", "monitor", "mode")
    given = {key: options[key] for key in known if options.get(key) is not None}
    return {"callbacks": [{"name": "early_stopping", **given}]}


def _renamed_values(data: Data) -> Data:
    renamed: Data = {}
    if data.get("precision") == "fp16-mixed":
        renamed["precision"] = "16-mixed"
    if data.get("devices") == "all":
        renamed["devices"] = -1
    return renamed


def _is_set(value: Any) -> bool:
    return bool(value) and _mapping(value).get("enabled") is not False


# -- validation ------------------------------------------------------------------------------------


def _unknown_key(error: ErrorDetails) -> tuple[Any, ...]:
    return error["loc"] if error["type"] == "extra_forbidden" else ()


def _whole_option(error: ErrorDetails) -> tuple[Any, ...]:
    return error["loc"][:1]


def _fit(
    data: Data,
    cls: type[ConfigT],
    path: FilePath,
    notes: list[str],
    may_go: Callable[[ErrorDetails], tuple[Any, ...]],
) -> ConfigT:
    """Return the config, without the values that are not valid and may be left out."""
    try:
        cls.model_validate(data)
    except ValidationError as error:
        places = dict.fromkeys(may_go(item) for item in error.errors(include_url=False))
        notes += [
            f"{dotted(place)} is left out: {cls.__name__} does not take it"
            for place in places
            if _remove(data, place)
        ]
    try:
        return cls.from_mapping(data)
    except ConfigError as error:
        raise CheckpointError(
            f"{path}: the hyperparameters are no {cls.__name__}; read them without a class, and "
            f"change what is wrong:\n{error}"
        ) from error


def _remove(data: Any, place: tuple[Any, ...]) -> bool:
    """Remove the value at a path, if there is one."""
    for key in place[:-1]:
        data = cast("Data", data).get(key) if isinstance(data, dict) else None
    if not (place and isinstance(data, dict) and place[-1] in data):
        return False
    del data[place[-1]]
    return True


def _warn(path: FilePath, notes: list[str]) -> None:
    if notes:
        warnings.warn(f"{path}: {'; '.join(notes)}", NshtrainerWarning, stacklevel=3)
