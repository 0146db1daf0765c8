"""Hyperparameters of a module: their class, and their plain data in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, TypeAlias, TypeVar, cast, get_args, get_origin

from typing_extensions import get_original_bases

from nshtrainer.config import Config
from nshtrainer.config.files import is_zip
from nshtrainer.exceptions import CheckpointError, ConfigError

__all__ = [
    "argument_for_hparams",
    "config_argument",
    "refuse_unknown",
    "saved_config",
    "write_plainly",
]

Source: TypeAlias = str | Path | IO[bytes]
"""A checkpoint: a path, a URL, or an open file."""

_KEY, _NAME = "hyper_parameters", "hparams_name"  # Lightning's keys in a checkpoint


# -- the class -------------------------------------------------------------------------------------


def config_argument(cls: type, generic: type) -> Any:
    """Return the argument for the type parameter of `generic` in the bases of `cls`, or None.

    The search follows generic classes in between: with `class Mid(Base[T])` and
    `class Leaf(Mid[MyConfig])` the result for `Leaf` is `MyConfig`.
    """
    for base in get_original_bases(cls):
        origin: Any = get_origin(base) or base
        given = get_args(base)
        if origin is generic:
            return given[0] if given else None
        if isinstance(origin, type) and issubclass(origin, generic):
            found = config_argument(origin, generic)
            return _substitute(found, origin, given) if isinstance(found, TypeVar) else found
    return None


def _substitute(parameter: TypeVar, origin: Any, given: tuple[Any, ...]) -> Any:
    """Return the argument that `origin[given]` has for this parameter."""
    parameters: tuple[Any, ...] = origin.__parameters__
    return dict(zip(parameters, given, strict=False)).get(parameter, parameter)


# -- writing ---------------------------------------------------------------------------------------


def write_plainly(checkpoint: dict[str, Any], config: Config, others: Mapping[str, Any]) -> None:
    """Replace the config object that Lightning put into a checkpoint by plain data.

    Plain data that is already in the checkpoint is kept, including additions of a hook.
    """
    data, there = config.to_dict(), checkpoint.get(_KEY, {})
    if checkpoint.get(_NAME) != "kwargs" or there.get("hparams") != data:
        checkpoint[_KEY] = {**others, "hparams": data}
        checkpoint[_NAME] = "kwargs"


# -- reading ---------------------------------------------------------------------------------------


def saved_config(source: Source, cls: type[Config], *, weights_only: bool) -> Config:
    """Return the hyperparameters in a checkpoint as a config.

    Raises:
        CheckpointError: The checkpoint cannot be read, has no hyperparameters, or they are no valid
            `cls`.
    """
    place = str(source) if isinstance(source, (str, Path)) else f"a {type(source).__name__}"
    saved = _read(source, place, weights_only).get(_KEY)
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            f"{place} has no hyperparameters; pass them: load_from_checkpoint(path, hparams=...)"
        )
    data = dict(cast("Mapping[str, Any]", saved))
    try:
        return cls.from_mapping(data.get("hparams", data))
    except ConfigError as error:
        raise CheckpointError(
            f"the hyperparameters in {place} are not a valid {cls.__name__}; pass them: "
            f"load_from_checkpoint(path, hparams=...)\n{error}"
        ) from error


def _read(source: Source, place: str, weights_only: bool) -> Mapping[str, Any]:
    try:
        return _load(source, weights_only)
    except OSError:  # the error names the file and the reason
        raise
    except UnpicklingError as error:
        why = next(iter(str(error).splitlines()), "no details")
        raise CheckpointError(
            f"{place}: contains objects other than plain data, or is not a checkpoint; if you "
            f"trust it, pass weights_only=False ({why})"
        ) from error
    except Exception as error:  # torch raises all sorts for a file that is damaged
        raise CheckpointError(f"{place}: is damaged or not a checkpoint ({error})") from error


def _load(source: Source, weights_only: bool) -> Mapping[str, Any]:
    """Load the checkpoint; of a local file only the data without the tensors, if possible."""
    import torch
    from lightning.fabric.utilities import cloud_io

    if isinstance(source, (str, Path)) and is_zip(source):
        return torch.load(source, map_location="meta", mmap=True, weights_only=weights_only)
    load: Any = vars(cloud_io)["_load"]  # what Lightning reads every checkpoint with
    loaded = load(source, map_location="cpu", weights_only=weights_only)
    if not isinstance(source, (str, Path)):
        source.seek(0)  # Lightning reads it again
    return cast("Mapping[str, Any]", loaded)


# -- the constructor -------------------------------------------------------------------------------


def argument_for_hparams(cls: type) -> str:
    """Return the name of the argument for the hyperparameters: `hparams`, else the first one.

    Raises:
        TypeError: The constructor takes no argument.
    """
    parameters = list(signature(cls.__init__).parameters.values())[1:]
    if any(each.name == "hparams" or each.kind is each.VAR_KEYWORD for each in parameters):
        return "hparams"
    if not parameters or parameters[0].kind is parameters[0].VAR_POSITIONAL:
        raise TypeError(f"{cls.__name__}.__init__ takes no hyperparameters; write `self, hparams`")
    return parameters[0].name


def refuse_unknown(cls: type, arguments: Iterable[str]) -> None:
    """Refuse arguments that the constructor does not take; Lightning would drop them.

    Raises:
        TypeError: The constructor of `cls` does not take one of these.
    """
    parameters = signature(cls.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            raise TypeError(
                f"load_from_checkpoint() got {name!r}, which {cls.__name__}.__init__ does not "
                "take; to change a hyperparameter write overrides=['optimizer.lr=3e-4']"
            )
