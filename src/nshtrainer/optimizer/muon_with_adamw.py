"""Muon for the matrices, AdamW for the rest: the usual way to use Muon, ready made."""

from __future__ import annotations

from typing import Literal

from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.native.adam import AdamWConfig
from nshtrainer.optimizer.native.curvature import MuonConfig
from nshtrainer.optimizer.routing import RouteConfig, RoutingConfigBase
from nshtrainer.optimizer.selection import SelectorConfig

__all__ = ["MuonWithAdamWConfig"]


@final
@optimizer_registry.register
class MuonWithAdamWConfig(RoutingConfigBase):
    """Muon for the hidden matrices of a network, AdamW for all else.

    Hidden matrices have two dimensions and are neither an embedding nor the head. A head is known
    by its name (`head`, `lm_head`, `classifier`, `fc`) or from `get_output_embeddings()`; where
    yours is called otherwise, write the routes of `routed`. The defaults are those of the
    reference implementation.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4))
    >>> MuonWithAdamWConfig().routing(model)
    {'0.weight': 'adamw', '1.weight': 'muon', '1.bias': 'adamw'}
    """

    name: Literal["muon_with_adamw"] = "muon_with_adamw"

    muon: MuonConfig = MuonConfig(lr=0.02, weight_decay=0.01)
    """The optimizer of the hidden matrices."""

    adamw: AdamWConfig = AdamWConfig(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.01)
    """The optimizer of embeddings, the head, norms, biases and the rest."""

    convolutions: bool = False
    """Whether Muon takes the kernels of convolutions too, as matrices of outputs by all else."""

    def all_routes(self) -> tuple[RouteConfig, ...]:
        """The two routes, `muon` and `adamw`."""
        roles = SelectorConfig(role=("matrix", "conv") if self.convolutions else "matrix")
        muon = self.muon.replace(flatten=self.convolutions or self.muon.flatten)
        return (
            RouteConfig(name="muon", select=roles, optimizer=muon),
            RouteConfig(name="adamw", select="*", optimizer=self.adamw, required=False),
        )
