r"""The optimizers of torchao: Adam and AdamW whose moments take 8 or 4 bits a number.

In the formulas $g$ is the gradient, $\theta$ the parameter, $\gamma$ `lr`, $\lambda$
`weight_decay`; $m$ and $v$ are the running averages of $g$ and $g^2$. Of these each block of
`block_size` numbers $x$ is kept as $x \approx s\,q(c)$, with its largest magnitude $s$ and a code
$c$ a number, which the map $q$ gives a value. The arithmetic is in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import final, override

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.types import Beta, NonNegative, PositiveInt

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.optimizer.checkpoint.hooks import Resumption
    from nshtrainer.optimizer.groups.group_dicts import Group

__all__ = [
    "AOAdam4bitConfig",
    "AOAdam8bitConfig",
    "AOAdamFp8Config",
    "AOAdamW4bitConfig",
    "AOAdamW8bitConfig",
    "AOAdamWFp8Config",
]


class _TorchaoOptions(PackageOptimizerConfigBase):
    """What the six share."""

    extra = "torchao"
    licence = "BSD-3-Clause"

    lr: NonNegative = 1e-3
    """Learning rate; torchao keeps it in a tensor, with `tensor_lr` and without."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: NonNegative = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    weight_decay: NonNegative = 0
    """Weight decay, added to the gradient."""

    amsgrad: bool = False
    """Divide by the largest average square so far, which takes a third state."""

    block_size: PositiveInt = 256
    """Numbers that share one scale: fewer are more exact, and take more memory. What has less than
    4096 numbers, or a count that this does not divide, keeps states of its own type."""

    bf16_stochastic_round: bool = False
    """Round weights of bfloat16 at random, so that small updates are not lost; no float32 copy."""

    @override
    def _build(self, groups: list[Group], resumption: Resumption | None) -> Optimizer:
        from nshtrainer.optimizer.third_party.torchao_state import keep_state_plain

        optimizer = super()._build(groups, resumption)
        keep_state_plain(optimizer)
        return optimizer


class _DecoupledOptions(_TorchaoOptions):
    """What those of AdamW share."""

    weight_decay: NonNegative = 1e-2
    """Share of each weight taken off in an update, times the learning rate."""


@final
@optimizer_registry.register
class AOAdamW8bitConfig(_DecoupledOptions):
    r"""AdamW with 8-bit moments, of torchao: a quarter of the state, on any device.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$
    with 256 codes a map. For models whose state does not fit beside them, at the rates of AdamW;
    the usual choice of the six. The update is compiled at the first step, which takes half a
    minute on a CPU.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> AOAdamW8bitConfig(lr=3e-4).block_size
    256
    """

    target = "torchao.optim:AdamW8bit"

    name: Literal["ao_adamw8bit"] = "ao_adamw8bit"


@final
@optimizer_registry.register
class AOAdamW4bitConfig(_DecoupledOptions):
    r"""AdamW with 4-bit moments, of torchao: an eighth of the state.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$
    with 16 codes a map, and none for 0 in that of $v$. For fine-tuning where 8 bits are too many;
    compare the loss with that of 8 bits before a long run.

    Reference: B. Li et al., Memory Efficient Optimizers with 4-bit States, arXiv:2309.01507.

    >>> AOAdamW4bitConfig(lr=3e-4).block_size
    128
    """

    target = "torchao.optim:AdamW4bit"

    name: Literal["ao_adamw4bit"] = "ao_adamw4bit"

    block_size: PositiveInt = 128


@final
@optimizer_registry.register
class AOAdamWFp8Config(_DecoupledOptions):
    r"""AdamW with moments as floats of 8 bits (e4m3), of torchao: a quarter of the state.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$.
    As `ao_adamw8bit`, with a format that the hardware has in place of a map: on GPUs of compute
    capability 8.9 and above.

    Reference: torchao, `torchao.optim`; the blocks are those of arXiv:2110.02861.

    >>> AOAdamWFp8Config(lr=3e-4).weight_decay
    0.01
    """

    target = "torchao.optim:AdamWFp8"

    name: Literal["ao_adamwfp8"] = "ao_adamwfp8"


@final
@optimizer_registry.register
class AOAdam8bitConfig(_TorchaoOptions):
    r"""Adam with 8-bit moments, of torchao: a quarter of the state, on any device.

    $g \leftarrow g + \lambda\theta$, $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} +
    \epsilon)$ with 256 codes a map. With a weight decay take `ao_adamw8bit`.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> AOAdam8bitConfig(lr=3e-4).weight_decay
    0.0
    """

    target = "torchao.optim:Adam8bit"

    name: Literal["ao_adam8bit"] = "ao_adam8bit"


@final
@optimizer_registry.register
class AOAdam4bitConfig(_TorchaoOptions):
    r"""Adam with 4-bit moments, of torchao: an eighth of the state.

    $g \leftarrow g + \lambda\theta$, $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} +
    \epsilon)$ with 16 codes a map. With a weight decay take `ao_adamw4bit`.

    Reference: B. Li et al., Memory Efficient Optimizers with 4-bit States, arXiv:2309.01507.

    >>> AOAdam4bitConfig(lr=3e-4).block_size
    128
    """

    target = "torchao.optim:Adam4bit"

    name: Literal["ao_adam4bit"] = "ao_adam4bit"

    block_size: PositiveInt = 128


@final
@optimizer_registry.register
class AOAdamFp8Config(_TorchaoOptions):
    r"""Adam with moments as floats of 8 bits (e4m3), of torchao: a quarter of the state.

    $g \leftarrow g + \lambda\theta$, $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} +
    \epsilon)$. With a weight decay take `ao_adamwfp8`.

    Reference: torchao, `torchao.optim`; the blocks are those of arXiv:2110.02861.

    >>> AOAdamFp8Config(lr=3e-4).weight_decay
    0.0
    """

    target = "torchao.optim:AdamFp8"

    name: Literal["ao_adamfp8"] = "ao_adamfp8"
