"""Config for any optimizer class, in Python only: no file can name a class."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, PlainSerializer
from typing_extensions import final

from nshtrainer.config.messages import describe_unknown
from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import OptimizerConfigBase, Params
from nshtrainer.types import FrozenDict

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["CustomOptimizerConfig"]


def _shown(options: FrozenDict[str, Any]) -> dict[str, Any]:
    plain = (bool, int, float, str, tuple, list, type(None))
    return {key: v if isinstance(v, plain) else repr(v) for key, v in options.items()}


@final
class CustomOptimizerConfig(OptimizerConfigBase):
    """Any optimizer class with its options, as an optimizer config.

    Use it to try a class that has no config. Checkpoints and logs hold only the name of the class,
    which cannot be read back: then pass the `hparams` to `load_from_checkpoint`. For config files,
    write a config class and register it.

    Args:
        target: The class of the optimizer.
        **options: The options of its constructor. One that the constructor does not name is an
            error, also where `**kwargs` would accept it.

    >>> import torch
    >>> config = CustomOptimizerConfig(torch.optim.SGD, lr=0.1, momentum=0.9)
    >>> config.create_optimizer(torch.nn.Linear(2, 1)).defaults["momentum"]
    0.9
    >>> config.to_dict()
    {'name': 'custom', 'target': 'torch.optim.sgd:SGD', 'options': {'lr': 0.1, 'momentum': 0.9}}
    """

    python_only = True

    name: Literal["custom"] = "custom"

    target: Annotated[
        type[Any], PlainSerializer(lambda cls: f"{cls.__module__}:{cls.__qualname__}")
    ]
    """The class of the optimizer."""

    options: Annotated[dict[str, Any], AfterValidator(FrozenDict), PlainSerializer(_shown)]
    """The options of its constructor."""

    def __init__(self, target: type[Any], /, **options: Any) -> None:
        super().__init__(target=target, options=options)  # pyright: ignore[reportCallIssue]

    def create_optimizer(self, params: Params, /, **_: Any) -> Optimizer:
        """Build the optimizer.

        Args:
            params: A module, or parameters in a form that the class takes.

        Raises:
            OptimizerError: The constructor does not name an option.
        """
        from nshtrainer.optimizer.build import attach_checks
        from nshtrainer.optimizer.groups.parameters import for_torch

        known = inspect.signature(self.target).parameters
        for key in self.options:
            if key not in known:
                raise OptimizerError(
                    describe_unknown(f"option of {self.target.__name__}", key, known)
                )
        optimizer = self.target(for_torch(params), **self.options)
        attach_checks(optimizer, params)
        return optimizer
