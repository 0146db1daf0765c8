"""What every optimizer config is: the one base that an optimizer of your own derives from."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from nshtrainer.config.registry import Component, Registry

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from nshtrainer.run_length import RunLength

    Params: TypeAlias = (
        Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Mapping[str, Any]] | Module
    )
else:
    Params: TypeAlias = Any  # the real one needs torch, and a config must not import it

__all__ = [
    "OptimizerConfig",
    "OptimizerConfigBase",
    "Params",
    "build_optimizer",
    "optimizer_registry",
]


class OptimizerConfigBase(Component):
    """The base of every optimizer config: derive from it to add an optimizer of your own.

    Write `create_optimizer`, and register the class. The fields are yours; for ranges use the types
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
            params: Whatever the optimizer takes: `model.parameters()`, `model.named_parameters()`,
                or a list of group dicts. The configs of this package also take the module itself.
        """


def build_optimizer(
    config: OptimizerConfigBase, params: Any, /, run: "RunLength | None" = None
) -> "Optimizer":
    """Build an optimizer of a module or of a part of one, whoever wrote its config.

    Our own look at names and types of modules, and at the run; a method that a user wrote takes
    what torch's optimizers take.
    """
    from nshtrainer.optimizer.groups.parameters import for_torch
    from nshtrainer.optimizer.stale_parameters import watch

    create: Any = config.create_optimizer
    if create.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return create(params, run=run)
    optimizer = create(for_torch(params))
    watch(optimizer, params)
    return optimizer


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
        "nshtrainer.optimizer.muon_with_adamw",
        "nshtrainer.optimizer.wrappers.config",
        "nshtrainer.optimizer.wrappers.sam_config",
    ),
    index="nshtrainer.optimizer.third_party.index",
)
"""Every optimizer config, by name."""

OptimizerConfig: TypeAlias = Annotated[OptimizerConfigBase, optimizer_registry]
"""The type of a field that holds any registered optimizer config."""
