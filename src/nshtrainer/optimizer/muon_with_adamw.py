"""Config of Muon for the hidden matrices with AdamW for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from typing_extensions import final, override

from nshtrainer.exceptions import OptimizerError
from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.groups.selectors import Selection, SelectorConfig, described, selects
from nshtrainer.optimizer.groups.suggestions import nearest
from nshtrainer.optimizer.routed_config import RouteConfig, RoutingConfigBase
from nshtrainer.optimizer.torch_optim.adam import AdamWConfig
from nshtrainer.optimizer.torch_optim.curvature import MuonConfig

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.parameters import Parameter

__all__ = ["MuonWithAdamWConfig"]


@final
@optimizer_registry.register
class MuonWithAdamWConfig(RoutingConfigBase):
    """Muon for the hidden matrices of a network, AdamW for the rest: the usual way to use Muon.

    Hidden matrices are the weights of linear layers, without embeddings and the head;
    `SelectorConfig.role` describes how these are found. A matrix in a module that is no linear
    layer, such as learned positions, goes to AdamW. `include` and `exclude` correct the choice. The
    defaults are taken from the reference implementation.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4))
    >>> MuonWithAdamWConfig().routing(model)
    {'0.weight': 'adamw', '1.weight': 'muon', '1.bias': 'adamw'}
    """

    name: Literal["muon_with_adamw"] = "muon_with_adamw"

    muon: MuonConfig = MuonConfig(lr=0.02, weight_decay=0.01)
    """Optimizer of the hidden matrices."""

    adamw: AdamWConfig = AdamWConfig(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.01)
    """Optimizer of embeddings, the head, norms, biases and the rest."""

    convolutions: bool = False
    """Use Muon for convolution kernels too, each as a matrix of outputs by all other dimensions."""

    include: Selection | None = None
    """More parameters for Muon, such as a head or a bare matrix."""

    exclude: Selection | None = None
    """Parameters that Muon does not take, such as a head that is not recognized; wins over
    `include`."""

    @override
    def all_routes(self) -> tuple[RouteConfig, ...]:
        roles = SelectorConfig(role=("matrix", "conv") if self.convolutions else "matrix")
        select = roles
        if self.include is not None:
            more = self.include if isinstance(self.include, tuple) else (self.include,)
            select = SelectorConfig(any_of=(roles, *more))
        if self.exclude is not None:
            select = SelectorConfig(all_of=select, none_of=self.exclude)
        muon = self.muon.replace(flatten=self.convolutions or self.muon.flatten)
        return (
            RouteConfig(name="muon", select=select, optimizer=muon),
            RouteConfig(name="adamw", select="*", optimizer=self.adamw, required=False),
        )

    @override
    def _check_selections(self, parameters: Sequence[Parameter]) -> None:
        for field in ("include", "exclude"):
            selection = getattr(self, field)
            if selection is not None and not any(selects(selection, p) for p in parameters):
                raise OptimizerError(
                    f"{type(self).__name__}: {field}: {described(selection)} matches no parameter; "
                    f"{nearest(selection, parameters)}"
                )
