"""Fine-tuning: biases and norms do not decay, a frozen stem, slow first layers, a fast head.

Prints:

    group             tensors      rate     decay
    layer_1/no_decay        3    0.0025         0
    layer_1                 1    0.0025      0.05
    layer_2/no_decay        3    0.0050         0
    layer_2                 1    0.0050      0.05
    head                    1    0.0500      0.05
    head/no_decay           1    0.0500         0
    frozen: stem.weight, stem.bias
    groups.1 ('heads'): select 'heads' matches no parameter; the nearest are 'head', 'head.bias'
"""

from __future__ import annotations

from torch import nn

from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import OptimizerError


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)


class Network(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(2)])
        self.head = nn.Linear(width, 10)


config = AdamWConfig.from_yaml("""
    lr: 0.01
    weight_decay: 0.05
    no_decay: bias_and_norm
    layer_decay: 0.5
    groups:
      - {name: stem, select: stem, freeze: true}
      - {name: head, select: {role: head}, lr_mult: 5}
""")

model = Network()
optimizer = config.create_optimizer(model)

print(f"{'group':16} {'tensors':>8} {'rate':>9} {'decay':>9}")
for group in optimizer.param_groups:
    count, decay = len(group["params"]), group["weight_decay"]
    print(f"{group['name']:16} {count:8} {group['lr']:9.4f} {decay:9g}")
print("frozen:", ", ".join(name for name, p in model.named_parameters() if not p.requires_grad))

# A rule that takes nothing is an error: a typo does not train a model for days.
rule = {"name": "heads", "select": "heads"}
try:
    config.replace(groups=(config.groups[0], rule)).create_optimizer(model)
except OptimizerError as error:
    print(str(error).removeprefix("AdamWConfig: "))
