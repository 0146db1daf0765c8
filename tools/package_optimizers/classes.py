"""Facts about the optimizers of pytorch_optimizer that their constructors do not declare."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "CURATED",
    "FACTS",
    "GROUP_KEYS",
    "KEYWORDS",
    "NOT_OPTIONS",
    "REFERENCES",
    "SUMMARIES",
    "Curated",
]


class Curated(NamedTuple):
    """Advice on an optimizer that is widely used.

    Args:
        when: The use of the optimizer, and good values.
        types: Types of arguments that are narrower than the types that the rules find.
    """

    when: str
    types: Mapping[str, str] = MappingProxyType({})


_MUONS = ("AdaGO", "AdaMuon", "Muon", "MuonClip", "NorMuon")
_LOW_RANK = {
    "rank": (
        "PositiveInt | None",
        "None",
        "Rank of the projection of each matrix; None: no projection.",
    ),
    "update_proj_gap": ("PositiveInt", "200", "Updates between two projections."),
    "scale": ("Positive", "1.0", "Factor on the projected update."),
    "projection_type": (
        'Literal["std", "reverse_std", "right", "left", "full", "random"]',
        '"std"',
        "Side on which a matrix is projected; `random` needs no decomposition.",
    ),
}
_USE_MUON = {
    "use_muon": (
        "bool | None",
        "None",
        "Orthogonal updates (true) or AdamW (false); None: by dimensions, 2 and more or fewer.",
    )
}

_SWITCH = ("bool", "False")

KEYWORDS: dict[str, tuple[str, str, str]] = {
    "adam_debias": (*_SWITCH, "Leave the momentum uncorrected, so that the first steps are small."),
    "adanorm": (*_SWITCH, "Scale up gradients whose norm falls below its running average."),
    "adanorm_r": ("Beta", "0.95", "Decay of the average norm, for `adanorm`."),
    "cautious": (*_SWITCH, "Drop the parts of an update that oppose the present gradient."),
    "stable_adamw": (*_SWITCH, "Clip the update by its root mean square, as StableAdamW does."),
    "use_gc": (*_SWITCH, "Take the mean off the gradient of each matrix."),
    "sn": (*_SWITCH, "One second moment for each subset of weights: for matrices."),
    "normalized": (
        *_SWITCH,
        "Let the decay fall with the rate: for normalized layers, in a group.",
    ),
    "qk_clip": (
        'Literal["query", "key", "query_rotary", "key_rotary"] | None',
        "None",
        "Projection of the group, which `step(attention_max_logits=...)` clips.",
    ),
    "attention_name": (
        "str | None",
        "None",
        "The attention layer of the group: a key of `attention_max_logits`.",
    ),
    "weight_decouple": (
        "bool",
        "True",
        "Take the decay off the weights instead of adding it to the gradient.",
    ),
    "precondition_init_scale": ("Positive", "1.0", "Scale of the first preconditioners."),
    "precondition_lr": ("Positive", "0.1", "Learning rate of the preconditioners."),
}
"""Options that a step reads of a group and constructors accept only as keyword arguments."""

NOT_OPTIONS: dict[str, str] = {
    "AliG.lr": "its own step size",
    "FlashAdamW.master_byte_width": "from `master_weight_bits`",
    "LoRARite.eps_root": "the square of `eps`",
    "MARS.lr_1d_factor": "from `lr_1d` and `lr`",
    "VSGD.pa2": "from `ps`",
    "VSGD.pbg2": "from `ps`",
    "VSGD.pbhg2": "from `ghattg` and `ps`",
    "ROSE.max_lr": "written by torch's OneCycleLR",
    "MuonClip.nesterov": "its momentum is another",
    "AdaGO.ns_method": "read where tensors are updated in lists, and not in the loop",
    "AdaGO.ns_reset_steps": "for `ns_method`",
    "AdaMuon.ns_method": "read where tensors are updated in lists, and not in the loop",
    "AdaMuon.ns_reset_steps": "for `ns_method`",
    "NorMuon.ns_method": "read where tensors are updated in lists, and not in the loop",
    "NorMuon.ns_reset_steps": "for `ns_method`",
    "betas": "`adamw_betas` of the Muons",
    "eps": "`adamw_eps` of the Muons",
    "initial_lr": "the base rate, which a scheduler writes",
}
"""Keys that a step reads of a group but that are no options, by class or for all, with reasons."""

GROUP_KEYS: dict[str, dict[str, tuple[str, str, str]]] = {
    "APOLLO": _LOW_RANK,
    "Fira": _LOW_RANK,
    "GaLore": _LOW_RANK,
    **dict.fromkeys(_MUONS, _USE_MUON),
}
"""Options that the optimizer reads of a group but its constructor does not name."""

FACTS: dict[str, dict[str, Any]] = {
    "AdaHessian": {"needs_second_backward": True},
    "AdaShift": {"state_is_plain": False, "example": "keep_num: 2"},
    "AdaFactor": {"lr_requires": ("relative_step", False), "lr_is_ignored": True},
    "ApolloDQN": {"fills_none": ("init_lr",), "lr_requires": ("warmup_steps", 0)},
    "ASGD": {"lr_zero": "never", "lr_is_written": True},
    "AliG": {"needs_closure": True},
    "Conda": {"state_is_plain": False},
    "Alice": {"at_most": ("leading_basis", "rank")},
    "DAdaptAdaGrad": {"licence": "MIT", "lr_scope": "optimizer"},
    "DAdaptAdam": {"licence": "MIT", "lr_scope": "optimizer"},
    "DAdaptAdan": {"licence": "MIT", "lr_scope": "optimizer"},
    "DAdaptLion": {"licence": "MIT", "lr_scope": "optimizer"},
    "DAdaptSGD": {"licence": "MIT", "lr_scope": "optimizer"},
    "FTRL": {"lr_zero": "never"},
    "Gravity": {"lr_zero": "not_first"},
    "LoRARite": {
        "example": "update_skipping: 0.0",
        "needs_dimensions": 2,
        "for_all": ("eps",),
        "pairs_by": ("lora_l_dim", "lora_r_dim"),
        "state_like_param": (),
    },
    "MuonClip": {"needs_with": ("qk_clip", "attention_name")},
    "MADGRAD": {"licence": "MIT"},
    "Prodigy": {"lr_scope": "optimizer"},
    "Ranger": {"example": "degenerated_to_sgd: true"},
    "Ranger21": {"example": "num_iterations: 100"},
    "SCION": {"state_is_plain": False},
    "SCIONLight": {"state_is_plain": False},
    "SPAM": {"state_like_param": ("mask",)},
    "SPlus": {"has_modes": True},
    "SaRA": {
        "example": "{lr: 0.01, threshold: 0.5}",
        "state_like_param": ("mask",),
        "takes_tensor_lr": False,
        "fills_none": ("lr",),
    },
    "SWATS": {"lr_is_written": True},
    "ScalableShampoo": {"state_is_plain": False},
    "ScheduleFreeAdamW": {"has_modes": True},
    "ScheduleFreeRAdam": {"has_modes": True},
    "ScheduleFreeSGD": {"has_modes": True},
    "SophiaH": {"needs_second_backward": True},
    "SpectralSphere": {"needs_dimensions": 2},
}
for _name in _MUONS:
    FACTS.setdefault(_name, {})["splits_by_dimensions"] = True
"""Class variables of configs: unusual requirements on parameters and loop."""

REFERENCES = {
    "AdaBound": (None, "ICLR 2019"),
    "AdaMax": ("", "Adam: A Method for Stochastic Optimization, arXiv:1412.6980"),
    "AdaPNM": ("PNM", None),
    "AdaTAM": ("TAM", None),
    "AdamS": ("Stable WD", None),
    "AdamWSN": ("SNSM", None),
    "Adalite": ("", ""),
    "Alice": ("RACS & Alice", None),
    "ApolloDQN": (
        "",
        "Apollo: An Adaptive Parameter-wise Diagonal Quasi-Newton Method, arXiv:2009.13586",
    ),
    "CAME": (None, "ACL 2023"),
    "DAdaptAdaGrad": ("D-Adaptation", None),
    "DAdaptAdam": ("D-Adaptation", None),
    "DAdaptAdan": ("D-Adaptation", None),
    "DAdaptLion": ("D-Adaptation", None),
    "DAdaptSGD": ("D-Adaptation", None),
    "EmoFact": ("", ""),
    "EmoLynx": ("", ""),
    "EmoNavi": ("", ""),
    "FTRL": ("", "Ad Click Prediction: a View from the Trenches, KDD 2013"),
    "GrokFastAdamW": ("Grokfast", None),
    "Kron": ("PSGD", None),
    "LARS": ("", "Large Batch Training of Convolutional Networks, arXiv:1708.03888"),
    "Muon": ("", "K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024"),
    "PID": (None, "CVPR 2018"),
    "QHM": ("QHAdam", None),
    "RACS": ("RACS & Alice", None),
    "ROSE": ("", ""),
    "Ranger": ("", ""),
    "SCIONLight": ("SCION", None),
    "SGDP": ("AdamP", None),
    "ScalableShampoo": (
        "",
        "Scalable Second Order Optimization for Deep Learning, arXiv:2002.09018",
    ),
    "ScheduleFreeAdamW": ("", "The Road Less Scheduled, arXiv:2405.15682"),
    "ScheduleFreeRAdam": ("", "The Road Less Scheduled, arXiv:2405.15682"),
    "ScheduleFreeSGD": ("", "The Road Less Scheduled, arXiv:2405.15682"),
    "SophiaH": ("Sophia", None),
    "Tiger": ("", ""),
    "VSGD": (None, "TMLR"),
    "Yogi": (None, "NeurIPS 2018"),
}
"""Row in the package's list of papers, if its name differs, and place of publication.

With an empty row the second value is the whole reference; with two empty values there is no paper.
"""

_POSITIVE_RATE = {"lr": "Positive"}
_OPEN_FRACTION = "Annotated[Positive, Lt(1)]"

CURATED = {
    "ADOPT": Curated(
        "Converges with any beta2, where Adam may not; a drop-in for Adam with the same rates."
    ),
    "AdEMAMix": Curated(
        "For long runs: the slow momentum remembers thousands of updates. Rates as for AdamW; set "
        "`t_alpha_beta3` to the length of the run."
    ),
    "Adan": Curated(
        "For vision and large batches; needs rates five to ten times as large as for AdamW, "
        "and a warm-up."
    ),
    "CAME": Curated(
        "For large models with little memory: Adafactor's state, with steadier updates."
    ),
    "DAdaptAdam": Curated(
        "Finds the rate itself: keep `lr` at 1 and let a schedule multiply it.", _POSITIVE_RATE
    ),
    "DAdaptLion": Curated("Lion that finds its rate itself: keep `lr` at 1.", _POSITIVE_RATE),
    "DAdaptSGD": Curated("SGD that finds its rate itself: keep `lr` at 1.", _POSITIVE_RATE),
    "Kron": Curated(
        "For hard problems where a step may cost more: rates a third of Adam's, and the "
        "preconditioner needs some hundred updates to settle."
    ),
    "LARS": Curated(
        "For convolutional networks with batches of thousands; leave norms and biases out with "
        "groups."
    ),
    "LaProp": Curated("Where Adam is unstable: momentum and adaptation do not mix."),
    "Lamb": Curated(
        "For transformers with batches of thousands; rates grow with the root of the batch."
    ),
    "Lion": Curated(
        "Half of Adam's state. Rates a third to a tenth of AdamW's, decay three to ten times as "
        "large; better the larger the batch."
    ),
    "MADGRAD": Curated(
        "For problems where SGD generalizes best and needs a schedule; decay is best small or 0."
    ),
    "MARS": Curated(
        "For language models: corrects the noise of the gradient. Rates about three times as large "
        "as for AdamW.",
        {"lr": "Positive"},
    ),
    "Muon": Curated(
        "Matrices and convolutions get orthogonal updates, the other parameters AdamW. Assign "
        "embeddings and the head to AdamW with a group that has `use_muon: false`. For 2-D "
        "parameters only, `muon` is torch's."
    ),
    "NovoGrad": Curated("For speech and other models whose layers differ in scale; little memory."),
    "Prodigy": Curated(
        "Finds the rate itself: keep `lr` at 1, tune `d_coef` if anything; with a warm-up, "
        "`safeguard_warmup`.",
        _POSITIVE_RATE,
    ),
    "RAdam": Curated("Adam without a warm-up; `radam` is torch's."),
    "SOAP": Curated(
        "For the fewest updates to a loss: Adam in Shampoo's eigenbasis. A step costs more where "
        "matrices are large; `precondition_frequency` trades one for the other."
    ),
    "SPlus": Curated(
        "For large matrices with large rates; evaluated with averaged weights, so it switches "
        "between training and evaluation, which `LightningModuleBase` does."
    ),
    "ScalableShampoo": Curated(
        "Shampoo for large layers: in blocks, with the step sizes of another optimizer."
    ),
    "ScheduleFreeAdamW": Curated(
        "Needs no schedule and no length of the run: averages the weights instead. Rates as for "
        "AdamW or somewhat above; no decaying schedule beside it."
    ),
    "ScheduleFreeRAdam": Curated(
        "Needs neither a schedule nor a warm-up: averages the weights instead."
    ),
    "ScheduleFreeSGD": Curated(
        "SGD without a schedule: averages the weights instead. Rates ten to fifty times as large "
        "as for SGD with momentum."
    ),
    "Shampoo": Curated(
        "For small matrices and for study: each update computes roots of whole matrices. For "
        "training take `scalableshampoo` or `soap`."
    ),
    "SophiaH": Curated(
        "Estimates the curvature every `update_period` updates, for which the loss is "
        "differentiated twice."
    ),
    "StableAdamW": Curated(
        "AdamW for low precision and for losses that spike: clips the update, so that no clipping "
        "of gradients is needed."
    ),
    "Tiger": Curated("Least state of all: one momentum, and the sign of it."),
}
"""Advice on widely used optimizers, by class."""

SUMMARIES = {
    "A2Grad": "Accelerated gradient descent with adaptive steps and three ways of averaging.",
    "ADOPT": "Adam that divides by the average square of before, and so converges with any beta2.",
    "APOLLO": "AdamW whose step sizes come from a low-rank projection: little memory.",
    "ASGD": "Gradient descent whose rate follows an estimate of the smoothness.",
    "AccSGD": "Accelerated gradient descent with a long and a short step.",
    "AdEMAMix": "Adam with a second, much slower momentum beside the usual one.",
    "AdaBelief": "Adam that divides by the deviation of gradients from their running average.",
    "AdaBound": "Adam whose step sizes are bounded ever more closely, until it is SGD.",
    "AdaDelta": "Gradients scaled by recent gradients and updates, so that the rate has no unit.",
    "AdaFactor": "Adam's second moment as rows and columns, in the variant of big vision models.",
    "AdaGC": "Adam that clips the gradient of each tensor by its own history.",
    "AdaGO": "Orthogonal updates whose size adapts as in AdaGrad.",
    "AdaHessian": "Adam with the diagonal of the curvature in place of squared gradients.",
    "AdaMax": "Adam with the largest gradient instead of the average square.",
    "AdaMod": "Adam whose step sizes are bounded by their own running average.",
    "AdaMuon": "Muon with a second moment of its orthogonal updates.",
    "AdaNorm": "Adam that corrects gradients whose norm falls below its history.",
    "AdaPNM": "Adam with a positive and a negative momentum.",
    "AdaShift": "Adam whose second moment comes from older gradients than its first.",
    "AdaSmooth": "Gradients scaled by an average that smooths less where progress is steady.",
    "AdaTAM": "Adam that trusts a gradient the more, the better it agrees with the momentum.",
    "Adai": "Gradient descent whose momentum, not whose rate, adapts to each weight.",
    "Adalite": "Factored averages and trust ratios: little memory.",
    "AdamC": "AdamW whose decay follows the rate, so that gradients do not grow at the end.",
    "AdamG": "Adam without a rate to tune.",
    "AdamP": "Adam without the update component that only lengthens scale-invariant weights.",
    "AdamS": "Adam with a decay that is stable against the size of gradients.",
    "AdamWSN": "AdamW with one average for each subset of weights: little memory.",
    "Adan": "Adam with Nesterov momentum, from gradients and their changes.",
    "AggMo": "Gradient descent with the mean of several momenta.",
    "Aida": "AdaBelief with gradient and momentum projected on each other.",
    "Alice": "Adam within a subspace that is tracked, and a correction for the rest.",
    "AliG": "Gradient descent whose step is the loss over the squared gradient.",
    "Amos": "Adam-like, with a decay towards the scale that weights should have.",
    "Ano": "The sign of the momentum, and the size of the gradient: for noisy problems.",
    "ApolloDQN": "A quasi-Newton method with a diagonal curvature.",
    "AvaGrad": "Adam that divides by the average square of before, with a rate free of eps.",
    "BCOS": "Step sizes that are optimal for blocks of weights.",
    "CAME": "Adafactor with smaller updates where they are unstable.",
    "Conda": "Adam in a basis that comes from the momentum.",
    "DAdaptAdaGrad": "AdaGrad that finds its rate itself.",
    "DAdaptAdam": "Adam that finds its rate itself.",
    "DAdaptAdan": "Adan that finds its rate itself.",
    "DAdaptLion": "Lion that finds its rate itself.",
    "DAdaptSGD": "Gradient descent that finds its rate itself.",
    "DASH": "Shampoo in batched blocks, with fast inverse roots.",
    "DiffGrad": "Adam that steps less where gradients hardly change.",
    "DualAdam": "Adam mixed with its inverse, which fades.",
    "EXAdam": "Adam with moments that correct each other.",
    "EmoFact": "Factored averages, scaled by how the loss moves.",
    "EmoLynx": "The sign of a momentum, scaled by how the loss moves.",
    "EmoNavi": "Adam scaled by how the loss moves.",
    "FAdam": "Adam as natural gradient descent with a diagonal Fisher information.",
    "FOCUS": "The sign of a momentum, drawn to the average of the weights.",
    "FTRL": "Follow-the-regularized-leader method: sparse weights for linear models.",
    "Fira": "AdamW of low rank, with a correction for the rest of the gradient.",
    "FlashAdamW": "AdamW with 8-bit state.",
    "GaLore": "AdamW on gradients that are projected to a low rank: little memory.",
    "Grams": "The sign of the gradient, and the size of the momentum.",
    "Gravity": "Gradient descent with a velocity, after the motion of a falling body.",
    "GrokFastAdamW": "AdamW that amplifies the slow part of the gradients.",
    "Kate": "AdaGrad without a root, indifferent to the scale of the data.",
    "Kron": "Preconditioned gradient descent with Kronecker factors (PSGD).",
    "LARS": "Gradient descent whose rate follows the ratio of weights to gradients, by layer.",
    "LaProp": "Momentum of gradients that are already scaled, so that the two do not mix.",
    "Lamb": "Adam whose rate follows the ratio of weights to updates, by layer.",
    "Lion": "The sign of a momentum: simple, with half of Adam's state.",
    "LoRARite": "For LoRA: updates that do not depend on how a product is split.",
    "MADGRAD": "Dual averaging of gradients, with momentum and adaptive scaling.",
    "MARS": "Adam, Lion or Shampoo on gradients whose noise is reduced.",
    "MSVAG": "Momentum damped where gradients vary.",
    "Muon": "Momentum made orthogonal, for matrices and convolutions, and AdamW for the rest.",
    "MuonClip": "Muon that clips the weights of attention where logits grow.",
    "NorMuon": "Muon whose rows are scaled to the same size.",
    "NovoGrad": "Adam with one second moment for each layer.",
    "PAdam": "Adam with a smaller power of the denominator: between it and SGD.",
    "PID": "Gradient descent steered like a controller: the gradient, its sum, its change.",
    "PNM": "Gradient descent with a positive and a negative momentum.",
    "Prodigy": "Adam that finds its rate itself, faster than D-Adaptation.",
    "QHAdam": "Adam that mixes its averages with the present gradient.",
    "QHM": "Gradient descent that mixes its momentum with the present gradient.",
    "RACS": "Gradients scaled by row and by column: almost no state.",
    "RAdam": "Adam with a rectified start: no warm-up needed.",
    "ROSE": "Gradients scaled by the range of their rows and columns: no state.",
    "Ranger": "RAdam with Lookahead and centralized gradients.",
    "Ranger21": "AdamW with eight further methods, and a schedule of its own.",
    "SCION": "Steps of a given length in a norm that suits each layer.",
    "SCIONLight": "SCION with its momentum in the gradients: no state.",
    "SGDP": "SGD without the update component that only lengthens scale-invariant weights.",
    "SGDSaI": "SGD with one rate for each tensor, from the noise of its first gradient.",
    "SGDW": "SGD with decoupled weight decay.",
    "SM3": "AdaGrad with one number for each row and column: little memory.",
    "SOAP": "Adam in the eigenbasis of Shampoo's preconditioner.",
    "SPAM": "Adam that clips spikes and resets its momentum.",
    "SPlus": "Shampoo's directions with steps of fixed size, and averaged weights for evaluation.",
    "SRMM": "Minimizer of a regularized average of surrogates of the loss.",
    "SWATS": "Adam at first, with an automatic switch to SGD.",
    "SaRA": "AdamW for the weights that are nearly 0: fine-tuning.",
    "ScalableShampoo": "Shampoo in blocks, with the step sizes of another optimizer.",
    "ScheduleFreeAdamW": "AdamW that averages its weights instead of decaying its rate.",
    "ScheduleFreeRAdam": "RAdam that averages its weights instead of decaying its rate.",
    "ScheduleFreeSGD": "SGD that averages its weights instead of decaying its rate.",
    "Shampoo": "Preconditioner for each dimension of a tensor, from all of its gradients.",
    "SignSGD": "The sign of the gradient, or of its momentum.",
    "SimplifiedAdEMAMix": "AdEMAMix with one momentum and the present gradient.",
    "SophiaH": "A clipped step by the diagonal of the curvature.",
    "SpectralSphere": "Orthogonal updates that keep the largest singular value of each matrix.",
    "StableAdamW": "AdamW whose updates are clipped, with sums that lose nothing in 16 bits.",
    "StableSPAM": "Adam that scales and clips spikes and resets its momentum, for 4-bit training.",
    "TAM": "Gradient descent that trusts a gradient the more, the better it agrees with momentum.",
    "Tiger": "The sign of one momentum: the least state.",
    "VSGD": "Gradient descent that infers the true gradient from noisy ones.",
    "Yogi": "Adam whose second moment grows and falls at a bounded speed.",
}
"""Summary of each optimizer, in one line."""
