"""Models of transformers from a `config.json`, without weights."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.config.document import Document, fail
from nshtrainer.config.io import read_document
from nshtrainer.config.messages import describe_unknown, find_similar, format_value
from nshtrainer.config.parts import parts_of
from nshtrainer.exceptions import ConfigError

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["read_transformers_model"]

_COUNTS = re.compile(r"(?!.*(dim|length|size)s?$).*(layer|block|depth|expert|stage|head).*")
"""Fields that may be a number of modules."""

_MOST = 10_000
"""The most modules of one kind that a config may ask for."""


def read_transformers_model(path: str) -> Module:
    """Build the model of a `config.json` on the `meta` device; no code of others is run.

    The class is the first in `architectures`, else the base model of the `model_type`.

    Raises:
        ConfigError: The file is invalid, transformers is not installed, or it does not know the
            model.
    """
    document = read_document(path)
    data: Any = document.data
    if not isinstance(data, dict):
        fail(document.place(()), f"must be a mapping (got {format_value(data)})")
    _check_counts(document, cast("Any", data), ())
    try:
        transformers: Any = import_module("transformers")
    except ImportError as error:
        remedy = "install it with: pip install 'nshtrainer[transformers]'"
        raise ConfigError(f"--transformers needs the package transformers; {remedy}") from error
    import torch

    config = _config(document, transformers)
    cls = _model_class(document, transformers)
    try:
        with torch.device("meta"):
            model = cls(config) if cls else transformers.AutoModel.from_config(config)
        # As `from_pretrained` loads it.
        return model.to(config.dtype) if isinstance(config.dtype, torch.dtype) else model
    except Exception as error:  # noqa: BLE001 - the code of any model
        fail(path, f"transformers cannot build it: {type(error).__name__}: {error}", error)


def _check_counts(document: Document, value: Any, path: tuple[Any, ...]) -> None:
    """Refuse numbers of layers that would never be built."""
    for key, part in parts_of(value):
        is_count = type(part) is int and _COUNTS.fullmatch(str(key))
        if is_count and part > _MOST:
            place = document.place((*path, key))
            fail(place, f"{key}: must be at most {_MOST:,} (got {format_value(part)})")
        _check_counts(document, part, (*path, key))


def _config(document: Document, transformers: Any) -> Any:
    data: dict[str, Any] = dict(document.data)
    kind = str(data.pop("model_type", ""))
    known = transformers.CONFIG_MAPPING
    if kind not in known:
        problem = describe_unknown("model_type", kind, find_similar(kind, known, 3))
        fail(document.place(("model_type",)), f"{problem}; give the config.json of a model")
    try:
        return known[kind].from_dict(data)
    except Exception as error:  # noqa: BLE001 - the code of any model
        fail(document.source, f"transformers refuses it: {error}", error)


def _model_class(document: Document, transformers: Any) -> Any:
    """Return the class that the file names; None if it names none."""
    names: Any = document.data.get("architectures")
    if not isinstance(names, list) or not names:
        return None
    names = cast("list[Any]", names)
    cls = getattr(transformers, str(names[0]), None)
    if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
        place = document.place(("architectures", 0))
        fail(place, f"architectures: {format_value(names[0])} is no model of transformers")
    return cls
