"""The containers of OmegaConf, which Hydra gives to a program, as plain data.

pydantic and the registries read a `DictConfig` as the mapping that it is. This module is for the
places where one would stay in a config, and where a mapping is copied as a whole. OmegaConf is not
imported for it: a value of another package costs a look at the name of its type.
"""

from __future__ import annotations

from typing import Any

__all__ = ["plain_containers"]


def plain_containers(value: Any) -> Any:
    """Dicts and lists for a `DictConfig` or `ListConfig`, resolved; any other value as it is.

    Raises:
        ValueError: An interpolation that leads nowhere, or a value that is `???`; with its key.

    >>> from omegaconf import OmegaConf
    >>> plain_containers(OmegaConf.create({"base": 0.1, "lr": "${base}", "betas": [0.9, 0.99]}))
    {'base': 0.1, 'lr': 0.1, 'betas': [0.9, 0.99]}
    >>> plain_containers(OmegaConf.create({"optimizer": {"lr": "???"}}))
    Traceback (most recent call last):
    ValueError: optimizer.lr: is missing ('???'); give it a value
    """
    if not type(value).__module__.startswith("omegaconf."):
        return value
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key}: is missing ('???'); give it a value") from error
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).partition(chr(10))[0]}") from error
