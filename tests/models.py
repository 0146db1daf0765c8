"""Small models, written by hand, whose parameters several tests tell apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Block", "Convnet", "Sine", "Transformer", "names_in", "settings"]


class Block(nn.Module):
    """A block of a transformer: attention and a feed-forward net, each behind a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 4 * width)
        self.proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(x)).chunk(3, -1)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attended)
        return x + self.proj(nn.functional.gelu(self.fc(self.norm2(x))))


class Sine(nn.Module):
    """A network of two layers that learns a sine; matrices only where asked for."""

    def __init__(self, bias: bool, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width, bias), nn.Tanh(), nn.Linear(width, 1, bias))

    def loss(self) -> Tensor:
        x = torch.linspace(-2, 2, 32)[:, None]
        inputs = torch.cat([x, torch.ones_like(x)], 1)
        return nn.functional.mse_loss(self.layers(inputs), torch.sin(x))


class Transformer(nn.Module):
    """Embeddings, learned positions, a stack of blocks, a norm, a head, and one scalar."""

    def __init__(self, width: int = 4, depth: int = 3, *, tied: bool = False) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 3, width))
        self.scale = nn.Parameter(torch.ones(()))
        self.embed = nn.Embedding(5, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 5, bias=not tied)
        if tied:
            self.lm_head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.norm(x)) * self.scale

    def loss(self) -> Tensor:
        tokens = torch.tensor([[0, 1, 2], [2, 3, 4]])
        return nn.functional.cross_entropy(self(tokens).flatten(0, 1), tokens.flatten())

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "no_such_parameter"}


class Convnet(nn.Module):
    """Convolutions with batch norms, and a classifier of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU())
        self.up = nn.ConvTranspose2d(2, 2, 3)
        self.classifier = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))


def names_in(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, list[str]]:
    """The names of the parameters in each group of an optimizer."""
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    return {
        group["name"]: [names[id(param)] for param in group["params"]]
        for group in optimizer.param_groups
    }


def settings(optimizer: torch.optim.Optimizer, *keys: str) -> dict[str, tuple[Any, ...]]:
    """Some options of each group."""
    return {group["name"]: tuple(group[key] for key in keys) for group in optimizer.param_groups}
