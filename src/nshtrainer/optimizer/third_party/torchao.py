r"""Configs of the optimizers of torchao: Adam and AdamW with 8-bit or 4-bit moments.

In the formulas $g$ is the gradient, $\theta$ the parameter, $\gamma$ `lr`, $\lambda$
`weight_decay`; $m$ and $v$ are the running averages of $g$ and $g^2$. In these each block of
`block_size` numbers $x$ is kept as $x \approx s\,q(c)$: $s$ is its largest magnitude, $c$ a code
for each number, and $q$ the map from codes to values. The arithmetic is in float32.
"""

from __future__ import annotations

from typing import Annotated, Literal

from typing_extensions import Doc, final

from nshtrainer.config.named import LAST
from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.options import Betas, Eps, RelativeDecay
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.types import NonNegative, PositiveInt

__all__ = [
    "AOAdam4bitConfig",
    "AOAdam8bitConfig",
    "AOAdamFp8Config",
    "AOAdamW4bitConfig",
    "AOAdamW8bitConfig",
    "AOAdamWFp8Config",
]

_Rate = Annotated[
    NonNegative,
    Doc("Learning rate; torchao always keeps it in a tensor, also without `tensor_lr`."),
    LAST,
]
_Betas = Annotated[Betas, LAST]
_Eps = Annotated[Eps, LAST]
_L2Penalty = Annotated[NonNegative, Doc("Weight decay, added to the gradient."), LAST]
_RelativeDecay = Annotated[RelativeDecay, LAST]
_AMSGrad = Annotated[
    bool, Doc("Divide by the largest average square so far, which takes a third state."), LAST
]
_BlockSize = Annotated[
    PositiveInt,
    Doc(
        "Numbers that share one scale: fewer are more exact, and take more memory. A parameter "
        "below\n4096 elements, or with a number this does not divide, keeps states of its own type."
    ),
]
_LastBlockSize = Annotated[_BlockSize, LAST]
_StochasticRound = Annotated[
    bool,
    Doc(
        "Round weights of bfloat16 at random, so that small updates are not lost; no float32 copy."
    ),
    LAST,
]


@final
@optimizer_registry.register
class AOAdamW8bitConfig(PackageOptimizerConfigBase):
    r"""AdamW with 8-bit moments, of torchao: a quarter of the state, on any device.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$
    with maps of 256 codes. For models whose optimizer state does not fit in memory, with the rates
    of AdamW; the usual choice of the six. The update is compiled at the first step, which takes
    half a minute on a CPU.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> AOAdamW8bitConfig(lr=3e-4).block_size
    256
    """

    target = "torchao.optim:AdamW8bit"

    name: Literal["ao_adamw8bit"] = "ao_adamw8bit"

    lr: _Rate = 1e-3
    betas: _Betas = (0.9, 0.999)
    eps: _Eps = 1e-8
    weight_decay: _RelativeDecay = 1e-2
    amsgrad: _AMSGrad = False
    block_size: _LastBlockSize = 256
    bf16_stochastic_round: _StochasticRound = False


@final
@optimizer_registry.register
class AOAdamW4bitConfig(PackageOptimizerConfigBase):
    r"""AdamW with 4-bit moments, of torchao: an eighth of the state.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$
    with maps of 16 codes, where the map of $v$ has none for 0. For fine-tuning if 8 bits are too
    many; compare the loss with an 8-bit run before a long run.

    Reference: B. Li et al., Memory Efficient Optimizers with 4-bit States, arXiv:2309.01507.

    >>> AOAdamW4bitConfig(lr=3e-4).block_size
    128
    """

    target = "torchao.optim:AdamW4bit"

    name: Literal["ao_adamw4bit"] = "ao_adamw4bit"

    block_size: _BlockSize = 128

    lr: _Rate = 1e-3
    betas: _Betas = (0.9, 0.999)
    eps: _Eps = 1e-8
    weight_decay: _RelativeDecay = 1e-2
    amsgrad: _AMSGrad = False
    bf16_stochastic_round: _StochasticRound = False


@final
@optimizer_registry.register
class AOAdamWFp8Config(PackageOptimizerConfigBase):
    r"""AdamW with moments as floats of 8 bits (e4m3), of torchao: a quarter of the state.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$.
    Like `ao_adamw8bit`, with a number format of the hardware in place of a map: on GPUs of compute
    capability 8.9 and above.

    Reference: torchao, `torchao.optim`; the blocks are as in arXiv:2110.02861.

    >>> AOAdamWFp8Config(lr=3e-4).weight_decay
    0.01
    """

    target = "torchao.optim:AdamWFp8"

    name: Literal["ao_adamwfp8"] = "ao_adamwfp8"

    lr: _Rate = 1e-3
    betas: _Betas = (0.9, 0.999)
    eps: _Eps = 1e-8
    weight_decay: _RelativeDecay = 1e-2
    amsgrad: _AMSGrad = False
    block_size: _LastBlockSize = 256
    bf16_stochastic_round: _StochasticRound = False


@final
@optimizer_registry.register
class AOAdam8bitConfig(PackageOptimizerConfigBase):
    r"""Adam with 8-bit moments, of torchao: a quarter of the state, on any device.

    $g \leftarrow g + \lambda\theta$, $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} +
    \epsilon)$ with maps of 256 codes. With a weight decay use `ao_adamw8bit`.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> AOAdam8bitConfig(lr=3e-4).weight_decay
    0.0
    """

    target = "torchao.optim:Adam8bit"

    name: Literal["ao_adam8bit"] = "ao_adam8bit"

    lr: _Rate = 1e-3
    betas: _Betas = (0.9, 0.999)
    eps: _Eps = 1e-8
    weight_decay: _L2Penalty = 0
    amsgrad: _AMSGrad = False
    block_size: _LastBlockSize = 256
    bf16_stochastic_round: _StochasticRound = False


@final
@optimizer_registry.register
class AOAdam4bitConfig(PackageOptimizerConfigBase):
    r"""Adam with 4-bit moments, of torchao: an eighth of the state.

    $g \leftarrow g + \lambda\theta$, $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} +
    \epsilon)$ with maps of 16 codes. With a weight decay use `ao_adamw4bit`.

    Reference: B. Li et al., Memory Efficient Optimizers with 4-bit States, arXiv:2309.01507.

    >>> AOAdam4bitConfig(lr=3e-4).block_size
    128
    """

    target = "torchao.optim:Adam4bit"

    name: Literal["ao_adam4bit"] = "ao_adam4bit"

    block_size: _BlockSize = 128

    lr: _Rate = 1e-3
    betas: _Betas = (0.9, 0.999)
    eps: _Eps = 1e-8
    weight_decay: _L2Penalty = 0
    amsgrad: _AMSGrad = False
    bf16_stochastic_round: _StochasticRound = False


@final
@optimizer_registry.register
class AOAdamFp8Config(PackageOptimizerConfigBase):
    r"""Adam with moments as floats of 8 bits (e4m3), of torchao: a quarter of the state.

    $g \leftarrow g + \lambda\theta$, $\theta \leftarrow \theta - \gamma\,\hat m / (\sqrt{\hat v} +
    \epsilon)$. With a weight decay use `ao_adamwfp8`.

    Reference: torchao, `torchao.optim`; the blocks are as in arXiv:2110.02861.

    >>> AOAdamFp8Config(lr=3e-4).weight_decay
    0.0
    """

    target = "torchao.optim:AdamFp8"

    name: Literal["ao_adamfp8"] = "ao_adamfp8"

    lr: _Rate = 1e-3
    betas: _Betas = (0.9, 0.999)
    eps: _Eps = 1e-8
    weight_decay: _L2Penalty = 0
    amsgrad: _AMSGrad = False
    block_size: _LastBlockSize = 256
    bf16_stochastic_round: _StochasticRound = False
