r"""Configs of the optimizers of bitsandbytes, with 8-bit states and states that move to the CPU.

In the formulas $g$ is the gradient, $\theta$ the parameter, $\gamma$ `lr`, $\lambda$
`weight_decay`; $m$ and $v$ are running averages of $g$ and $g^2$. A state is kept as one code of 8
bits for each number, and the largest magnitude of each block of 256 numbers. A GPU whose memory is
full moves the state of paged optimizers to the memory of the CPU.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt, Lt
from typing_extensions import Doc, final

from nshtrainer.config.named import LAST
from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.options import Betas, Eps, LearningRate, RelativeDecay
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.types import Beta, NonNegative, NonNegativeInt, PositiveInt

__all__ = [
    "BNBAdEMAMix8bitConfig",
    "BNBAdagrad8bitConfig",
    "BNBAdam8bitConfig",
    "BNBAdamW8bitConfig",
    "BNBLion8bitConfig",
    "BNBPagedAdEMAMix8bitConfig",
    "BNBPagedAdEMAMixConfig",
    "BNBPagedAdam8bitConfig",
    "BNBPagedAdamConfig",
    "BNBPagedAdamW8bitConfig",
    "BNBPagedAdamWConfig",
    "BNBPagedLion8bitConfig",
    "BNBPagedLionConfig",
    "BNBRMSprop8bitConfig",
    "BNBSGD8bitConfig",
]

_Inside = Annotated[float, Gt(0), Lt(1)]

_Decay = Annotated[RelativeDecay, LAST]
_CoupledDecay = Annotated[NonNegative, Doc("Weight decay, added to the gradient."), LAST]
_Min8BitSize = Annotated[
    NonNegativeInt,
    Doc("Number of elements from which on a parameter has an 8-bit state; below, float32."),
    LAST,
]
_Rate = Annotated[LearningRate, LAST]
_Eps = Annotated[Eps, LAST]
_Betas = Annotated[Betas, LAST]
_LionRate = Annotated[
    NonNegative, Doc("Learning rate: the size of an update; a third to a tenth of AdamW's."), LAST
]
_LionBetas = Annotated[
    tuple[Beta, Beta], Doc("Weight of the momentum in the update, and its decay."), LAST
]
_ThreeBetas = Annotated[
    tuple[_Inside, Beta, _Inside],
    Doc("Decay of the fast momentum, of the square, and of the slow momentum."),
    LAST,
]
_Alpha = Annotated[NonNegative, Doc("Weight of the slow momentum, where the fast one has 1."), LAST]
_AlphaUpdates = Annotated[
    PositiveInt | None,
    Doc("Updates in which `alpha` grows to its value; None: at once. Set it to the run's length."),
    LAST,
]
_Beta3Updates = Annotated[
    PositiveInt | None,
    Doc("Updates in which the slow decay grows from the fast one; None: at once."),
    LAST,
]


@final
@optimizer_registry.register
class BNBAdamW8bitConfig(PackageOptimizerConfigBase):
    r"""AdamW with 8-bit moments, of bitsandbytes: a quarter of the state.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$,
    with the learning rates of AdamW. Embeddings train more steadily with 32-bit states: route them
    to `adamw` with `routed`. With FSDP2 use `ao_adamw8bit`.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> BNBAdamW8bitConfig(lr=3e-4).min_8bit_size
    4096
    """

    target = "bitsandbytes.optim:AdamW8bit"

    name: Literal["bnb_adamw8bit"] = "bnb_adamw8bit"

    weight_decay: _Decay = 1e-2
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _Betas = (0.9, 0.999)


@final
@optimizer_registry.register
class BNBAdam8bitConfig(PackageOptimizerConfigBase):
    r"""Adam with 8-bit moments, of bitsandbytes; its weight decay is decoupled, as in AdamW.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\hat m / (\sqrt{\hat v} + \epsilon)$:
    the kernel is the same as for AdamW, so the two differ only in the default of `weight_decay`.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> BNBAdam8bitConfig(lr=3e-4).weight_decay
    0.0
    """

    target = "bitsandbytes.optim:Adam8bit"

    name: Literal["bnb_adam8bit"] = "bnb_adam8bit"

    weight_decay: _Decay = 0
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _Betas = (0.9, 0.999)


@final
@optimizer_registry.register
class BNBLion8bitConfig(PackageOptimizerConfigBase):
    r"""Lion with an 8-bit momentum, of bitsandbytes: an eighth of AdamW's state.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,\mathrm{sign}(\beta_1 m +
    (1-\beta_1) g)$. For large batches, with a third to a tenth of AdamW's rate and three to ten
    times its decay.

    Reference: X. Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675.

    >>> BNBLion8bitConfig(lr=3e-5, weight_decay=0.1).betas
    (0.9, 0.99)
    """

    target = "bitsandbytes.optim:Lion8bit"

    name: Literal["bnb_lion8bit"] = "bnb_lion8bit"

    weight_decay: _Decay = 0
    min_8bit_size: _Min8BitSize = 4096
    lr: _LionRate = 1e-4
    betas: _LionBetas = (0.9, 0.99)


@final
@optimizer_registry.register
class BNBSGD8bitConfig(PackageOptimizerConfigBase):
    r"""SGD with an 8-bit momentum, of bitsandbytes.

    $m \leftarrow \mu m + g + \lambda\theta$, $\theta \leftarrow \theta - \gamma m$. For vision,
    with the rates of SGD, if the momentum does not fit in memory. There is neither dampening nor
    Nesterov momentum: the constructor takes these options, but the kernel does not read them.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> BNBSGD8bitConfig(lr=0.1, momentum=0.9).weight_decay
    0.0
    """

    target = "bitsandbytes.optim:SGD8bit"
    example = "{lr: 0.001, momentum: 0.9}"

    name: Literal["bnb_sgd8bit"] = "bnb_sgd8bit"

    lr: NonNegative
    """Learning rate."""

    momentum: _Inside
    """Decay of the momentum; there is no kernel without one."""

    weight_decay: _CoupledDecay = 0
    min_8bit_size: _Min8BitSize = 4096


@final
@optimizer_registry.register
class BNBRMSprop8bitConfig(PackageOptimizerConfigBase):
    r"""RMSprop with an 8-bit average, of bitsandbytes.

    $v \leftarrow \alpha v + (1-\alpha) g^2$, $\theta \leftarrow \theta - \gamma g / (\sqrt v +
    \epsilon)$. There is no momentum: the constructor takes one, but the kernel does not read it.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> BNBRMSprop8bitConfig(lr=1e-3).alpha
    0.99
    """

    target = "bitsandbytes.optim:RMSprop8bit"
    example = "lr: 0.0001"

    name: Literal["bnb_rmsprop8bit"] = "bnb_rmsprop8bit"

    lr: NonNegative = 1e-2
    """Learning rate; the first updates are ten times as large."""

    alpha: _Inside = 0.99
    """Decay of the average square."""

    eps: NonNegative = 1e-8
    """Added to the root of the average square, so that nothing is divided by zero."""

    weight_decay: _CoupledDecay = 0
    min_8bit_size: _Min8BitSize = 4096


@final
@optimizer_registry.register
class BNBAdagrad8bitConfig(PackageOptimizerConfigBase):
    r"""Adagrad with an 8-bit sum of squares, of bitsandbytes.

    $v \leftarrow v + g^2$, $\theta \leftarrow \theta - \gamma g / (\sqrt v + \epsilon)$. The rate
    does not decay by itself: `lr_decay` of the constructor must be 0.

    Reference: T. Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861.

    >>> BNBAdagrad8bitConfig(lr=0.1).eps
    1e-10
    """

    target = "bitsandbytes.optim:Adagrad8bit"
    example = "lr: 0.0001"

    name: Literal["bnb_adagrad8bit"] = "bnb_adagrad8bit"

    lr: NonNegative = 1e-2
    """Learning rate: the size of the first update."""

    eps: NonNegative = 1e-10
    """Added to the root of the sum of squares, so that nothing is divided by zero."""

    weight_decay: _CoupledDecay = 0
    min_8bit_size: _Min8BitSize = 4096


@final
@optimizer_registry.register
class BNBAdEMAMix8bitConfig(PackageOptimizerConfigBase):
    r"""AdEMAMix with 8-bit states, of bitsandbytes: less state than AdamW has.

    $\theta \leftarrow (1 - \gamma\lambda)\,\theta - \gamma\,(\hat m_1 + \alpha m_2) /
    (\sqrt{\hat v} + \epsilon)$, where $m_2$ decays by $\beta_3$. For long runs, at AdamW's rates.

    Reference: M. Pagliardini et al., The AdEMAMix Optimizer, arXiv:2409.03137.

    >>> BNBAdEMAMix8bitConfig(t_alpha=10000, t_beta3=10000).alpha
    5.0
    """

    target = "bitsandbytes.optim:AdEMAMix8bit"

    name: Literal["bnb_ademamix8bit"] = "bnb_ademamix8bit"

    weight_decay: _Decay = 1e-2
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _ThreeBetas = (0.9, 0.999, 0.9999)
    alpha: _Alpha = 5.0
    t_alpha: _AlphaUpdates = None
    t_beta3: _Beta3Updates = None


@final
@optimizer_registry.register
class BNBPagedAdamW8bitConfig(PackageOptimizerConfigBase):
    """`bnb_adamw8bit` with a state that a full GPU moves to the CPU; needs a GPU.

    For fine-tuning whose memory peaks at long batches: a step is slower then, and does not fail.

    Reference: T. Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, arXiv:2305.14314.

    >>> BNBPagedAdamW8bitConfig().instead_on_cpu
    'bnb_adamw8bit'
    """

    target = "bitsandbytes.optim:PagedAdamW8bit"
    instead_on_cpu = "bnb_adamw8bit"
    state_like_param = ()

    name: Literal["bnb_pagedadamw8bit"] = "bnb_pagedadamw8bit"

    weight_decay: _Decay = 1e-2
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _Betas = (0.9, 0.999)


@final
@optimizer_registry.register
class BNBPagedAdamWConfig(PackageOptimizerConfigBase):
    """AdamW in float32 with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: T. Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, arXiv:2305.14314.

    >>> BNBPagedAdamWConfig().instead_on_cpu
    'adamw'
    """

    target = "bitsandbytes.optim:PagedAdamW"
    instead_on_cpu = "adamw"
    state_like_param = ()

    name: Literal["bnb_pagedadamw"] = "bnb_pagedadamw"

    weight_decay: _Decay = 1e-2
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _Betas = (0.9, 0.999)


@final
@optimizer_registry.register
class BNBPagedAdam8bitConfig(PackageOptimizerConfigBase):
    """`bnb_adam8bit` with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: T. Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, arXiv:2305.14314.

    >>> BNBPagedAdam8bitConfig().instead_on_cpu
    'bnb_adam8bit'
    """

    target = "bitsandbytes.optim:PagedAdam8bit"
    instead_on_cpu = "bnb_adam8bit"
    state_like_param = ()

    name: Literal["bnb_pagedadam8bit"] = "bnb_pagedadam8bit"

    weight_decay: _Decay = 0
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _Betas = (0.9, 0.999)


@final
@optimizer_registry.register
class BNBPagedAdamConfig(PackageOptimizerConfigBase):
    """Adam in float32 with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: T. Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, arXiv:2305.14314.

    >>> BNBPagedAdamConfig().instead_on_cpu
    'adam'
    """

    target = "bitsandbytes.optim:PagedAdam"
    instead_on_cpu = "adam"
    state_like_param = ()

    name: Literal["bnb_pagedadam"] = "bnb_pagedadam"

    weight_decay: _Decay = 0
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _Betas = (0.9, 0.999)


@final
@optimizer_registry.register
class BNBPagedLion8bitConfig(PackageOptimizerConfigBase):
    """`bnb_lion8bit` with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: X. Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675.

    >>> BNBPagedLion8bitConfig().instead_on_cpu
    'bnb_lion8bit'
    """

    target = "bitsandbytes.optim:PagedLion8bit"
    instead_on_cpu = "bnb_lion8bit"
    state_like_param = ()

    name: Literal["bnb_pagedlion8bit"] = "bnb_pagedlion8bit"

    weight_decay: _Decay = 0
    min_8bit_size: _Min8BitSize = 4096
    lr: _LionRate = 1e-4
    betas: _LionBetas = (0.9, 0.99)


@final
@optimizer_registry.register
class BNBPagedLionConfig(PackageOptimizerConfigBase):
    """Lion in float32 with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: X. Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675.

    >>> BNBPagedLionConfig().instead_on_cpu
    'lion'
    """

    target = "bitsandbytes.optim:PagedLion"
    instead_on_cpu = "lion"
    state_like_param = ()

    name: Literal["bnb_pagedlion"] = "bnb_pagedlion"

    weight_decay: _Decay = 0
    min_8bit_size: _Min8BitSize = 4096
    lr: _LionRate = 1e-4
    betas: _LionBetas = (0.9, 0.99)


@final
@optimizer_registry.register
class BNBPagedAdEMAMix8bitConfig(PackageOptimizerConfigBase):
    """`bnb_ademamix8bit` with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: M. Pagliardini et al., The AdEMAMix Optimizer, arXiv:2409.03137.

    >>> BNBPagedAdEMAMix8bitConfig().instead_on_cpu
    'bnb_ademamix8bit'
    """

    target = "bitsandbytes.optim:PagedAdEMAMix8bit"
    instead_on_cpu = "bnb_ademamix8bit"
    state_like_param = ()

    name: Literal["bnb_pagedademamix8bit"] = "bnb_pagedademamix8bit"

    weight_decay: _Decay = 1e-2
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _ThreeBetas = (0.9, 0.999, 0.9999)
    alpha: _Alpha = 5.0
    t_alpha: _AlphaUpdates = None
    t_beta3: _Beta3Updates = None


@final
@optimizer_registry.register
class BNBPagedAdEMAMixConfig(PackageOptimizerConfigBase):
    """AdEMAMix in float32 with a state that a full GPU moves to the CPU; needs a GPU.

    Reference: M. Pagliardini et al., The AdEMAMix Optimizer, arXiv:2409.03137.

    >>> BNBPagedAdEMAMixConfig().instead_on_cpu
    'ademamix'
    """

    target = "bitsandbytes.optim:PagedAdEMAMix"
    instead_on_cpu = "ademamix"
    state_like_param = ()

    name: Literal["bnb_pagedademamix"] = "bnb_pagedademamix"

    weight_decay: _Decay = 1e-2
    min_8bit_size: _Min8BitSize = 4096
    lr: _Rate = 1e-3
    eps: _Eps = 1e-8
    betas: _ThreeBetas = (0.9, 0.999, 0.9999)
    alpha: _Alpha = 5.0
    t_alpha: _AlphaUpdates = None
    t_beta3: _Beta3Updates = None
