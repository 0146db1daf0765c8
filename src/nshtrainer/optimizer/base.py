"""Base class, registry and field type of optimizer configs."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    Params: TypeAlias = (
        Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Mapping[str, Any]] | Module
    )
else:
    Params: TypeAlias = Any  # the real one needs torch, and a config must not import it

__all__ = [
    "OptimizerConfig",
    "OptimizerConfigBase",
    "Params",
    "innermost",
    "optimizer_registry",
]


class OptimizerConfigBase(NamedConfig):
    """Base of every optimizer config: derive from it to add a custom optimizer.

    Write `create_optimizer`, and register the class. The fields are free; for ranges use the types
    of `nshtrainer.types`.

    >>> from typing import Literal
    >>> import torch
    >>> from nshtrainer.types import Positive
    >>> with optimizer_registry.scoped():
    ...     @optimizer_registry.register
    ...     class MyOptimizerConfig(OptimizerConfigBase):
    ...         name: Literal["my_optimizer"] = "my_optimizer"
    ...         lr: Positive = 0.1
    ...         def create_optimizer(self, params):
    ...             return torch.optim.SGD(params, lr=self.lr)
    >>> MyOptimizerConfig().create_optimizer(torch.nn.Linear(2, 1).parameters()).defaults["lr"]
    0.1
    """

    @abstractmethod
    def create_optimizer(self, params: Any, /) -> "Optimizer":
        """Build the optimizer.

        Args:
            params: `model.parameters()`, `model.named_parameters()`, or a list of group dicts. The
                configs of this package also take the module itself.
        """

    @property
    def wrapped_config(self) -> "OptimizerConfigBase | None":
        """Config that this one wraps, or `None`."""
        return None

    def config_for_group(self, name: str | None) -> "OptimizerConfigBase | None":  # noqa: ARG002
        """Return the config of the optimizer that a parameter group belongs to, if there is one.

        Args:
            name: The name of the group.
        """
        return self


def innermost(config: Any) -> Any:
    """Return the config within all wrappers."""
    while getattr(config, "wrapped_config", None) is not None:
        config = config.wrapped_config
    return config


optimizer_registry: Registry[OptimizerConfigBase] = Registry(
    OptimizerConfigBase,
    kind="optimizer",
    entry_point_group="nshtrainer.optimizers",
    modules=(
        "nshtrainer.optimizer.torch_optim.adam",
        "nshtrainer.optimizer.torch_optim.sgd",
        "nshtrainer.optimizer.torch_optim.adaptive",
        "nshtrainer.optimizer.torch_optim.curvature",
        "nshtrainer.optimizer.routed_config",
        "nshtrainer.optimizer.wrappers.config",
    ),
    index="nshtrainer.optimizer.third_party.index",
)
"""All optimizer configs, by name."""

OptimizerConfig: TypeAlias = Annotated[OptimizerConfigBase, optimizer_registry]
"""Type of a field that holds any registered optimizer config."""
