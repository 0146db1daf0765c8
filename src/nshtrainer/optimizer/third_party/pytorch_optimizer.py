"""The optimizers of pytorch_optimizer 4.1.0; tools/package_optimizers/generate.py wrote it."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt
from pydantic import Strict
from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.types import (
    Beta,
    Finite,
    Fraction,
    Integer,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
)

__all__ = [
    "A2GradConfig",
    "ADOPTConfig",
    "APOLLOConfig",
    "AccSGDConfig",
    "AdEMAMixConfig",
    "AdaBeliefConfig",
    "AdaBoundConfig",
    "AdaGCConfig",
    "AdaGOConfig",
    "AdaHessianConfig",
    "AdaModConfig",
    "AdaMuonConfig",
    "AdaNormConfig",
    "AdaPNMConfig",
    "AdaShiftConfig",
    "AdaSmoothConfig",
    "AdaTAMConfig",
    "AdaiConfig",
    "AdaliteConfig",
    "AdamCConfig",
    "AdamGConfig",
    "AdamPConfig",
    "AdamSConfig",
    "AdamWSNConfig",
    "AdanConfig",
    "AggMoConfig",
    "AidaConfig",
    "AliGConfig",
    "AliceConfig",
    "AmosConfig",
    "AnoConfig",
    "ApolloDQNConfig",
    "AvaGradConfig",
    "BCOSConfig",
    "CAMEConfig",
    "CondaConfig",
    "DASHConfig",
    "DAdaptAdaGradConfig",
    "DAdaptAdamConfig",
    "DAdaptAdanConfig",
    "DAdaptLionConfig",
    "DAdaptSGDConfig",
    "DiffGradConfig",
    "DualAdamConfig",
    "EXAdamConfig",
    "EmoFactConfig",
    "EmoLynxConfig",
    "EmoNaviConfig",
    "FAdamConfig",
    "FOCUSConfig",
    "FTRLConfig",
    "FiraConfig",
    "FlashAdamWConfig",
    "GaLoreConfig",
    "GramsConfig",
    "GravityConfig",
    "GrokFastAdamWConfig",
    "KateConfig",
    "KronConfig",
    "LARSConfig",
    "LaPropConfig",
    "LambConfig",
    "LionConfig",
    "LoRARiteConfig",
    "MADGRADConfig",
    "MARSConfig",
    "MSVAGConfig",
    "MuonClipConfig",
    "NorMuonConfig",
    "NovoGradConfig",
    "PAdamConfig",
    "PIDConfig",
    "PNMConfig",
    "POASGDConfig",
    "POAdaDeltaConfig",
    "POAdaFactorConfig",
    "POAdaMaxConfig",
    "POMuonConfig",
    "PORAdamConfig",
    "ProdigyConfig",
    "QHAdamConfig",
    "QHMConfig",
    "RACSConfig",
    "ROSEConfig",
    "Ranger21Config",
    "RangerConfig",
    "SCIONConfig",
    "SCIONLightConfig",
    "SGDPConfig",
    "SGDSaIConfig",
    "SGDWConfig",
    "SM3Config",
    "SOAPConfig",
    "SPAMConfig",
    "SPlusConfig",
    "SRMMConfig",
    "SWATSConfig",
    "SaRAConfig",
    "ScalableShampooConfig",
    "ScheduleFreeAdamWConfig",
    "ScheduleFreeRAdamConfig",
    "ScheduleFreeSGDConfig",
    "ShampooConfig",
    "SignSGDConfig",
    "SimplifiedAdEMAMixConfig",
    "SophiaHConfig",
    "SpectralSphereConfig",
    "StableAdamWConfig",
    "StableSPAMConfig",
    "TAMConfig",
    "TigerConfig",
    "VSGDConfig",
    "YogiConfig",
]


@final
@optimizer_registry.register
class A2GradConfig(PackageOptimizerConfigBase):
    """Accelerated gradient descent with adaptive steps and three ways of averaging.

    Reference: Optimal Adaptive and Accelerated Stochastic Gradient Descent, arXiv:1810.00553.

    >>> A2GradConfig(beta=0.5).beta
    0.5
    """

    target = "pytorch_optimizer:A2Grad"
    for_all = ("maximize", "variant")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["a2grad"] = "a2grad"

    beta: NonNegative = 10.0
    """Scale of the adaptive part of the step."""

    lips: Positive = 10.0
    """The Lipschitz constant of the gradient."""

    rho: Beta = 0.5
    """Decay of the running average of squares."""

    variant: Literal["uni", "inc", "exp"] = "uni"
    """How gradients are averaged: `uni`, `inc` (growing weights), `exp`."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AccSGDConfig(PackageOptimizerConfigBase):
    """Accelerated gradient descent with a long and a short step.

    Reference: Accelerating Stochastic Gradient Descent For Least Squares Regression,
    arXiv:1704.08227.

    >>> AccSGDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AccSGD"
    for_all = ("maximize",)

    name: Literal["accsgd"] = "accsgd"

    lr: NonNegative = 0.001
    """Learning rate."""

    kappa: Positive = 1000.0
    """Ratio of the long to the short step."""

    xi: NonNegative = 10.0
    """How much statistics gains over plain acceleration."""

    constant: Fraction = 0.7
    """A constant of the analysis, below 1."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AdaBeliefConfig(PackageOptimizerConfigBase):
    """Adam that divides by how far gradients are from what was expected.

    Reference: Adapting Step-sizes by the Belief in Observed Gradients, arXiv:2010.07468.

    >>> AdaBeliefConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaBelief"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("degenerated_to_sgd", "maximize", "n_sma_threshold")
    takes_tensor_lr = False

    name: Literal["adabelief"] = "adabelief"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the averages of the gradient and of its squared surprise."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    rectify: bool = False
    """Correct the step while the variance is not yet known, as RAdam does."""

    n_sma_threshold: PositiveInt = 5
    """Samples that the average must span before the variance is used."""

    degenerated_to_sgd: bool = True
    """Take a plain step while the variance is not yet known."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    eps: NonNegative = 1e-16
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class AdaBoundConfig(PackageOptimizerConfigBase):
    """Adam whose step sizes are bounded ever more closely, until it is SGD.

    Reference: Adaptive Gradient Methods with Dynamic Bound of Learning Rate, ICLR 2019.

    >>> AdaBoundConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaBound"
    group_keys = ("adam_debias",)
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["adabound"] = "adabound"

    lr: NonNegative = 0.001
    """Learning rate."""

    final_lr: Positive = 0.1
    """Learning rate of SGD, to which it goes over."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    gamma: Positive = 0.001
    """How fast the bounds close."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class POAdaDeltaConfig(PackageOptimizerConfigBase):
    """Scales by recent gradients and recent updates, so that the rate has no unit.

    Reference: An Adaptive Learning Rate Method, arXiv:1212.5701.

    >>> POAdaDeltaConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaDelta"
    for_all = ("maximize",)

    name: Literal["po_adadelta"] = "po_adadelta"

    lr: NonNegative = 1.0
    """Learning rate."""

    rho: Beta = 0.9
    """Decay of the running average of squares."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class POAdaFactorConfig(PackageOptimizerConfigBase):
    """Adam's second moment as rows and columns, in the variant of big vision models.

    Reference: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235.

    >>> POAdaFactorConfig(lr=0.5, relative_step=False).lr
    0.5
    """

    target = "pytorch_optimizer:AdaFactor"
    lr_requires = ("relative_step", False)
    lr_is_ignored = True
    group_keys = ("cautious",)
    for_all = ("clip_threshold", "decay_rate", "eps1", "eps2", "maximize", "momentum_dtype")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["po_adafactor"] = "po_adafactor"

    lr: NonNegative = 0.001
    """Learning rate; at its default while `relative_step` is on."""

    betas: tuple[Beta | None, Beta] = (0.9, 0.999)
    """Decay of momentum, or None; most for the square."""

    decay_rate: Finite = -0.8
    """Power with which the average square forgets, below 0."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    clip_threshold: NonNegative = 1.0
    """Largest root mean square of an update."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    scale_parameter: bool = True
    """Multiply the rate by the root mean square of the weights."""

    relative_step: bool = True
    """Take a rate that falls with time instead of `lr`."""

    warmup_init: bool = False
    """Let the relative rate begin at almost nothing."""

    eps1: NonNegative = 1e-30
    """Added to the squared gradients."""

    eps2: NonNegative = 0.001
    """Least root mean square of the weights, for the relative rate."""

    momentum_dtype: Literal["float16", "bfloat16", "float32", "float64"] = "bfloat16"
    """Number format of the momentum."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""


@final
@optimizer_registry.register
class AdaGCConfig(PackageOptimizerConfigBase):
    """Adam that clips the gradient of each tensor by its own history.

    Reference: Improving Training Stability for Large Language Model Pretraining, arXiv:2502.11034.

    >>> AdaGCConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaGC"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["adagc"] = "adagc"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    beta: Beta = 0.98
    """Decay of the running average."""

    lambda_abs: Positive = 1.0
    """Largest norm of all gradients in the warm-up."""

    lambda_rel: Positive = 1.05
    """Largest ratio of a norm to its running average."""

    warmup_steps: NonNegativeInt = 100
    """Updates that are clipped by `lambda_abs`."""

    weight_decay: NonNegative = 0.1
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AdaGOConfig(PackageOptimizerConfigBase):
    """Orthogonal updates whose size adapts as in AdaGrad.

    Reference: AdaGrad Meets Muon: Adaptive Stepsizes for Orthogonal Updates, arXiv:2509.02981.

    >>> AdaGOConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaGO"
    splits_by_dimensions = True
    group_keys = ("use_muon", "cautious")
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["adago"] = "adago"

    lr: NonNegative = 0.05
    """Learning rate."""

    momentum: Beta = 0.95
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    gamma: Positive = 10.0
    """Largest norm of a gradient that counts."""

    eps: Positive = 0.0005
    """Least size of a step."""

    v: Positive = 1e-06
    """First value of the accumulated norms."""

    nesterov: bool = False
    """Take the gradient one step ahead."""

    ns_steps: Annotated[int, Ge(1), Lt(100), Strict()] = 5
    """Newton-Schulz iterations, below 100."""

    ns_coeffs: Literal["original", "quintic", "polar_express", "polar_express_safer"] = "original"
    """Which coefficients the Newton-Schulz iterations have."""

    use_adjusted_lr: bool = False
    """Adjust the rate to the shape, so that rates found for AdamW hold."""

    adamw_lr: NonNegative = 0.0003
    """Learning rate of AdamW, for the parameters that it takes."""

    adamw_betas: tuple[Beta, Beta] = (0.9, 0.95)
    """The `betas` of AdamW, for the parameters that it takes."""

    adamw_wd: NonNegative = 0.0
    """The weight decay of AdamW, for the parameters that it takes."""

    adamw_eps: NonNegative = 1e-10
    """The `eps` of AdamW, for the parameters that it takes."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    use_muon: bool | None = None
    """Orthogonal updates (true) or AdamW (false); None: by dimensions, 2 and more or fewer."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""


@final
@optimizer_registry.register
class AdaHessianConfig(PackageOptimizerConfigBase):
    """Adam with the diagonal of the curvature in place of squared gradients.

    Reference: An Adaptive Second Order Optimizer for Machine Learning, arXiv:2006.00719.

    >>> AdaHessianConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaHessian"
    needs_second_backward = True
    group_keys = ("adam_debias",)
    for_all = ("hessian_distribution", "maximize", "num_samples", "update_period")
    under_fsdp2 = "fails"

    name: Literal["adahessian"] = "adahessian"

    lr: NonNegative = 0.1
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the averages of the gradient and of the squared curvature."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    hessian_power: Annotated[Positive, Le(1)] = 1.0
    """Power of the curvature in the denominator."""

    update_period: PositiveInt = 1
    """Updates between two estimates of the curvature."""

    num_samples: PositiveInt = 1
    """Random vectors for each estimate of the curvature."""

    hessian_distribution: Literal["gaussian", "rademacher"] = "rademacher"
    """Distribution of the random vectors that probe the curvature."""

    eps: NonNegative = 1e-16
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class AdaiConfig(PackageOptimizerConfigBase):
    """Gradient descent whose momentum, not whose rate, adapts to each weight.

    Reference: Disentangling the Effects of Adaptive Learning Rate and Momentum, arXiv:2006.15815.

    >>> AdaiConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Adai"
    group_keys = ("use_gc",)
    for_all = ("maximize",)

    name: Literal["adai"] = "adai"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.1, 0.99)
    """Scale of the momentum that adapts, and decay of the average square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    stable_weight_decay: bool = False
    """Divide the decay by the average gradient."""

    dampening: NonNegative = 1.0
    """Power of the damping of the momentum."""

    eps: NonNegative = 0.001
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    use_gc: bool = False
    """Take the mean off the gradient of each matrix."""


@final
@optimizer_registry.register
class AdaliteConfig(PackageOptimizerConfigBase):
    """Factored averages and trust ratios: little memory.

    >>> AdaliteConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Adalite"
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["adalite"] = "adalite"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    g_norm_min: NonNegative = 1e-10
    """Least norm of a gradient in the trust ratio."""

    ratio_min: NonNegative = 0.0001
    """Least ratio of the norm of the weights to that of the gradient."""

    tau: Positive = 1.0
    """Temperature of the softmax."""

    eps1: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    eps2: NonNegative = 1e-10
    """Least denominator of the factored averages."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class POAdaMaxConfig(PackageOptimizerConfigBase):
    """Adam with the largest gradient instead of the average square.

    Reference: Adam: A Method for Stochastic Optimization, arXiv:1412.6980.

    >>> POAdaMaxConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaMax"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["po_adamax"] = "po_adamax"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the average gradient and of the running maximum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class AdamCConfig(PackageOptimizerConfigBase):
    """AdamW whose decay follows the rate, so that gradients do not grow at the end.

    Reference: Why Gradients Rapidly Increase Near the End of Training, arXiv:2506.02285.

    >>> AdamCConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdamC"
    group_keys = ("normalized",)
    for_all = ("maximize",)

    name: Literal["adamc"] = "adamc"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    normalized: bool = False
    """Let the decay fall with the rate: for normalized layers, in a group."""


@final
@optimizer_registry.register
class AdamGConfig(PackageOptimizerConfigBase):
    """Adam without a rate to tune.

    Reference: Towards Stability of Parameter-free Optimization, arXiv:2405.04376.

    >>> AdamGConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdamG"
    for_all = ("maximize", "p", "q")

    name: Literal["adamg"] = "adamg"

    lr: NonNegative = 1.0
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.95, 0.999, 0.95)
    """Decay of momentum, average square, and scale of the numerator."""

    p: Positive = 0.2
    """Factor in the numerator p x^q."""

    q: Positive = 0.24
    """Power in the numerator p x^q."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AdaModConfig(PackageOptimizerConfigBase):
    """Adam whose step sizes are bounded by their own running average.

    Reference: An Adaptive and Momental Bound Method for Stochastic Learning, arXiv:1910.12249.

    >>> AdaModConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaMod"
    group_keys = ("adam_debias",)
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["adamod"] = "adamod"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.9, 0.99, 0.9999)
    """Decay of gradient, its square, and of the rates of the weights."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class AdamPConfig(PackageOptimizerConfigBase):
    """Adam that takes out what only makes weights longer, where their scale is free.

    Reference: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights,
    arXiv:2006.08217.

    >>> AdamPConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdamP"
    group_keys = ("adam_debias", "adanorm", "adanorm_r", "cautious", "use_gc")
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["adamp"] = "adamp"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    delta: NonNegative = 0.1
    """Cosine below which weights count as free of scale."""

    wd_ratio: Beta = 0.1
    """Share of the decay for weights free of scale."""

    nesterov: bool = False
    """Take the gradient one step ahead."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""

    use_gc: bool = False
    """Take the mean off the gradient of each matrix."""


@final
@optimizer_registry.register
class AdamSConfig(PackageOptimizerConfigBase):
    """Adam with a decay that is stable against the size of gradients.

    Reference: Understanding and Scheduling Weight Decay, arXiv:2011.11152.

    >>> AdamSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdamS"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("maximize",)

    name: Literal["adams"] = "adams"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0001
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class AdaMuonConfig(PackageOptimizerConfigBase):
    """Muon with a second moment of its orthogonal updates.

    Reference: Adaptive Muon Optimizer, arXiv:2507.11005.

    >>> AdaMuonConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaMuon"
    splits_by_dimensions = True
    group_keys = ("use_muon",)
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["adamuon"] = "adamuon"

    lr: NonNegative = 0.02
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.95)
    """Decay of the momentum and of the squared orthogonal update."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    ns_steps: Annotated[int, Ge(1), Lt(100), Strict()] = 5
    """Newton-Schulz iterations, below 100."""

    ns_coeffs: Literal["original", "quintic", "polar_express", "polar_express_safer"] = "original"
    """Which coefficients the Newton-Schulz iterations have."""

    use_adjusted_lr: bool = True
    """Adjust the rate to the shape, so that rates found for AdamW hold."""

    adamw_lr: NonNegative = 0.0003
    """Learning rate of AdamW, for the parameters that it takes."""

    adamw_betas: tuple[Beta, Beta] = (0.9, 0.999)
    """The `betas` of AdamW, for the parameters that it takes."""

    adamw_wd: NonNegative = 0.0
    """The weight decay of AdamW, for the parameters that it takes."""

    eps: NonNegative = 1e-10
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""

    use_muon: bool | None = None
    """Orthogonal updates (true) or AdamW (false); None: by dimensions, 2 and more or fewer."""


@final
@optimizer_registry.register
class AdamWSNConfig(PackageOptimizerConfigBase):
    """AdamW with one average for each subset of weights: little memory.

    Reference: Subset-Norm and Subspace-Momentum: Faster Memory-Efficient Adaptive Optimization with
    Convergence Guarantees, arXiv:2411.07120.

    >>> AdamWSNConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdamWSN"
    group_keys = ("sn",)
    for_all = ("maximize",)

    name: Literal["adamwsn"] = "adamwsn"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    subset_size: Literal[-1] | PositiveInt = -1
    """Weights that share one average; -1: by shape."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    sn: bool = False
    """One second moment for each subset of weights: for matrices."""


@final
@optimizer_registry.register
class AdanConfig(PackageOptimizerConfigBase):
    """Adam with Nesterov momentum, from gradients and their changes.

    For vision and large batches; takes rates five to ten times those of AdamW, with a warm-up.

    Reference: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models,
    arXiv:2208.06677.

    >>> AdanConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Adan"
    group_keys = ("adanorm", "adanorm_r", "use_gc")
    for_all = ("max_grad_norm", "maximize")
    takes_tensor_lr = False

    name: Literal["adan"] = "adan"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.98, 0.92, 0.99)
    """Decay of the gradient, of its change, and of the square of their sum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    max_grad_norm: NonNegative = 0.0
    """Norm of all gradients above which they are scaled down; 0: never."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""

    use_gc: bool = False
    """Take the mean off the gradient of each matrix."""


@final
@optimizer_registry.register
class AdaNormConfig(PackageOptimizerConfigBase):
    """Adam that corrects gradients whose norm falls below its history.

    Reference: Adaptive Gradient Norm Correction based Optimizer for CNNs, arXiv:2210.06364.

    >>> AdaNormConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaNorm"
    group_keys = ("adam_debias",)
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["adanorm"] = "adanorm"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.99)
    """Decay of the running averages of the gradient and of its square."""

    r: Beta = 0.95
    """Decay of the average norm; 0.9 to 0.99."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class AdaPNMConfig(PackageOptimizerConfigBase):
    """Adam with a positive and a negative momentum.

    Reference: Manipulating Stochastic Gradient Noise to Improve Generalization, arXiv:2103.17182.

    >>> AdaPNMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaPNM"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("maximize",)

    name: Literal["adapnm"] = "adapnm"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta, Fraction] = (0.9, 0.999, 1.0)
    """Decay of momentum and average square, and weight of the negative momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = True
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class AdaShiftConfig(PackageOptimizerConfigBase):
    """Adam whose second moment comes from older gradients than its first.

    Reference: Decorrelation and Convergence of Adaptive Learning Rate Methods, arXiv:1810.00143.

    >>> AdaShiftConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaShift"
    state_is_plain = False
    example = "keep_num: 2"
    group_keys = ("cautious",)
    for_all = ("maximize",)

    name: Literal["adashift"] = "adashift"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    keep_num: PositiveInt = 10
    """How many gradients the average spans."""

    eps: NonNegative = 1e-10
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""


@final
@optimizer_registry.register
class AdaSmoothConfig(PackageOptimizerConfigBase):
    """Scales by an average that smooths less where progress is steady.

    Reference: An Adaptive Learning Rate Method based on Effective Ratio, arXiv:2204.00825.

    >>> AdaSmoothConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaSmooth"
    for_all = ("maximize",)

    name: Literal["adasmooth"] = "adasmooth"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.5, 0.99)
    """Bounds between which the smoothing adapts."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AdaTAMConfig(PackageOptimizerConfigBase):
    """Adam that trusts a gradient the more, the better it agrees with the momentum.

    Reference: Torque-Aware Momentum, arXiv:2412.18790.

    >>> AdaTAMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdaTAM"
    for_all = ("maximize",)

    name: Literal["adatam"] = "adatam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    decay_rate: Beta = 0.9
    """Decay of how well gradient and momentum agree."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AdEMAMixConfig(PackageOptimizerConfigBase):
    """Adam with a second, much slower momentum beside the usual one.

    For long runs: the slow momentum remembers thousands of updates. Rates as for AdamW; give
    `t_alpha_beta3` the length of the run.

    Reference: Better, Faster, Older, arXiv:2409.03137.

    >>> AdEMAMixConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AdEMAMix"
    group_keys = ("cautious", "stable_adamw")
    for_all = ("maximize",)

    name: Literal["ademamix"] = "ademamix"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.9, 0.999, 0.9999)
    """Decay of the fast momentum, of the square, and of the slow momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    alpha: NonNegative = 5.0
    """Weight of the slow momentum, where the fast one has 1."""

    t_alpha_beta3: Positive | None = None
    """Updates in which alpha and beta3 grow; None: at once."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""

    stable_adamw: bool = False
    """Clip the update by its root mean square, as StableAdamW does."""


@final
@optimizer_registry.register
class ADOPTConfig(PackageOptimizerConfigBase):
    """Adam that divides by the average square of before, and so converges with any beta2.

    Converges with any beta2, where Adam may not; a drop-in for Adam with the same rates.

    Reference: Modified Adam Can Converge with Any β2 with the Optimal Rate, arXiv:2411.02853.

    >>> ADOPTConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ADOPT"
    group_keys = ("cautious", "stable_adamw")
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["adopt"] = "adopt"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.9999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""

    stable_adamw: bool = False
    """Clip the update by its root mean square, as StableAdamW does."""


@final
@optimizer_registry.register
class AggMoConfig(PackageOptimizerConfigBase):
    """Gradient descent with the mean of several momenta.

    Reference: Aggregated Momentum: Stability Through Passive Damping, arXiv:1804.00325.

    >>> AggMoConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AggMo"
    for_all = ("maximize",)

    name: Literal["aggmo"] = "aggmo"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.0, 0.9, 0.99)
    """Decay of each of the momenta that are averaged."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AidaConfig(PackageOptimizerConfigBase):
    """AdaBelief with gradient and momentum projected on each other.

    Reference: A DNN Optimizer that Improves over AdaBelief by Suppression of the Adaptive Stepsize
    Range, arXiv:2203.13273.

    >>> AidaConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Aida"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("degenerated_to_sgd", "k", "maximize", "n_sma_threshold", "xi")
    under_fsdp2 = "fails"

    name: Literal["aida"] = "aida"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the momentum and of the square of what projections leave."""

    k: NonNegativeInt = 2
    """How often gradient and momentum are projected on each other."""

    xi: NonNegative = 1e-20
    """Added where a projection divides."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    rectify: bool = False
    """Correct the step while the variance is not yet known, as RAdam does."""

    n_sma_threshold: PositiveInt = 5
    """Samples that the average must span before the variance is used."""

    degenerated_to_sgd: bool = True
    """Take a plain step while the variance is not yet known."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class AliceConfig(PackageOptimizerConfigBase):
    """Adam within a subspace that is tracked, and a correction for the rest.

    Reference: Towards Efficient Optimizer Design for LLM via Structured Fisher Approximation with a
    Low-Rank Extension, arXiv:2502.07752.

    >>> AliceConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Alice"
    at_most = ("leading_basis", "rank")
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["alice"] = "alice"

    lr: NonNegative = 0.02
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.9, 0.9, 0.999)
    """Decay of momentum, of the square, and of what the subspace rests on."""

    alpha: Beta = 0.3
    """Factor on the update within the subspace."""

    alpha_c: Beta = 0.4
    """Factor on what makes up for the rest of the gradient."""

    update_interval: PositiveInt = 200
    """Updates between two renewals of the subspace."""

    rank: PositiveInt = 256
    """Dimension of the subspace."""

    gamma: Positive = 1.01
    """Most that the norm of the update may grow in a step."""

    leading_basis: PositiveInt = 40
    """How many leading directions of the subspace are kept."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class AliGConfig(PackageOptimizerConfigBase):
    """Gradient descent whose step is the loss over the squared gradient.

    Reference: Adaptive Learning Rates for Interpolation with Gradients, arXiv:1906.05661.

    >>> AliGConfig(max_lr=0.5).max_lr
    0.5
    """

    target = "pytorch_optimizer:AliG"
    needs_closure = True
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["alig"] = "alig"

    max_lr: NonNegative | None = None
    """Largest rate; None: no bound."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    adjusted_momentum: bool = False
    """Momentum as in PyTorch instead of Nesterov's."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AmosConfig(PackageOptimizerConfigBase):
    """Adam-like, with a decay towards the scale that weights should have.

    Reference: An Adam-style Optimizer with Adaptive Weight Decay towards Model-Oriented Scale,
    arXiv:2210.11693.

    >>> AmosConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Amos"
    for_all = ("c_coef", "d_coef", "maximize")
    under_fsdp2 = "fails"

    name: Literal["amos"] = "amos"

    lr: NonNegative = 0.001
    """Learning rate."""

    beta: Beta = 0.999
    """Decay of the average square; 1 - beta about as large as the rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    extra_l2: NonNegative = 0.0
    """A further L2 penalty."""

    c_coef: NonNegative = 0.25
    """Factor on the decay of the rate with the square root of time."""

    d_coef: NonNegative = 0.25
    """Factor on the decay of the weight decay."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    eps: NonNegative = 1e-18
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class AnoConfig(PackageOptimizerConfigBase):
    """The sign of the momentum, and the size of the gradient: for noisy problems.

    Reference: Faster is Better in Noisy Landscape, arXiv:2508.18258.

    >>> AnoConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Ano"
    for_all = ("logarithmic_schedule", "maximize")

    name: Literal["ano"] = "ano"

    lr: NonNegative = 0.0001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.92, 0.99)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    logarithmic_schedule: bool = False
    """Let beta1 grow with the logarithm of time."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class APOLLOConfig(PackageOptimizerConfigBase):
    """AdamW whose step sizes come from a low-rank projection: little memory.

    Reference: SGD-like Memory, AdamW-level Performance, arXiv:2412.05270.

    >>> APOLLOConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:APOLLO"
    group_keys = ("rank", "update_proj_gap", "scale", "projection_type")
    for_all = ("maximize",)

    name: Literal["apollo"] = "apollo"

    lr: NonNegative = 0.01
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    scale_type: Literal["channel", "tensor"] = "tensor"
    """Whether the update is scaled by the tensor or by the channel."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    correct_bias: bool = True
    """Correct the averages for their start at 0."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    rank: PositiveInt | None = None
    """Rank of the projection of each matrix; None: no projection."""

    update_proj_gap: PositiveInt = 200
    """Updates between two projections."""

    scale: Positive = 1.0
    """Factor on the projected update."""

    projection_type: Literal["std", "reverse_std", "right", "left", "full", "random"] = "std"
    """On which side a matrix is projected; `random` needs no decomposition."""


@final
@optimizer_registry.register
class ApolloDQNConfig(PackageOptimizerConfigBase):
    """A quasi-Newton method with a diagonal curvature.

    Reference: Apollo: An Adaptive Parameter-wise Diagonal Quasi-Newton Method, arXiv:2009.13586.

    >>> ApolloDQNConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ApolloDQN"
    fills_none = ("init_lr",)
    lr_requires = ("warmup_steps", 0)
    for_all = ("maximize", "warmup_steps")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["apollodqn"] = "apollodqn"

    lr: NonNegative = 0.01
    """Learning rate."""

    init_lr: NonNegative | None = 1e-05
    """Learning rate at the start of the warm-up; None: lr / 1000."""

    beta: Beta = 0.9
    """Decay of the running average."""

    rebound: Literal["constant", "belief"] = "constant"
    """How the curvature is kept from 0."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decay_type: Literal["l2", "decoupled", "stable"] = "l2"
    """How weights decay."""

    warmup_steps: NonNegativeInt = 500
    """Updates in which the rate grows to its value."""

    eps: NonNegative = 0.0001
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class POASGDConfig(PackageOptimizerConfigBase):
    """Gradient descent whose rate follows an estimate of the smoothness.

    Reference: Adaptive Gradient Descent without Descent, arXiv:1910.09529.

    >>> POASGDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ASGD"
    lr_zero = "never"
    lr_is_written = True
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["po_asgd"] = "po_asgd"

    lr: Positive = 0.01
    """Learning rate."""

    amplifier: NonNegative = 0.02
    """How much the rate may grow in one step."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    theta: NonNegative = 1.0
    """First ratio of two rates in sequence."""

    dampening: NonNegative = 1.0
    """Factor on the bound that smoothness sets to the rate."""

    eps: NonNegative = 1e-05
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class AvaGradConfig(PackageOptimizerConfigBase):
    """Adam that divides by the average square of before, with a rate free of eps.

    Reference: Domain-independent Dominance of Adaptive Methods, arXiv:1912.01823.

    >>> AvaGradConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:AvaGrad"
    group_keys = ("adam_debias",)
    for_all = ("maximize",)

    name: Literal["avagrad"] = "avagrad"

    lr: NonNegative = 0.1
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 0.1
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class BCOSConfig(PackageOptimizerConfigBase):
    """Step sizes that are optimal for blocks of weights.

    Reference: Stochastic Approximation with Block Coordinate Optimal Stepsizes, arXiv:2507.08963.

    >>> BCOSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:BCOS"
    for_all = ("maximize", "mode", "simple_cond")

    name: Literal["bcos"] = "bcos"

    lr: NonNegative = 0.001
    """Learning rate."""

    beta: Beta = 0.9
    """Decay of the running average."""

    beta2: Beta | None = None
    """Decay of the second moment; None: `beta`."""

    mode: Literal["g", "m", "c"] = "c"
    """What is followed: `g` gradient, `m` momentum, `c` the conditional estimator."""

    simple_cond: bool = False
    """Use the simpler of the conditional estimators."""

    weight_decay: NonNegative = 0.1
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class CAMEConfig(PackageOptimizerConfigBase):
    """Adafactor that trusts an update the less, the more it wavers.

    For large models with little memory: Adafactor's state, with steadier updates.

    Reference: Confidence-guided Adaptive Memory Efficient Optimization, ACL 2023.

    >>> CAMEConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:CAME"
    for_all = ("clip_threshold", "eps1", "eps2", "maximize")
    under_fsdp2 = "fails"

    name: Literal["came"] = "came"

    lr: NonNegative = 0.0002
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.9, 0.999, 0.9999)
    """Decay of momentum, of the square, and of the squared residual."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    clip_threshold: NonNegative = 1.0
    """Largest root mean square of an update."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps1: NonNegative = 1e-30
    """Added to the squared gradients."""

    eps2: NonNegative = 1e-16
    """Added to the squared residuals."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class CondaConfig(PackageOptimizerConfigBase):
    """Adam in a basis that comes from the momentum.

    Reference: Column-Normalized Adam for Training Large Language Models Faster, arXiv:2509.24218.

    >>> CondaConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Conda"
    state_is_plain = False
    for_all = ("maximize",)
    under_fsdp2 = "differs"

    name: Literal["conda"] = "conda"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    update_proj_gap: PositiveInt = 2000
    """Updates between two projections."""

    scale: Positive = 1.0
    """Factor on the projected update."""

    projection_type: Literal["std", "reverse_std", "right", "left", "full", "random"] = "std"
    """On which side of a matrix it is projected."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class DAdaptAdaGradConfig(PackageOptimizerConfigBase):
    """AdaGrad that finds its rate by itself.

    Reference: Learning-Rate-Free Learning by D-Adaptation, arXiv:2301.07733.

    >>> DAdaptAdaGradConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DAdaptAdaGrad"
    licence = "MIT"
    lr_scope = "optimizer"
    for_all = ("d0", "maximize")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["dadaptadagrad"] = "dadaptadagrad"

    lr: NonNegative = 1.0
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    d0: Positive = 1e-06
    """First guess of the distance to the solution; rarely of importance."""

    growth_rate: Positive | None = None
    """Most that the distance may grow in a step; None: any."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 0.0
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class DAdaptAdamConfig(PackageOptimizerConfigBase):
    """Adam that finds its rate by itself.

    Finds the rate by itself: leave `lr` at 1 and let a schedule multiply it.

    Reference: Learning-Rate-Free Learning by D-Adaptation, arXiv:2301.07733.

    >>> DAdaptAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DAdaptAdam"
    licence = "MIT"
    lr_scope = "optimizer"
    for_all = ("d0", "maximize")
    under_fsdp2 = "fails"

    name: Literal["dadaptadam"] = "dadaptadam"

    lr: Positive = 1.0
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    d0: Positive = 1e-06
    """First guess of the distance to the solution; rarely of importance."""

    growth_rate: Positive | None = None
    """Most that the distance may grow in a step; None: any."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    bias_correction: bool = False
    """Correct the averages for their start at 0."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class DAdaptAdanConfig(PackageOptimizerConfigBase):
    """Adan that finds its rate by itself.

    Reference: Learning-Rate-Free Learning by D-Adaptation, arXiv:2301.07733.

    >>> DAdaptAdanConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DAdaptAdan"
    licence = "MIT"
    lr_scope = "optimizer"
    for_all = ("d0", "maximize")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["dadaptadan"] = "dadaptadan"

    lr: NonNegative = 1.0
    """Learning rate."""

    betas: tuple[Beta, Beta, Beta] = (0.98, 0.92, 0.99)
    """Decay of the gradient, of its change, and of the square of their sum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    d0: Positive = 1e-06
    """First guess of the distance to the solution; rarely of importance."""

    growth_rate: Positive | None = None
    """Most that the distance may grow in a step; None: any."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class DAdaptLionConfig(PackageOptimizerConfigBase):
    """Lion that finds its rate by itself.

    Lion that finds its rate by itself: leave `lr` at 1.

    Reference: Learning-Rate-Free Learning by D-Adaptation, arXiv:2301.07733.

    >>> DAdaptLionConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DAdaptLion"
    licence = "MIT"
    lr_scope = "optimizer"
    for_all = ("d0", "maximize")
    under_fsdp2 = "fails"

    name: Literal["dadaptlion"] = "dadaptlion"

    lr: Positive = 1.0
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Weight of the momentum in the update, and its decay."""

    d0: Positive = 1e-06
    """First guess of the distance to the solution; rarely of importance."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class DAdaptSGDConfig(PackageOptimizerConfigBase):
    """Gradient descent that finds its rate by itself.

    SGD that finds its rate by itself: leave `lr` at 1.

    Reference: Learning-Rate-Free Learning by D-Adaptation, arXiv:2301.07733.

    >>> DAdaptSGDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DAdaptSGD"
    licence = "MIT"
    lr_scope = "optimizer"
    for_all = ("d0", "maximize")
    under_fsdp2 = "fails"

    name: Literal["dadaptsgd"] = "dadaptsgd"

    lr: Positive = 1.0
    """Learning rate."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    d0: Positive = 1e-06
    """First guess of the distance to the solution; rarely of importance."""

    growth_rate: Positive | None = None
    """Most that the distance may grow in a step; None: any."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class DASHConfig(PackageOptimizerConfigBase):
    """Shampoo in batched blocks, with fast inverse roots.

    Reference: Faster Shampoo via Batched Block Preconditioning and Efficient Inverse-Root Solvers,
    arXiv:2602.02016.

    >>> DASHConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DASH"
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["dash"] = "dash"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.95)
    """Decay of the momentum and of Shampoo's statistics."""

    grafting_beta: Beta | None = None
    """Decay of the statistics of grafting; None: beta2."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    block_size: PositiveInt = 1024
    """Largest block of a matrix that is treated as one."""

    precondition_frequency: PositiveInt = 10
    """Updates between two renewals of the preconditioner."""

    start_preconditioning_step: PositiveInt = 1
    """First update with a preconditioner."""

    inverse_root_method: Literal["newton_db", "eigh"] = "newton_db"
    """How inverse roots are computed."""

    matrix_scaling: Literal["power", "frobenius"] = "power"
    """How a matrix is scaled before the iteration."""

    newton_steps: PositiveInt = 10
    """Iterations of each root."""

    power_iteration_steps: PositiveInt = 10
    """Iterations that find the largest eigenvalue."""

    power_iteration_vectors: PositiveInt = 16
    """Vectors with which they start."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    nesterov: bool = True
    """Take the gradient one step ahead."""

    correct_bias: bool = True
    """Correct the averages for their start at 0."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    matrix_eps: Positive = 1e-10
    """Added to the diagonal of each statistic before its root."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class DiffGradConfig(PackageOptimizerConfigBase):
    """Adam that steps less where gradients hardly change.

    Reference: An Optimization Method for Convolutional Neural Networks, arXiv:1909.11015.

    >>> DiffGradConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DiffGrad"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("degenerated_to_sgd", "maximize", "n_sma_threshold")
    takes_tensor_lr = False

    name: Literal["diffgrad"] = "diffgrad"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    rectify: bool = False
    """Correct the step while the variance is not yet known, as RAdam does."""

    n_sma_threshold: PositiveInt = 5
    """Samples that the average must span before the variance is used."""

    degenerated_to_sgd: bool = True
    """Take a plain step while the variance is not yet known."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class DualAdamConfig(PackageOptimizerConfigBase):
    """Adam mixed with its inverse, which fades.

    Reference: Combining Adam and its Inverse Counterpart to Enhance Generalization of Deep Learning
    Optimizers, arXiv:2603.07122.

    >>> DualAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:DualAdam"
    for_all = ("maximize",)

    name: Literal["dualadam"] = "dualadam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    switch_rate: Fraction = 0.01
    """How fast the inverse part fades, each update."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class EmoFactConfig(PackageOptimizerConfigBase):
    """Factored averages, scaled by how the loss moves.

    >>> EmoFactConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:EmoFact"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["emofact"] = "emofact"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the averages by row and column, and of those of vectors."""

    use_shadow: bool = False
    """Keep a shadow of the weights to return to."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class EmoLynxConfig(PackageOptimizerConfigBase):
    """The sign of a momentum, scaled by how the loss moves.

    >>> EmoLynxConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:EmoLynx"
    for_all = ("maximize",)

    name: Literal["emolynx"] = "emolynx"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.99)
    """Weight of the momentum in the update, and its decay."""

    use_shadow: bool = False
    """Keep a shadow of the weights to return to."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class EmoNaviConfig(PackageOptimizerConfigBase):
    """Adam scaled by how the loss moves.

    >>> EmoNaviConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:EmoNavi"
    for_all = ("maximize",)

    name: Literal["emonavi"] = "emonavi"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    use_shadow: bool = False
    """Keep a shadow of the weights to return to."""

    shadow_weight: Beta = 0.05
    """How far a correction goes to the shadow weights."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class EXAdamConfig(PackageOptimizerConfigBase):
    """Adam with moments that correct each other.

    Reference: The Power of Adaptive Cross-Moments, arXiv:2412.20302.

    >>> EXAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:EXAdam"
    for_all = ("maximize",)

    name: Literal["exadam"] = "exadam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class FAdamConfig(PackageOptimizerConfigBase):
    """Adam as natural gradient descent with a diagonal Fisher information.

    Reference: Adam is a natural gradient optimizer using diagonal empirical Fisher information,
    arXiv:2405.12807.

    >>> FAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:FAdam"
    for_all = ("fim_dtype", "maximize", "momentum_dtype")
    under_fsdp2 = "fails"

    name: Literal["fadam"] = "fadam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the natural gradient and of the diagonal Fisher information."""

    weight_decay: NonNegative = 0.1
    """Weight decay."""

    clip: Positive = 1.0
    """Largest root mean square of gradient and decay."""

    p: Positive = 0.5
    """Power of the Fisher information."""

    eps: NonNegative = 1e-08
    """Largest value of the adaptive epsilon."""

    momentum_dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """Number format of the momentum."""

    fim_dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """Number format of the Fisher information."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    eps_2: NonNegative = 0.01
    """Factor on the gradient in the adaptive epsilon."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class FiraConfig(PackageOptimizerConfigBase):
    """AdamW of low rank, with a correction for the rest of the gradient.

    Reference: Can We Achieve Full-rank Training of LLMs Under Low-rank Constraint?,
    arXiv:2410.01623.

    >>> FiraConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Fira"
    group_keys = ("rank", "update_proj_gap", "scale", "projection_type")
    for_all = ("maximize",)

    name: Literal["fira"] = "fira"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    rank: PositiveInt | None = None
    """Rank of the projection of each matrix; None: no projection."""

    update_proj_gap: PositiveInt = 200
    """Updates between two projections."""

    scale: Positive = 1.0
    """Factor on the projected update."""

    projection_type: Literal["std", "reverse_std", "right", "left", "full", "random"] = "std"
    """On which side a matrix is projected; `random` needs no decomposition."""


@final
@optimizer_registry.register
class FlashAdamWConfig(PackageOptimizerConfigBase):
    """AdamW with 8-bit state.

    Reference: FlashOptim: Optimizers for Memory-Efficient Training, arXiv:2602.23349.

    >>> FlashAdamWConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:FlashAdamW"
    for_all = ("check_numerics", "compress_state_dict", "master_weight_bits", "maximize")
    under_fsdp2 = "fails"

    name: Literal["flashadamw"] = "flashadamw"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    decouple_lr: bool = False
    """Scale the decay by the rate as a share of the first one."""

    quantize: bool = True
    """Keep the moments as 8-bit numbers."""

    compress_state_dict: bool = True
    """Save the moments as 8-bit numbers too."""

    master_weight_bits: Literal[24, 32] | None = None
    """Precision of low-precision weights in the state."""

    check_numerics: bool = False
    """Raise where an update is too small for the number format."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class FOCUSConfig(PackageOptimizerConfigBase):
    """The sign of a momentum, drawn to the average of the weights.

    Reference: First Order Concentrated Updating Scheme, arXiv:2501.12243.

    >>> FOCUSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:FOCUS"
    for_all = ("maximize",)

    name: Literal["focus"] = "focus"

    lr: NonNegative = 0.01
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the momentum and of the average of the weights."""

    gamma: Beta = 0.1
    """How strongly weights are drawn to their average."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class FTRLConfig(PackageOptimizerConfigBase):
    """Follows the regularised leader: sparse weights for linear models.

    Reference: Ad Click Prediction: a View from the Trenches, KDD 2013.

    >>> FTRLConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:FTRL"
    lr_zero = "never"
    for_all = ("maximize",)

    name: Literal["ftrl"] = "ftrl"

    lr: Positive = 0.001
    """Learning rate."""

    lr_power: Annotated[Finite, Le(0)] = -0.5
    """Power of the accumulated squares."""

    beta: Beta = 0.0
    """Added to the root of the sum of squares."""

    lambda_1: NonNegative = 0.0
    """Factor of the L1 penalty."""

    lambda_2: NonNegative = 0.0
    """Factor of the L2 penalty."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class GaLoreConfig(PackageOptimizerConfigBase):
    """AdamW on gradients that are projected to a low rank: little memory.

    Reference: Memory-Efficient LLM Training by Gradient Low-Rank Projection, arXiv:2403.03507.

    >>> GaLoreConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:GaLore"
    group_keys = ("rank", "update_proj_gap", "scale", "projection_type")
    for_all = ("maximize",)

    name: Literal["galore"] = "galore"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    rank: PositiveInt | None = None
    """Rank of the projection of each matrix; None: no projection."""

    update_proj_gap: PositiveInt = 200
    """Updates between two projections."""

    scale: Positive = 1.0
    """Factor on the projected update."""

    projection_type: Literal["std", "reverse_std", "right", "left", "full", "random"] = "std"
    """On which side a matrix is projected; `random` needs no decomposition."""


@final
@optimizer_registry.register
class GramsConfig(PackageOptimizerConfigBase):
    """The sign of the gradient, and the size of the momentum.

    Reference: Gradient Descent with Adaptive Momentum Scaling, arXiv:2412.17107.

    >>> GramsConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Grams"
    for_all = ("maximize",)

    name: Literal["grams"] = "grams"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class GravityConfig(PackageOptimizerConfigBase):
    """Gradient descent with a velocity, after the motion of a falling body.

    Reference: A Kinematic Approach on Optimization in Deep Learning, arXiv:2101.09192.

    >>> GravityConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Gravity"
    lr_zero = "not_first"
    for_all = ("maximize",)
    under_fsdp2 = "differs"

    name: Literal["gravity"] = "gravity"

    lr: Positive = 0.01
    """Learning rate."""

    alpha: Beta = 0.01
    """Spread of the first velocities."""

    beta: Fraction = 0.9
    """Decay of the running average of the velocity."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class GrokFastAdamWConfig(PackageOptimizerConfigBase):
    """AdamW that amplifies the slow part of the gradients.

    Reference: Accelerated Grokking by Amplifying Slow Gradients, arXiv:2405.20233.

    >>> GrokFastAdamWConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:GrokFastAdamW"
    for_all = ("maximize", "normalize_lr")

    name: Literal["grokfastadamw"] = "grokfastadamw"

    lr: NonNegative = 0.0001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.99)
    """Decay of the running averages of the gradient and of its square."""

    grokfast: bool = True
    """Amplify the slow part of the gradients."""

    grokfast_alpha: Beta = 0.98
    """Decay of the average that tells the slow part."""

    grokfast_lamb: NonNegative = 2.0
    """Factor on the slow part."""

    grokfast_after_step: NonNegativeInt = 0
    """Updates before the amplification begins."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    normalize_lr: bool = True
    """Divide the rate by 1 + `grokfast_lamb`."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class KateConfig(PackageOptimizerConfigBase):
    """AdaGrad without a root, indifferent to the scale of the data.

    Reference: Remove that Square Root: A New Efficient Scale-Invariant Version of AdaGrad,
    arXiv:2403.02648.

    >>> KateConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Kate"
    for_all = ("maximize",)

    name: Literal["kate"] = "kate"

    lr: NonNegative = 0.001
    """Learning rate."""

    delta: Beta = 0.0
    """A small number added to the accumulated squares."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class KronConfig(PackageOptimizerConfigBase):
    """Preconditioned gradient descent with Kronecker factors (PSGD).

    For hard problems where a step may cost more: rates a third of Adam's, and the preconditioner
    needs some hundred updates to settle.

    Reference: Preconditioned Stochastic Gradient Descent, arXiv:1512.04202.

    >>> KronConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Kron"
    group_keys = ("precondition_init_scale", "precondition_lr")
    for_all = ("balance_prob", "maximize", "pre_conditioner_update_probability")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["kron"] = "kron"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    pre_conditioner_update_probability: Fraction | None = None
    """Chance that an update renews the preconditioner; None: falls from 1 to 0.03."""

    max_size_triangular: PositiveInt = 8192
    """Largest dimension with a triangular preconditioner."""

    min_ndim_triangular: PositiveInt = 2
    """Least number of dimensions for triangular preconditioners."""

    memory_save_mode: Literal["one_diag", "smart_one_diag", "all_diag"] | None = None
    """Which preconditioners are diagonal; None: only the largest."""

    momentum_into_precondition_update: bool = True
    """Learn the preconditioner from the momentum."""

    mu_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None
    """Number format of the momentum; None: that of the weights."""

    precondition_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = "float32"
    """Number format of the preconditioner."""

    balance_prob: Fraction = 0.01
    """Chance that an update balances the preconditioners."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    precondition_init_scale: Positive = 1.0
    """Scale of the first preconditioners."""

    precondition_lr: Positive = 0.1
    """Learning rate of the preconditioners."""


@final
@optimizer_registry.register
class LambConfig(PackageOptimizerConfigBase):
    """Adam whose rate follows the ratio of weights to updates, by layer.

    For transformers with batches of thousands; rates grow with the root of the batch.

    Reference: Large Batch Optimization for Deep Learning, arXiv:1904.00962.

    >>> LambConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Lamb"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("degenerated_to_sgd", "max_grad_norm", "maximize", "n_sma_threshold", "pre_norm")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["lamb"] = "lamb"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    rectify: bool = False
    """Correct the step while the variance is not yet known, as RAdam does."""

    degenerated_to_sgd: bool = False
    """Take a plain step while the variance is not yet known."""

    n_sma_threshold: PositiveInt = 5
    """Samples that the average must span before the variance is used."""

    grad_averaging: bool = True
    """Weigh a new gradient by 1 - beta1."""

    max_grad_norm: NonNegative = 1.0
    """Norm of all gradients above which they are scaled down; 0: never."""

    adam: bool = False
    """Use a trust ratio of 1 everywhere, which is Adam."""

    pre_norm: bool = False
    """Scale the gradients by their common norm first."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class LaPropConfig(PackageOptimizerConfigBase):
    """Momentum of gradients that are already scaled, so that the two do not mix.

    Where Adam is unstable: momentum and adaptation do not mix.

    Reference: Separating Momentum and Adaptivity in Adam, arXiv:2002.04839.

    >>> LaPropConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:LaProp"
    group_keys = ("cautious",)
    for_all = ("maximize", "steps_before_using_centered")

    name: Literal["laprop"] = "laprop"

    lr: NonNegative = 0.0004
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    centered: bool = False
    """Divide by the variance instead of the average square."""

    steps_before_using_centered: NonNegativeInt = 10
    """Updates before `centered` holds."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-15
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""


@final
@optimizer_registry.register
class LARSConfig(PackageOptimizerConfigBase):
    """Gradient descent whose rate follows the ratio of weights to gradients, by layer.

    For convolutional networks with batches of thousands; leave norms and biases out with groups.

    Reference: Large Batch Training of Convolutional Networks, arXiv:1708.03888.

    >>> LARSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:LARS"
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["lars"] = "lars"

    lr: NonNegative = 0.001
    """Learning rate."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    dampening: Fraction = 0.0
    """Share of the gradient that is kept out of the momentum."""

    trust_coefficient: NonNegative = 0.001
    """Factor on the trust ratio."""

    nesterov: bool = False
    """Take the gradient one step ahead."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class LionConfig(PackageOptimizerConfigBase):
    """The sign of a momentum: simple, with half of Adam's state.

    Half of Adam's state. Rates a third to a tenth of AdamW's, decay three to ten times as large;
    better the larger the batch.

    Reference: Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675.

    >>> LionConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Lion"
    group_keys = ("adanorm", "adanorm_r", "cautious", "use_gc")
    for_all = ("maximize",)

    name: Literal["lion"] = "lion"

    lr: NonNegative = 0.0001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.99)
    """Weight of the momentum in the update, and its decay."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""

    use_gc: bool = False
    """Take the mean off the gradient of each matrix."""


@final
@optimizer_registry.register
class LoRARiteConfig(PackageOptimizerConfigBase):
    """For LoRA: updates that do not depend on how a product is split.

    Reference: LoRA Done RITE: Robust Invariant Transformation Equilibration for LoRA Optimization,
    arXiv:2410.20625.

    >>> LoRARiteConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:LoRARite"
    example = "update_skipping: 0.0"
    needs_dimensions = 2
    for_all = ("eps", "maximize", "maybe_inf_to_nan")
    pairs_by = ("lora_l_dim", "lora_r_dim")
    state_like_param = ()
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["lorarite"] = "lorarite"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    relative_epsilon: bool = False
    """Measure `eps` by the largest eigenvalue."""

    clip_unmagnified_grad: NonNegative = 1.0
    """Largest norm of the gradients; 0 does not clip."""

    update_capping: NonNegative = 0.0
    """Largest root mean square of an update; 0: any."""

    update_skipping: NonNegative = 1.0
    """Root mean square above which an update is left out; 0: never."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    apply_escape: bool = False
    """Correct the second moment when its basis turns."""

    lora_l_dim: Integer = 0
    """The dimension of the rank in left factors."""

    lora_r_dim: Integer = -1
    """The dimension of the rank in right factors."""

    maybe_inf_to_nan: bool = True
    """Count infinite statistics as nan, so that the update is skipped."""

    balance_param: bool = False
    """Make the two factors of each LoRA pair equally large after an update."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class MADGRADConfig(PackageOptimizerConfigBase):
    """Dual averaging of gradients, with momentum and adaptive scaling.

    For problems where SGD generalises best and needs a schedule; decay is best small or 0.

    Reference: A Momentumized, Adaptive, Dual Averaged Gradient Method for Stochastic,
    arXiv:2101.11075.

    >>> MADGRADConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:MADGRAD"
    licence = "MIT"
    for_all = ("maximize",)

    name: Literal["madgrad"] = "madgrad"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.9
    """How far weights stay where they were."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class MARSConfig(PackageOptimizerConfigBase):
    """Adam, Lion or Shampoo on gradients whose noise is reduced.

    For language models: corrects the noise of the gradient. Rates about three times those of AdamW.

    Reference: Unleashing the Power of Variance Reduction for Training Large Models,
    arXiv:2411.10438.

    >>> MARSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:MARS"
    for_all = ("lr_1d", "maximize")

    name: Literal["mars"] = "mars"

    lr: Positive = 0.003
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.95, 0.99)
    """Decay of the running averages of the gradient and of its square."""

    gamma: NonNegative = 0.025
    """Strength of the correction."""

    mars_type: Literal["adamw", "lion", "shampoo"] = "adamw"
    """Which optimizer the corrected gradient goes to."""

    optimize_1d: bool = False
    """Treat vectors like matrices, instead of leaving them to AdamW."""

    lr_1d: NonNegative = 0.003
    """Learning rate of AdamW, for vectors."""

    betas_1d: tuple[Beta, Beta] = (0.9, 0.95)
    """The `betas` of AdamW, for vectors."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decay_1d: NonNegative = 0.1
    """Weight decay of vectors."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    cautious: bool = False
    """Leave out what goes against the present gradient."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class MSVAGConfig(PackageOptimizerConfigBase):
    """Momentum damped where gradients vary.

    Reference: Dissecting Adam: The Sign, Magnitude and Variance of Stochastic Gradients,
    arXiv:1705.07774.

    >>> MSVAGConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:MSVAG"
    for_all = ("maximize",)

    name: Literal["msvag"] = "msvag"

    lr: NonNegative = 0.01
    """Learning rate."""

    beta: Fraction = 0.9
    """Decay of the running averages."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class POMuonConfig(PackageOptimizerConfigBase):
    """Momentum made orthogonal, for matrices and convolutions, and AdamW for the rest.

    Matrices and convolutions get orthogonal updates, the other parameters AdamW. Give embeddings
    and the head to AdamW with a group that has `use_muon: false`. In 2-D alone, `muon` is torch's
    own.

    Reference: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.

    >>> POMuonConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Muon"
    splits_by_dimensions = True
    group_keys = ("use_muon", "cautious")
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["po_muon"] = "po_muon"

    lr: NonNegative = 0.02
    """Learning rate."""

    momentum: Beta = 0.95
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    nesterov: bool = True
    """Take the gradient one step ahead."""

    ns_steps: Annotated[int, Ge(1), Lt(100), Strict()] = 5
    """Newton-Schulz iterations, below 100."""

    ns_coeffs: Literal["original", "quintic", "polar_express", "polar_express_safer"] = "original"
    """Which coefficients the Newton-Schulz iterations have."""

    use_adjusted_lr: bool = False
    """Adjust the rate to the shape, so that rates found for AdamW hold."""

    adamw_lr: NonNegative = 0.0003
    """Learning rate of AdamW, for the parameters that it takes."""

    adamw_betas: tuple[Beta, Beta] = (0.9, 0.95)
    """The `betas` of AdamW, for the parameters that it takes."""

    adamw_wd: NonNegative = 0.0
    """The weight decay of AdamW, for the parameters that it takes."""

    adamw_eps: NonNegative = 1e-10
    """The `eps` of AdamW, for the parameters that it takes."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    ns_method: Literal["newton_schulz", "gram_newton_schulz"] = "newton_schulz"
    """How the Newton-Schulz iterations are arranged."""

    ns_reset_steps: tuple[NonNegativeInt, ...] = (2,)
    """Iterations after which to start anew."""

    use_muon: bool | None = None
    """Orthogonal updates (true) or AdamW (false); None: by dimensions, 2 and more or fewer."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""


@final
@optimizer_registry.register
class MuonClipConfig(PackageOptimizerConfigBase):
    """Muon that clips the weights of attention where logits grow.

    Reference: Stable Training with Weight Clipping, arXiv:2507.20534.

    >>> MuonClipConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:MuonClip"
    needs_with = ("qk_clip", "attention_name")
    splits_by_dimensions = True
    group_keys = ("use_muon", "cautious", "qk_clip", "attention_name", "weight_decouple")
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["muonclip"] = "muonclip"

    lr: NonNegative = 0.02
    """Learning rate."""

    momentum: Beta = 0.95
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    qk_clip_threshold: Positive = 100.0
    """Largest logit of an attention head."""

    qk_clip_alpha: Fraction = 0.5
    """Share of the clipping that queries take; keys take the rest."""

    ns_steps: Annotated[int, Ge(1), Lt(100), Strict()] = 5
    """Newton-Schulz iterations, below 100."""

    ns_coeffs: Literal["original", "quintic", "polar_express", "polar_express_safer"] = "original"
    """Which coefficients the Newton-Schulz iterations have."""

    ns_method: Literal["newton_schulz", "gram_newton_schulz"] = "newton_schulz"
    """How the Newton-Schulz iterations are arranged."""

    ns_reset_steps: tuple[NonNegativeInt, ...] = (2,)
    """Iterations after which to start anew."""

    adamw_lr: NonNegative = 0.0003
    """Learning rate of AdamW, for the parameters that it takes."""

    adamw_betas: tuple[Beta, Beta] = (0.9, 0.95)
    """The `betas` of AdamW, for the parameters that it takes."""

    adamw_wd: NonNegative = 0.0
    """The weight decay of AdamW, for the parameters that it takes."""

    adamw_eps: NonNegative = 1e-10
    """The `eps` of AdamW, for the parameters that it takes."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    use_adjusted_lr: bool = True
    """Adjust the rate to the shape, so that rates found for AdamW hold."""

    use_muon: bool | None = None
    """Orthogonal updates (true) or AdamW (false); None: by dimensions, 2 and more or fewer."""

    cautious: bool = False
    """Leave out of an update what goes against the present gradient."""

    qk_clip: Literal["query", "key", "query_rotary", "key_rotary"] | None = None
    """What a group projects to, to be clipped by `step(attention_max_logits=...)`."""

    attention_name: str | None = None
    """The attention layer of the group: a key of `attention_max_logits`."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""


@final
@optimizer_registry.register
class NorMuonConfig(PackageOptimizerConfigBase):
    """Muon whose rows are scaled to the same size.

    Reference: NorMuon: Making Muon more efficient and scalable, arXiv:2510.05491.

    >>> NorMuonConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:NorMuon"
    splits_by_dimensions = True
    group_keys = ("use_muon",)
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["normuon"] = "normuon"

    lr: NonNegative = 0.02
    """Learning rate."""

    momentum: Beta = 0.95
    """Decay of the momentum."""

    beta2: Beta = 0.95
    """Decay of the average square of each row of the update."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    nesterov: bool = True
    """Take the gradient one step ahead."""

    ns_steps: Annotated[int, Ge(1), Lt(100), Strict()] = 5
    """Newton-Schulz iterations, below 100."""

    ns_coeffs: Literal["original", "quintic", "polar_express", "polar_express_safer"] = "original"
    """Which coefficients the Newton-Schulz iterations have."""

    update_scale: Literal["preserve_norm", "match_rms"] = "preserve_norm"
    """Whether the update keeps its norm or gets that of AdamW."""

    use_adjusted_lr: bool = False
    """Adjust the rate to the shape, so that rates found for AdamW hold."""

    adamw_lr: NonNegative = 0.0003
    """Learning rate of AdamW, for the parameters that it takes."""

    adamw_betas: tuple[Beta, Beta] = (0.9, 0.95)
    """The `betas` of AdamW, for the parameters that it takes."""

    adamw_wd: NonNegative = 0.0
    """The weight decay of AdamW, for the parameters that it takes."""

    adamw_eps: NonNegative = 1e-10
    """The `eps` of AdamW, for the parameters that it takes."""

    eps: NonNegative = 1e-10
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    use_muon: bool | None = None
    """Orthogonal updates (true) or AdamW (false); None: by dimensions, 2 and more or fewer."""


@final
@optimizer_registry.register
class NovoGradConfig(PackageOptimizerConfigBase):
    """Adam with one second moment for each layer.

    For speech and other models whose layers differ in scale; little memory.

    Reference: Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep
    Networks, arXiv:1905.11286.

    >>> NovoGradConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:NovoGrad"
    group_keys = ("adam_debias",)
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["novograd"] = "novograd"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.95, 0.98)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    grad_averaging: bool = False
    """Weigh a new gradient by 1 - beta1."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class PAdamConfig(PackageOptimizerConfigBase):
    """Adam with a smaller power of the denominator: between it and SGD.

    Reference: Closing the Generalization Gap of Adaptive Gradient Methods in Training Deep Neural
    Networks, arXiv:1806.06763.

    >>> PAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:PAdam"
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["padam"] = "padam"

    lr: NonNegative = 0.1
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    partial: Annotated[Positive, Le(1)] = 0.25
    """Power of the denominator: half of it is Adam, near 0 is SGD."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class PIDConfig(PackageOptimizerConfigBase):
    """Gradient descent steered like a controller: the gradient, its sum, its change.

    Reference: A PID Controller Approach for Stochastic Optimization of Deep Networks, CVPR 2018.

    >>> PIDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:PID"
    for_all = ("maximize",)

    name: Literal["pid"] = "pid"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    dampening: Fraction = 0.0
    """Share of the gradient that is kept out of the momentum."""

    derivative: NonNegative = 10.0
    """Weight of the change of the gradient."""

    integral: NonNegative = 5.0
    """Weight of the sum of the gradients."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class PNMConfig(PackageOptimizerConfigBase):
    """Gradient descent with a positive and a negative momentum.

    Reference: Manipulating Stochastic Gradient Noise to Improve Generalization, arXiv:2103.17182.

    >>> PNMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:PNM"
    for_all = ("eps", "maximize")

    name: Literal["pnm"] = "pnm"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Fraction] = (0.9, 1.0)
    """Decay of the momentum, and weight of the negative momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class ProdigyConfig(PackageOptimizerConfigBase):
    """Adam that finds its rate by itself, faster than D-Adaptation.

    Finds the rate by itself: leave `lr` at 1, tune `d_coef` if anything; with a warm-up,
    `safeguard_warmup`.

    Reference: An Expeditiously Adaptive Parameter-Free Learner, arXiv:2306.06101.

    >>> ProdigyConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Prodigy"
    lr_scope = "optimizer"
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["prodigy"] = "prodigy"

    lr: Positive = 1.0
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    beta3: Beta | None = None
    """Decay of the estimated distance; None: the root of beta2."""

    d0: Positive = 1e-06
    """First guess of the distance to the solution; rarely of importance."""

    d_coef: Positive = 1.0
    """Factor on the estimated distance: the one to tune, from 0.5 to 2."""

    growth_rate: Positive | None = None
    """Most that the distance may grow in a step; None: any."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    bias_correction: bool = False
    """Correct the averages for their start at 0."""

    safeguard_warmup: bool = False
    """Keep a warm-up from spoiling the estimate; for runs that have one."""

    eps: NonNegative | None = 1e-08
    """Added to the denominator; None: an arctangent in place of the division."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class QHAdamConfig(PackageOptimizerConfigBase):
    """Adam that mixes its averages with the present gradient.

    Reference: Quasi-hyperbolic momentum and Adam for deep learning, arXiv:1810.06801.

    >>> QHAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:QHAdam"
    for_all = ("maximize",)

    name: Literal["qhadam"] = "qhadam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    nus: tuple[Fraction, Fraction] = (1.0, 1.0)
    """Weights of the averages against the present gradient."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class QHMConfig(PackageOptimizerConfigBase):
    """Gradient descent that mixes its momentum with the present gradient.

    Reference: Quasi-hyperbolic momentum and Adam for deep learning, arXiv:1810.06801.

    >>> QHMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:QHM"
    for_all = ("maximize",)

    name: Literal["qhm"] = "qhm"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    nu: Fraction = 1.0
    """Weight of the momentum against the present gradient."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class RACSConfig(PackageOptimizerConfigBase):
    """Gradients scaled by row and by column: almost no state.

    Reference: Towards Efficient Optimizer Design for LLM via Structured Fisher Approximation with a
    Low-Rank Extension, arXiv:2502.07752.

    >>> RACSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:RACS"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["racs"] = "racs"

    lr: NonNegative = 0.001
    """Learning rate."""

    beta: Beta = 0.9
    """Decay of the running average."""

    alpha: Beta = 0.05
    """Factor on the update."""

    gamma: Positive = 1.01
    """Most that the norm of the update may grow in a step."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class PORAdamConfig(PackageOptimizerConfigBase):
    """Adam with a rectified start: no warm-up needed.

    Adam without a warm-up; `radam` is torch's own.

    Reference: On the Variance of the Adaptive Learning Rate and Beyond, arXiv:1908.03265.

    >>> PORAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:RAdam"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("degenerated_to_sgd", "maximize", "n_sma_threshold")
    takes_tensor_lr = False

    name: Literal["po_radam"] = "po_radam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    n_sma_threshold: PositiveInt = 5
    """Samples that the average must span before the variance is used."""

    degenerated_to_sgd: bool = False
    """Take a plain step while the variance is not yet known."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class RangerConfig(PackageOptimizerConfigBase):
    """RAdam with Lookahead and centralised gradients.

    >>> RangerConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Ranger"
    example = "degenerated_to_sgd: true"
    group_keys = ("adam_debias", "adanorm", "adanorm_r")
    for_all = ("degenerated_to_sgd", "gc_conv_only", "maximize", "n_sma_threshold", "use_gc")
    takes_tensor_lr = False

    name: Literal["ranger"] = "ranger"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.95, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    alpha: Fraction = 0.5
    """How far the slow weights go to the fast ones."""

    k: PositiveInt = 6
    """Updates between two steps of the slow weights."""

    n_sma_threshold: PositiveInt = 5
    """Samples that the average must span before the variance is used."""

    degenerated_to_sgd: bool = False
    """Take plain steps at first; without it these go uphill."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    use_gc: bool = True
    """Take the mean off the gradient of each matrix."""

    gc_conv_only: bool = False
    """Centralise the gradients of convolutions only."""

    eps: NonNegative = 1e-05
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""

    adanorm: bool = False
    """Scale up gradients whose norm falls below its running average."""

    adanorm_r: Beta = 0.95
    """Decay of the average norm, for `adanorm`."""


@final
@optimizer_registry.register
class Ranger21Config(PackageOptimizerConfigBase):
    """AdamW with eight further methods, and a schedule of its own.

    Reference: A synergistic deep learning optimizer, arXiv:2106.13731.

    >>> Ranger21Config(num_iterations=100, lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Ranger21"
    example = "num_iterations: 100"
    group_keys = ("adam_debias",)
    for_all = (
        "agc_clipping_value",
        "agc_eps",
        "beta0",
        "beta_softplus",
        "centralize_gradients",
        "disable_lr_scheduler",
        "lookahead_blending_alpha",
        "lookahead_merge_time",
        "maximize",
        "norm_loss_factor",
        "normalize_gradients",
        "num_iterations",
        "num_warm_down_iterations",
        "num_warm_up_iterations",
        "use_softplus",
        "warm_down_min_lr",
    )
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["ranger21"] = "ranger21"

    lr: NonNegative = 0.001
    """Learning rate."""

    num_iterations: PositiveInt
    """Updates in the whole run, for its own schedule."""

    beta0: Beta = 0.9
    """Weight of the negative momentum against the positive one."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    use_softplus: bool = True
    """Smooth the denominator instead of adding `eps`."""

    beta_softplus: Positive = 50.0
    """Sharpness of the softplus that smooths the denominator."""

    disable_lr_scheduler: bool = False
    """Leave its own schedule out; say so where a schedule is set here."""

    num_warm_up_iterations: PositiveInt | None = None
    """Updates of its warm-up; None: from `num_iterations`."""

    num_warm_down_iterations: PositiveInt | None = None
    """Updates of its decay; None: from `num_iterations`."""

    warm_down_min_lr: NonNegative = 3e-05
    """Learning rate at the end of its decay."""

    agc_clipping_value: NonNegative = 0.01
    """Largest ratio of the norm of a gradient to that of its weights."""

    agc_eps: NonNegative = 0.001
    """Least norm of the weights in adaptive clipping."""

    centralize_gradients: bool = True
    """Take the mean off the gradient of each matrix."""

    normalize_gradients: bool = True
    """Divide each gradient by its standard deviation."""

    lookahead_merge_time: PositiveInt = 5
    """Updates between two steps of the slow weights."""

    lookahead_blending_alpha: Fraction = 0.5
    """How far the slow weights go to the fast ones."""

    weight_decay: NonNegative = 0.0001
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    norm_loss_factor: NonNegative = 0.0001
    """How strongly weights are drawn to a norm of 1."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class ROSEConfig(PackageOptimizerConfigBase):
    """Gradients scaled by the range of their rows and columns: no state.

    >>> ROSEConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ROSE"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["rose"] = "rose"

    lr: NonNegative = 0.001
    """Learning rate."""

    weight_decay: NonNegative = 0.0001
    """Weight decay."""

    wd_schedule: bool | Positive = False
    """Scale the decay by the rate as a share of this one; true: of the first one."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    centralize: bool = True
    """Take the mean off the gradient of each slice."""

    stabilize: bool = True
    """Mix local ranges with their mean where they are noisy."""

    bf16_sr: bool = True
    """Round at random where the weights are bfloat16."""

    compute_dtype: Literal["float32", "float64"] = "float64"
    """Number format of the arithmetic."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SaRAConfig(PackageOptimizerConfigBase):
    """AdamW for the weights that are nearly 0: fine-tuning.

    Reference: High-Efficient Diffusion Model Fine-tuning with Progressive Sparse Low-Rank
    Adaptation, arXiv:2409.06633.

    >>> SaRAConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SaRA"
    example = "{lr: 0.01, threshold: 0.5}"
    state_like_param = ("mask",)
    takes_tensor_lr = False
    fills_none = ("lr",)
    under_fsdp2 = "fails"

    name: Literal["sara"] = "sara"

    lr: NonNegative | None = None
    """Learning rate; None: from `threshold`."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    threshold: NonNegative = 0.001
    """Weights below it are trained, the others are not."""

    progressive_iter: Annotated[Integer, Ge(-1)] = -1
    """Update after which to choose anew; -1: none."""

    lambda_rank: NonNegative = 0.0
    """Factor of a penalty on the rank."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class ScalableShampooConfig(PackageOptimizerConfigBase):
    """Shampoo in blocks, with the step sizes of another optimizer.

    Shampoo for large layers: in blocks, with the step sizes of another optimizer.

    Reference: Scalable Second Order Optimization for Deep Learning, arXiv:2002.09018.

    >>> ScalableShampooConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ScalableShampoo"
    state_is_plain = False
    for_all = (
        "block_size",
        "diagonal_eps",
        "graft_type",
        "inverse_exponent_override",
        "matrix_eps",
        "maximize",
        "no_preconditioning_for_layers_with_dim_gt",
        "pre_conditioner_type",
        "preconditioning_compute_steps",
        "shape_interpretation",
        "skip_preconditioning_rank_lt",
        "start_preconditioning_step",
        "statistics_compute_steps",
        "use_svd",
    )
    takes_tensor_lr = False

    name: Literal["scalableshampoo"] = "scalableshampoo"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the momentum and of the statistics."""

    moving_average_for_momentum: bool = False
    """Weigh a new gradient by 1 - beta1."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    decoupled_weight_decay: bool = False
    """Take the decay off the weights, not into the gradient."""

    decoupled_learning_rate: bool = True
    """Apply the rate after momentum, not before it."""

    inverse_exponent_override: NonNegativeInt = 0
    """Power of the inverse root; 0: by the shape."""

    start_preconditioning_step: PositiveInt = 25
    """First update with a preconditioner."""

    preconditioning_compute_steps: PositiveInt = 1000
    """Updates between two renewals of the preconditioner."""

    statistics_compute_steps: PositiveInt = 1
    """Updates between two looks at the gradients."""

    block_size: PositiveInt = 512
    """Largest block of a matrix that is treated as one."""

    skip_preconditioning_rank_lt: PositiveInt = 1
    """Least number of dimensions with a preconditioner."""

    no_preconditioning_for_layers_with_dim_gt: PositiveInt = 8192
    """Largest dimension with a preconditioner."""

    shape_interpretation: bool = True
    """Merge small dimensions."""

    graft_type: Literal["none", "sgd", "adagrad", "rmsprop", "sqrtn"] = "sgd"
    """Whose step sizes are taken, for the direction of Shampoo."""

    pre_conditioner_type: Literal["all", "input", "output"] = "all"
    """Which dimensions get one."""

    nesterov: bool = True
    """Take the gradient one step ahead."""

    diagonal_eps: NonNegative = 1e-10
    """Added to the diagonal statistics."""

    matrix_eps: Positive = 1e-06
    """Added to the diagonal of each statistic before its root."""

    use_svd: bool = False
    """Compute roots by a singular value decomposition."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class ScheduleFreeAdamWConfig(PackageOptimizerConfigBase):
    """AdamW that averages its weights instead of decaying its rate.

    Needs no schedule and no length of the run: averages the weights instead. Rates as for AdamW or
    somewhat above; no decaying schedule beside it.

    Reference: The Road Less Scheduled, arXiv:2405.15682.

    >>> ScheduleFreeAdamWConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ScheduleFreeAdamW"
    has_modes = True
    for_all = ("maximize",)

    name: Literal["schedulefreeadamw"] = "schedulefreeadamw"

    lr: NonNegative = 0.0025
    """Learning rate."""

    betas: tuple[Annotated[Positive, Lt(1)], Beta] = (0.9, 0.999)
    """Where between average and newest weights gradients are taken; decay of the square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    r: NonNegative = 0.0
    """Power of the step in the weights of the average."""

    weight_lr_power: NonNegative = 2.0
    """Power of the largest rate so far in the weights of the average."""

    warmup_steps: NonNegativeInt = 0
    """Updates in which the rate grows to its value."""

    decoupling_c: NonNegativeInt = 0
    """Scale of the averaging, as the refined method has it; 0: plain."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class ScheduleFreeRAdamConfig(PackageOptimizerConfigBase):
    """RAdam that averages its weights instead of decaying its rate.

    Needs neither a schedule nor a warm-up: averages the weights instead.

    Reference: The Road Less Scheduled, arXiv:2405.15682.

    >>> ScheduleFreeRAdamConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ScheduleFreeRAdam"
    has_modes = True
    for_all = ("maximize",)

    name: Literal["schedulefreeradam"] = "schedulefreeradam"

    lr: NonNegative = 0.0025
    """Learning rate."""

    betas: tuple[Annotated[Positive, Lt(1)], Beta] = (0.9, 0.999)
    """Where between average and newest weights gradients are taken; decay of the square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    r: NonNegative = 0.0
    """Power of the step in the weights of the average."""

    weight_lr_power: NonNegative = 2.0
    """Power of the largest rate so far in the weights of the average."""

    silent_sgd_phase: bool = True
    """Change no weight while the variance is not yet known."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class ScheduleFreeSGDConfig(PackageOptimizerConfigBase):
    """SGD that averages its weights instead of decaying its rate.

    SGD without a schedule: averages the weights instead. Rates ten to fifty times those of SGD with
    momentum.

    Reference: The Road Less Scheduled, arXiv:2405.15682.

    >>> ScheduleFreeSGDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:ScheduleFreeSGD"
    has_modes = True
    for_all = ("maximize",)

    name: Literal["schedulefreesgd"] = "schedulefreesgd"

    lr: NonNegative = 1.0
    """Learning rate."""

    momentum: Annotated[Positive, Lt(1)] = 0.9
    """Where between average and newest weights gradients are taken."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    r: NonNegative = 0.0
    """Power of the step in the weights of the average."""

    weight_lr_power: NonNegative = 2.0
    """Power of the largest rate so far in the weights of the average."""

    warmup_steps: NonNegativeInt = 0
    """Updates in which the rate grows to its value."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SCIONConfig(PackageOptimizerConfigBase):
    """Steps of a given length in a norm that suits each layer.

    Reference: Training Deep Learning Models with Norm-Constrained LMOs, arXiv:2502.07529.

    >>> SCIONConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SCION"
    state_is_plain = False
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["scion"] = "scion"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Annotated[Positive, Le(1)] = 0.1
    """Weight of the new gradient: 1 minus the usual momentum."""

    constraint: bool = False
    """Keep the weights within the norm instead of decaying them."""

    norm_type: Literal["none", "auto", "spectral", "spectralconv", "sign", "bias", "col", "row"] = (
        "auto"
    )
    """The norm in which a step is as long as the rate."""

    scale: Positive = 1.0
    """Radius in the chosen norm."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class SCIONLightConfig(PackageOptimizerConfigBase):
    """SCION with its momentum in the gradients: no state.

    Reference: Training Deep Learning Models with Norm-Constrained LMOs, arXiv:2502.07529.

    >>> SCIONLightConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SCIONLight"
    state_is_plain = False
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["scionlight"] = "scionlight"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Annotated[Positive, Le(1)] = 0.1
    """Weight of the new gradient: 1 minus the usual momentum."""

    constraint: bool = False
    """Keep the weights within the norm instead of decaying them."""

    norm_type: Literal["none", "auto", "spectral", "spectralconv", "sign", "bias", "col", "row"] = (
        "auto"
    )
    """The norm in which a step is as long as the rate."""

    scale: Positive = 1.0
    """Radius in the chosen norm."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class SGDPConfig(PackageOptimizerConfigBase):
    """SGD that takes out what only makes weights longer, where their scale is free.

    Reference: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights,
    arXiv:2006.08217.

    >>> SGDPConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SGDP"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["sgdp"] = "sgdp"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    dampening: Fraction = 0.0
    """Share of the gradient that is kept out of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    delta: NonNegative = 0.1
    """Cosine below which weights count as free of scale."""

    wd_ratio: Beta = 0.1
    """Share of the decay for weights free of scale."""

    nesterov: bool = False
    """Take the gradient one step ahead."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SGDSaIConfig(PackageOptimizerConfigBase):
    """SGD with one rate for each tensor, from the noise of its first gradient.

    Reference: No More Adam: Learning Rate Scaling at Initialization is All You Need,
    arXiv:2411.10438.

    >>> SGDSaIConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SGDSaI"
    for_all = ("maximize",)

    name: Literal["sgdsai"] = "sgdsai"

    lr: NonNegative = 0.01
    """Learning rate."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SGDWConfig(PackageOptimizerConfigBase):
    """SGD with decoupled weight decay.

    Reference: Decoupled Weight Decay Regularization, arXiv:1711.05101.

    >>> SGDWConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SGDW"
    for_all = ("maximize",)

    name: Literal["sgdw"] = "sgdw"

    lr: NonNegative = 0.0001
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    dampening: Fraction = 0.0
    """Share of the gradient that is kept out of the momentum."""

    nesterov: bool = False
    """Take the gradient one step ahead."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class ShampooConfig(PackageOptimizerConfigBase):
    """Preconditions each dimension of a tensor by the whole of its gradients.

    For small matrices and for study: each update computes roots of whole matrices. For training
    take `scalableshampoo` or `soap`.

    Reference: Preconditioned Stochastic Tensor Optimization, arXiv:1802.09568.

    >>> ShampooConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Shampoo"
    for_all = ("maximize", "preconditioning_compute_steps")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["shampoo"] = "shampoo"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    preconditioning_compute_steps: PositiveInt = 1
    """Updates between two renewals of the preconditioner."""

    matrix_eps: Positive = 1e-06
    """Added to the diagonal of each statistic before its root."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class SignSGDConfig(PackageOptimizerConfigBase):
    """The sign of the gradient, or of its momentum.

    Reference: Compressed Optimisation for Non-Convex Problems, arXiv:1802.04434.

    >>> SignSGDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SignSGD"
    for_all = ("maximize",)

    name: Literal["signsgd"] = "signsgd"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class SimplifiedAdEMAMixConfig(PackageOptimizerConfigBase):
    """AdEMAMix with one momentum and the present gradient.

    Reference: Connections between Schedule-Free Optimizers, AdEMAMix, and Accelerated SGD Variants,
    arXiv:2502.02431.

    >>> SimplifiedAdEMAMixConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SimplifiedAdEMAMix"
    for_all = ("maximize",)

    name: Literal["simplifiedademamix"] = "simplifiedademamix"

    lr: NonNegative = 0.0001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.99, 0.95)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    alpha: NonNegative = 0.0
    """Weight of the present gradient, where the momentum has 1."""

    beta1_warmup: PositiveInt | None = None
    """Updates in which beta1 grows to its value; None: at once."""

    min_beta1: Beta = 0.9
    """Where the warm-up of beta1 begins."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SM3Config(PackageOptimizerConfigBase):
    """AdaGrad with one number for each row and column: little memory.

    Reference: Memory-Efficient Adaptive Optimization, arXiv:1901.11150.

    >>> SM3Config(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SM3"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["sm3"] = "sm3"

    lr: NonNegative = 0.1
    """Learning rate."""

    momentum: Beta = 0.0
    """Decay of the momentum."""

    beta: Fraction = 0.0
    """Decay of the accumulators; 0 adds up all squares."""

    eps: NonNegative = 1e-30
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SOAPConfig(PackageOptimizerConfigBase):
    """Adam in the eigenbasis of Shampoo's preconditioner.

    For the fewest updates to a loss: Adam in Shampoo's eigenbasis. A step costs more where matrices
    are large; `precondition_frequency` trades one for the other.

    Reference: Improving and Stabilizing Shampoo using Adam, arXiv:2409.11321.

    >>> SOAPConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SOAP"
    for_all = ("data_format", "maximize")
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["soap"] = "soap"

    lr: NonNegative = 0.003
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.95, 0.95)
    """Decay of the averages, taken in the eigenbasis."""

    shampoo_beta: Beta | None = None
    """Decay of the preconditioner; None: beta2."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    precondition_frequency: PositiveInt = 10
    """Updates between two renewals of the preconditioner."""

    max_precondition_dim: PositiveInt = 10000
    """Largest dimension that gets a preconditioner."""

    merge_dims: bool = False
    """Merge small dimensions before they are preconditioned."""

    precondition_1d: bool = False
    """Precondition vectors too."""

    correct_bias: bool = True
    """Correct the averages for their start at 0."""

    normalize_gradient: bool = False
    """Divide each gradient by its norm."""

    data_format: Literal["channels_first", "channels_last"] = "channels_first"
    """Whether channels come first or last, for `merge_dims`."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class SophiaHConfig(PackageOptimizerConfigBase):
    """A clipped step by the diagonal of the curvature.

    Estimates the curvature every `update_period` updates, for which the loss is differentiated
    twice.

    Reference: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training,
    arXiv:2305.14342.

    >>> SophiaHConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SophiaH"
    needs_second_backward = True
    for_all = ("hessian_distribution", "maximize", "num_samples", "update_period")
    under_fsdp2 = "fails"

    name: Literal["sophiah"] = "sophiah"

    lr: NonNegative = 0.06
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.96, 0.99)
    """Decay of the averages of the gradient and of the curvature."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    p: NonNegative = 0.01
    """Largest change of one weight, as a share of the rate."""

    update_period: PositiveInt = 10
    """Updates between two estimates of the curvature."""

    num_samples: PositiveInt = 1
    """Random vectors for each estimate of the curvature."""

    hessian_distribution: Literal["gaussian", "rademacher"] = "gaussian"
    """Distribution of the random vectors that probe the curvature."""

    eps: NonNegative = 1e-12
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SPAMConfig(PackageOptimizerConfigBase):
    """Adam that clips spikes and resets its momentum.

    Reference: Spike-Aware Adam with Momentum Reset for Stable LLM Training, arXiv:2501.06842.

    >>> SPAMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SPAM"
    state_like_param = ("mask",)
    for_all = (
        "density",
        "grad_accu_steps",
        "maximize",
        "threshold",
        "update_proj_gap",
        "warmup_epoch",
    )
    under_fsdp2 = "fails"

    name: Literal["spam"] = "spam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    density: Fraction = 1.0
    """Share of the entries of a matrix that is updated."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    warmup_epoch: NonNegativeInt = 50
    """Updates of warm-up after each reset."""

    threshold: NonNegativeInt = 5000
    """Ratio of a square to its average that is a spike."""

    grad_accu_steps: NonNegativeInt = 20
    """Updates after a reset before spikes are clipped."""

    update_proj_gap: PositiveInt = 500
    """Updates between two resets of the momentum."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SpectralSphereConfig(PackageOptimizerConfigBase):
    """Orthogonal updates that keep the largest singular value of each matrix.

    Reference: Controlled LLM Training on Spectral Sphere, arXiv:2601.08393.

    >>> SpectralSphereConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SpectralSphere"
    needs_dimensions = 2
    for_all = (
        "maximize",
        "msign_steps",
        "power_iteration_steps",
        "solver_max_iterations",
        "solver_tolerance_f",
    )
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["spectralsphere"] = "spectralsphere"

    lr: NonNegative = 0.0003
    """Learning rate."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    nesterov: bool = True
    """Take the gradient one step ahead."""

    power_iteration_steps: PositiveInt = 10
    """Iterations that find the largest eigenvalue."""

    msign_steps: PositiveInt = 5
    """Iterations of the matrix sign."""

    solver_tolerance_f: Positive = 1e-08
    """Where the solver stops."""

    solver_max_iterations: PositiveInt = 100
    """Most iterations of the solver."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SPlusConfig(PackageOptimizerConfigBase):
    """Shampoo's directions with steps of fixed size, and averaged weights for evaluation.

    For large matrices with large rates; evaluated with averaged weights, so it switches between
    training and evaluation, which `LightningModuleBase` does.

    Reference: A Stable Whitening Optimizer for Efficient Neural Network Training, arXiv:2506.07254.

    >>> SPlusConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SPlus"
    has_modes = True
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["splus"] = "splus"

    lr: NonNegative = 0.1
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ema_rate: Beta = 0.999
    """Decay of the average of the weights, used in evaluation."""

    inverse_steps: PositiveInt = 100
    """Updates between two computations of the eigenbasis."""

    nonstandard_constant: NonNegative = 0.001
    """Factor on the rate of what is no matrix."""

    max_dim: PositiveInt = 10000
    """Largest dimension that gets a preconditioner."""

    eps: NonNegative = 1e-30
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SRMMConfig(PackageOptimizerConfigBase):
    """Minimises a regularised average of surrogates of the loss.

    Reference: Stochastic regularized majorization-minimization with weakly convex and multi-convex
    surrogates, arXiv:2201.01652.

    >>> SRMMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SRMM"
    for_all = ("maximize",)

    name: Literal["srmm"] = "srmm"

    lr: NonNegative = 0.01
    """Learning rate."""

    beta: Fraction = 0.5
    """How fast old gradients lose their weight."""

    memory_length: PositiveInt | None = 100
    """Updates after which memory is cleared; None: never."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class StableAdamWConfig(PackageOptimizerConfigBase):
    """AdamW whose updates are clipped, with sums that lose nothing in 16 bits.

    AdamW for low precision and for losses that spike: clips the update, so that no clipping of
    gradients is needed.

    Reference: Stable and low-precision training for large-scale vision-language models,
    arXiv:2304.13013.

    >>> StableAdamWConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:StableAdamW"
    for_all = ("maximize",)
    under_fsdp2 = "fails"

    name: Literal["stableadamw"] = "stableadamw"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.99)
    """Decay of the running averages of the gradient and of its square."""

    kahan_sum: bool = True
    """Keep what rounding loses, where weights are float16 or bfloat16."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class StableSPAMConfig(PackageOptimizerConfigBase):
    """Adam that scales and clips spikes and resets its momentum, for 4-bit training.

    Reference: How to Train in 4-Bit More Stably than 16-Bit Adam, arXiv:2502.17055.

    >>> StableSPAMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:StableSPAM"
    for_all = ("eta_min", "gamma1", "gamma2", "maximize", "t_max", "theta", "update_proj_gap")
    under_fsdp2 = "fails"

    name: Literal["stablespam"] = "stablespam"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    gamma1: Annotated[Finite, Ge(-1), Lt(1)] = 0.7
    """Decay of the average norm; -1: beta1."""

    gamma2: Beta = 0.9
    """Decay of the average squared norm."""

    theta: Beta = 0.999
    """Decay of the average largest gradient."""

    t_max: PositiveInt | None = None
    """Updates in which the betas decay; None: they stay."""

    eta_min: NonNegative = 0.5
    """Least factor on the betas when they have decayed."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    update_proj_gap: PositiveInt = 1000
    """Updates between two resets of the momentum."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = False
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class SWATSConfig(PackageOptimizerConfigBase):
    """Begins as Adam and goes over to SGD by itself.

    Reference: Improving Generalization Performance by Switching from Adam to SGD, arXiv:1712.07628.

    >>> SWATSConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:SWATS"
    lr_is_written = True
    group_keys = ("adam_debias",)
    for_all = ("maximize",)
    under_fsdp2 = "fails"
    takes_tensor_lr = False

    name: Literal["swats"] = "swats"

    lr: NonNegative = 0.001
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = False
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    ams_bound: bool = False
    """Divide by the largest average square so far, as AMSGrad does."""

    nesterov: bool = False
    """Take the gradient one step ahead."""

    eps: NonNegative = 1e-06
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""


@final
@optimizer_registry.register
class TAMConfig(PackageOptimizerConfigBase):
    """Gradient descent that trusts a gradient the more, the better it agrees with momentum.

    Reference: Torque-Aware Momentum, arXiv:2412.18790.

    >>> TAMConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:TAM"
    for_all = ("maximize",)

    name: Literal["tam"] = "tam"

    lr: NonNegative = 0.001
    """Learning rate."""

    momentum: Beta = 0.9
    """Decay of the momentum."""

    decay_rate: Beta = 0.9
    """Decay of how well gradient and momentum agree."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class TigerConfig(PackageOptimizerConfigBase):
    """The sign of one momentum: the least state.

    Least state of all: one momentum, and the sign of it.

    >>> TigerConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Tiger"
    for_all = ("maximize",)

    name: Literal["tiger"] = "tiger"

    lr: NonNegative = 0.001
    """Learning rate."""

    beta: Beta = 0.965
    """Decay of the running average."""

    weight_decay: NonNegative = 0.01
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""


@final
@optimizer_registry.register
class VSGDConfig(PackageOptimizerConfigBase):
    """Gradient descent that infers the true gradient from noisy ones.

    Reference: Variational Stochastic Gradient Descent for Deep Neural Networks, TMLR.

    >>> VSGDConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:VSGD"
    for_all = ("ghattg", "maximize", "ps")

    name: Literal["vsgd"] = "vsgd"

    lr: NonNegative = 0.1
    """Learning rate."""

    ghattg: NonNegative = 30.0
    """First guess of how much noisier the average is than the gradient."""

    ps: Positive = 1e-08
    """Strength of the prior."""

    tau1: Fraction = 0.81
    """How fast the gradient's variance is forgotten."""

    tau2: Fraction = 0.9
    """How fast the average's variance is forgotten."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    eps: NonNegative = 1e-08
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""


@final
@optimizer_registry.register
class YogiConfig(PackageOptimizerConfigBase):
    """Adam whose second moment grows and falls at a bounded speed.

    Reference: Adaptive Methods for Nonconvex Optimization, NeurIPS 2018.

    >>> YogiConfig(lr=0.5).lr
    0.5
    """

    target = "pytorch_optimizer:Yogi"
    group_keys = ("adam_debias",)
    for_all = ("maximize",)
    takes_tensor_lr = False

    name: Literal["yogi"] = "yogi"

    lr: NonNegative = 0.01
    """Learning rate."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running averages of the gradient and of its square."""

    initial_accumulator: NonNegative = 1e-06
    """First value of both averages."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    weight_decouple: bool = True
    """Take the decay off the weights instead of adding it to the gradient."""

    fixed_decay: bool = False
    """Do not multiply the decay by the learning rate."""

    eps: NonNegative = 0.001
    """Added to the denominator, so that nothing is divided by zero."""

    maximize: bool = False
    """Go up the gradient instead of down: the loss is then an objective."""

    foreach: bool | None = None
    """Update lists of tensors at once. None: where it is of use."""

    adam_debias: bool = False
    """Leave the momentum uncorrected, so that the first steps are small."""
