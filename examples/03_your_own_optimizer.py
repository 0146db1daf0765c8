"""An optimizer of your own: one class, and every file can name it.

Prints:

    SignSGDConfig rate=0.1
    sign_sgd: rate: must be > 0 (got -1)
    loss 4.00 -> 0.00
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from nshtrainer import Config
from nshtrainer.configs import OptimizerConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.optimizer import OptimizerConfigBase, optimizer_registry
from nshtrainer.types import Positive


class SignSGD(torch.optim.Optimizer):
    """Goes a step of fixed length against the sign of each gradient."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = torch.enable_grad()(closure)() if closure else None
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(param.grad.sign(), alpha=group["lr"])
        return loss


@optimizer_registry.register
class SignSGDConfig(OptimizerConfigBase):
    """Config of SignSGD; in a file `optimizer: {name: sign_sgd, rate: 0.1}`."""

    name: Literal["sign_sgd"] = "sign_sgd"

    rate: Positive = 0.1
    """Length of a step, > 0."""

    def create_optimizer(self, params: Any, /) -> SignSGD:
        return SignSGD(params, lr=self.rate)


class MyConfig(Config):
    optimizer: OptimizerConfig


config = MyConfig.from_yaml("optimizer: sign_sgd")
print(type(config.optimizer).__name__, f"rate={config.to_dict()['optimizer']['rate']}")

try:
    MyConfig.from_yaml("optimizer: {name: sign_sgd, rate: -1}")
except ConfigError as error:
    print(f"sign_sgd: {str(error).partition('optimizer.')[2]}")

weight = torch.nn.Parameter(torch.tensor(2.0))
optimizer = config.optimizer.create_optimizer([weight])
losses = []
for _ in range(20):
    loss = weight.square()
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {losses[0]:.2f} -> {weight.square().item():.2f}")
