"""What optimizers of other packages there are, without importing them.

Written by tools/package_optimizers/generate.py.
"""

from __future__ import annotations

__all__ = ["INDEX"]

INDEX: dict[str, dict[str, tuple[str, str]]] = {
    "nshtrainer.optimizer.third_party.bitsandbytes": {
        "bnb_ademamix8bit": (
            "BNBAdEMAMix8bitConfig",
            "AdEMAMix with 8-bit states, of bitsandbytes: less state than AdamW has.",
        ),
        "bnb_adagrad8bit": (
            "BNBAdagrad8bitConfig",
            "Adagrad with an 8-bit sum of squares, of bitsandbytes.",
        ),
        "bnb_adam8bit": (
            "BNBAdam8bitConfig",
            "Adam with 8-bit moments, of bitsandbytes; its weight decay is that of AdamW.",
        ),
        "bnb_adamw8bit": (
            "BNBAdamW8bitConfig",
            "AdamW with 8-bit moments, of bitsandbytes: a quarter of the state.",
        ),
        "bnb_lion8bit": (
            "BNBLion8bitConfig",
            "Lion with an 8-bit momentum, of bitsandbytes: an eighth of AdamW's state.",
        ),
        "bnb_pagedademamix8bit": (
            "BNBPagedAdEMAMix8bitConfig",
            "`bnb_ademamix8bit` with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedademamix": (
            "BNBPagedAdEMAMixConfig",
            "AdEMAMix in float32 with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedadam8bit": (
            "BNBPagedAdam8bitConfig",
            "`bnb_adam8bit` with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedadam": (
            "BNBPagedAdamConfig",
            "Adam in float32 with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedadamw8bit": (
            "BNBPagedAdamW8bitConfig",
            "`bnb_adamw8bit` with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedadamw": (
            "BNBPagedAdamWConfig",
            "AdamW in float32 with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedlion8bit": (
            "BNBPagedLion8bitConfig",
            "`bnb_lion8bit` with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_pagedlion": (
            "BNBPagedLionConfig",
            "Lion in float32 with a state that a full GPU pushes out to the CPU; needs a GPU.",
        ),
        "bnb_rmsprop8bit": (
            "BNBRMSprop8bitConfig",
            "RMSprop with an 8-bit average, of bitsandbytes.",
        ),
        "bnb_sgd8bit": ("BNBSGD8bitConfig", "SGD with an 8-bit momentum, of bitsandbytes."),
    },
    "nshtrainer.optimizer.third_party.pytorch_optimizer": {
        "a2grad": (
            "A2GradConfig",
            "Accelerated gradient descent with adaptive steps and three ways of averaging.",
        ),
        "adopt": (
            "ADOPTConfig",
            "Adam that divides by the average square of before, and so converges with any beta2.",
        ),
        "apollo": (
            "APOLLOConfig",
            "AdamW whose step sizes come from a low-rank projection: little memory.",
        ),
        "accsgd": ("AccSGDConfig", "Accelerated gradient descent with a long and a short step."),
        "ademamix": (
            "AdEMAMixConfig",
            "Adam with a second, much slower momentum beside the usual one.",
        ),
        "adabelief": (
            "AdaBeliefConfig",
            "Adam that divides by how far gradients are from what was expected.",
        ),
        "adabound": (
            "AdaBoundConfig",
            "Adam whose step sizes are bounded ever more closely, until it is SGD.",
        ),
        "adagc": ("AdaGCConfig", "Adam that clips the gradient of each tensor by its own history."),
        "adago": ("AdaGOConfig", "Orthogonal updates whose size adapts as in AdaGrad."),
        "adahessian": (
            "AdaHessianConfig",
            "Adam with the diagonal of the curvature in place of squared gradients.",
        ),
        "adamod": (
            "AdaModConfig",
            "Adam whose step sizes are bounded by their own running average.",
        ),
        "adamuon": ("AdaMuonConfig", "Muon with a second moment of its orthogonal updates."),
        "adanorm": (
            "AdaNormConfig",
            "Adam that corrects gradients whose norm falls below its history.",
        ),
        "adapnm": ("AdaPNMConfig", "Adam with a positive and a negative momentum."),
        "adashift": (
            "AdaShiftConfig",
            "Adam whose second moment comes from older gradients than its first.",
        ),
        "adasmooth": (
            "AdaSmoothConfig",
            "Scales by an average that smooths less where progress is steady.",
        ),
        "adatam": (
            "AdaTAMConfig",
            "Adam that trusts a gradient the more, the better it agrees with the momentum.",
        ),
        "adai": (
            "AdaiConfig",
            "Gradient descent whose momentum, not whose rate, adapts to each weight.",
        ),
        "adalite": ("AdaliteConfig", "Factored averages and trust ratios: little memory."),
        "adamc": (
            "AdamCConfig",
            "AdamW whose decay follows the rate, so that gradients do not grow at the end.",
        ),
        "adamg": ("AdamGConfig", "Adam without a rate to tune."),
        "adamp": (
            "AdamPConfig",
            "Adam that takes out what only makes weights longer, where their scale is free.",
        ),
        "adams": ("AdamSConfig", "Adam with a decay that is stable against the size of gradients."),
        "adamwsn": (
            "AdamWSNConfig",
            "AdamW with one average for each subset of weights: little memory.",
        ),
        "adan": ("AdanConfig", "Adam with Nesterov momentum, from gradients and their changes."),
        "aggmo": ("AggMoConfig", "Gradient descent with the mean of several momenta."),
        "aida": ("AidaConfig", "AdaBelief with gradient and momentum projected on each other."),
        "alig": (
            "AliGConfig",
            "Gradient descent whose step is the loss over the squared gradient.",
        ),
        "alice": (
            "AliceConfig",
            "Adam within a subspace that is tracked, and a correction for the rest.",
        ),
        "amos": (
            "AmosConfig",
            "Adam-like, with a decay towards the scale that weights should have.",
        ),
        "ano": (
            "AnoConfig",
            "The sign of the momentum, and the size of the gradient: for noisy problems.",
        ),
        "apollodqn": ("ApolloDQNConfig", "A quasi-Newton method with a diagonal curvature."),
        "avagrad": (
            "AvaGradConfig",
            "Adam that divides by the average square of before, with a rate free of eps.",
        ),
        "bcos": ("BCOSConfig", "Step sizes that are optimal for blocks of weights."),
        "came": ("CAMEConfig", "Adafactor that trusts an update the less, the more it wavers."),
        "conda": ("CondaConfig", "Adam in a basis that comes from the momentum."),
        "dash": ("DASHConfig", "Shampoo in batched blocks, with fast inverse roots."),
        "dadaptadagrad": ("DAdaptAdaGradConfig", "AdaGrad that finds its rate by itself."),
        "dadaptadam": ("DAdaptAdamConfig", "Adam that finds its rate by itself."),
        "dadaptadan": ("DAdaptAdanConfig", "Adan that finds its rate by itself."),
        "dadaptlion": ("DAdaptLionConfig", "Lion that finds its rate by itself."),
        "dadaptsgd": ("DAdaptSGDConfig", "Gradient descent that finds its rate by itself."),
        "diffgrad": ("DiffGradConfig", "Adam that steps less where gradients hardly change."),
        "dualadam": ("DualAdamConfig", "Adam mixed with its inverse, which fades."),
        "exadam": ("EXAdamConfig", "Adam with moments that correct each other."),
        "emofact": ("EmoFactConfig", "Factored averages, scaled by how the loss moves."),
        "emolynx": ("EmoLynxConfig", "The sign of a momentum, scaled by how the loss moves."),
        "emonavi": ("EmoNaviConfig", "Adam scaled by how the loss moves."),
        "fadam": (
            "FAdamConfig",
            "Adam as natural gradient descent with a diagonal Fisher information.",
        ),
        "focus": ("FOCUSConfig", "The sign of a momentum, drawn to the average of the weights."),
        "ftrl": ("FTRLConfig", "Follows the regularised leader: sparse weights for linear models."),
        "fira": (
            "FiraConfig",
            "AdamW of low rank, with a correction for the rest of the gradient.",
        ),
        "flashadamw": ("FlashAdamWConfig", "AdamW with 8-bit state."),
        "galore": (
            "GaLoreConfig",
            "AdamW on gradients that are projected to a low rank: little memory.",
        ),
        "grams": ("GramsConfig", "The sign of the gradient, and the size of the momentum."),
        "gravity": (
            "GravityConfig",
            "Gradient descent with a velocity, after the motion of a falling body.",
        ),
        "grokfastadamw": (
            "GrokFastAdamWConfig",
            "AdamW that amplifies the slow part of the gradients.",
        ),
        "kate": ("KateConfig", "AdaGrad without a root, indifferent to the scale of the data."),
        "kron": ("KronConfig", "Preconditioned gradient descent with Kronecker factors (PSGD)."),
        "lars": (
            "LARSConfig",
            "Gradient descent whose rate follows the ratio of weights to gradients, by layer.",
        ),
        "laprop": (
            "LaPropConfig",
            "Momentum of gradients that are already scaled, so that the two do not mix.",
        ),
        "lamb": (
            "LambConfig",
            "Adam whose rate follows the ratio of weights to updates, by layer.",
        ),
        "lion": ("LionConfig", "The sign of a momentum: simple, with half of Adam's state."),
        "lorarite": (
            "LoRARiteConfig",
            "For LoRA: updates that do not depend on how a product is split.",
        ),
        "madgrad": (
            "MADGRADConfig",
            "Dual averaging of gradients, with momentum and adaptive scaling.",
        ),
        "mars": ("MARSConfig", "Adam, Lion or Shampoo on gradients whose noise is reduced."),
        "msvag": ("MSVAGConfig", "Momentum damped where gradients vary."),
        "muonclip": (
            "MuonClipConfig",
            "Muon that clips the weights of attention where logits grow.",
        ),
        "normuon": ("NorMuonConfig", "Muon whose rows are scaled to the same size."),
        "novograd": ("NovoGradConfig", "Adam with one second moment for each layer."),
        "padam": (
            "PAdamConfig",
            "Adam with a smaller power of the denominator: between it and SGD.",
        ),
        "pid": (
            "PIDConfig",
            "Gradient descent steered like a controller: the gradient, its sum, its change.",
        ),
        "pnm": ("PNMConfig", "Gradient descent with a positive and a negative momentum."),
        "po_asgd": (
            "POASGDConfig",
            "Gradient descent whose rate follows an estimate of the smoothness.",
        ),
        "po_adadelta": (
            "POAdaDeltaConfig",
            "Scales by recent gradients and recent updates, so that the rate has no unit.",
        ),
        "po_adafactor": (
            "POAdaFactorConfig",
            "Adam's second moment as rows and columns, in the variant of big vision models.",
        ),
        "po_adamax": (
            "POAdaMaxConfig",
            "Adam with the largest gradient instead of the average square.",
        ),
        "po_muon": (
            "POMuonConfig",
            "Momentum made orthogonal, for matrices and convolutions, and AdamW for the rest.",
        ),
        "po_radam": ("PORAdamConfig", "Adam with a rectified start: no warm-up needed."),
        "prodigy": (
            "ProdigyConfig",
            "Adam that finds its rate by itself, faster than D-Adaptation.",
        ),
        "qhadam": ("QHAdamConfig", "Adam that mixes its averages with the present gradient."),
        "qhm": ("QHMConfig", "Gradient descent that mixes its momentum with the present gradient."),
        "racs": ("RACSConfig", "Gradients scaled by row and by column: almost no state."),
        "rose": (
            "ROSEConfig",
            "Gradients scaled by the range of their rows and columns: no state.",
        ),
        "ranger21": (
            "Ranger21Config",
            "AdamW with eight further methods, and a schedule of its own.",
        ),
        "ranger": ("RangerConfig", "RAdam with Lookahead and centralised gradients."),
        "scion": ("SCIONConfig", "Steps of a given length in a norm that suits each layer."),
        "scionlight": ("SCIONLightConfig", "SCION with its momentum in the gradients: no state."),
        "sgdp": (
            "SGDPConfig",
            "SGD that takes out what only makes weights longer, where their scale is free.",
        ),
        "sgdsai": (
            "SGDSaIConfig",
            "SGD with one rate for each tensor, from the noise of its first gradient.",
        ),
        "sgdw": ("SGDWConfig", "SGD with decoupled weight decay."),
        "sm3": ("SM3Config", "AdaGrad with one number for each row and column: little memory."),
        "soap": ("SOAPConfig", "Adam in the eigenbasis of Shampoo's preconditioner."),
        "spam": ("SPAMConfig", "Adam that clips spikes and resets its momentum."),
        "splus": (
            "SPlusConfig",
            "Shampoo's directions with steps of fixed size, and averaged weights for evaluation.",
        ),
        "srmm": ("SRMMConfig", "Minimises a regularised average of surrogates of the loss."),
        "swats": ("SWATSConfig", "Begins as Adam and goes over to SGD by itself."),
        "sara": ("SaRAConfig", "AdamW for the weights that are nearly 0: fine-tuning."),
        "scalableshampoo": (
            "ScalableShampooConfig",
            "Shampoo in blocks, with the step sizes of another optimizer.",
        ),
        "schedulefreeadamw": (
            "ScheduleFreeAdamWConfig",
            "AdamW that averages its weights instead of decaying its rate.",
        ),
        "schedulefreeradam": (
            "ScheduleFreeRAdamConfig",
            "RAdam that averages its weights instead of decaying its rate.",
        ),
        "schedulefreesgd": (
            "ScheduleFreeSGDConfig",
            "SGD that averages its weights instead of decaying its rate.",
        ),
        "shampoo": (
            "ShampooConfig",
            "Preconditions each dimension of a tensor by the whole of its gradients.",
        ),
        "signsgd": ("SignSGDConfig", "The sign of the gradient, or of its momentum."),
        "simplifiedademamix": (
            "SimplifiedAdEMAMixConfig",
            "AdEMAMix with one momentum and the present gradient.",
        ),
        "sophiah": ("SophiaHConfig", "A clipped step by the diagonal of the curvature."),
        "spectralsphere": (
            "SpectralSphereConfig",
            "Orthogonal updates that keep the largest singular value of each matrix.",
        ),
        "stableadamw": (
            "StableAdamWConfig",
            "AdamW whose updates are clipped, with sums that lose nothing in 16 bits.",
        ),
        "stablespam": (
            "StableSPAMConfig",
            "Adam that scales and clips spikes and resets its momentum, for 4-bit training.",
        ),
        "tam": (
            "TAMConfig",
            "Gradient descent that trusts a gradient the more, the better it agrees with momentum.",
        ),
        "tiger": ("TigerConfig", "The sign of one momentum: the least state."),
        "vsgd": ("VSGDConfig", "Gradient descent that infers the true gradient from noisy ones."),
        "yogi": ("YogiConfig", "Adam whose second moment grows and falls at a bounded speed."),
    },
    "nshtrainer.optimizer.third_party.schedulefree": {
        "adamwschedulefree": (
            "AdamWScheduleFreeConfig",
            "AdamW that averages its weights instead of decaying its rate.",
        ),
        "radamschedulefree": (
            "RAdamScheduleFreeConfig",
            "RAdam that averages its weights instead of decaying its rate: no warm-up either.",
        ),
        "sgdschedulefree": (
            "SGDScheduleFreeConfig",
            "SGD that averages its weights instead of decaying its rate.",
        ),
    },
    "nshtrainer.optimizer.third_party.torchao": {
        "ao_adam4bit": (
            "AOAdam4bitConfig",
            "Adam with 4-bit moments, of torchao: an eighth of the state.",
        ),
        "ao_adam8bit": (
            "AOAdam8bitConfig",
            "Adam with 8-bit moments, of torchao: a quarter of the state, on any device.",
        ),
        "ao_adamfp8": (
            "AOAdamFp8Config",
            "Adam with moments as floats of 8 bits (e4m3), of torchao: a quarter of the state.",
        ),
        "ao_adamw4bit": (
            "AOAdamW4bitConfig",
            "AdamW with 4-bit moments, of torchao: an eighth of the state.",
        ),
        "ao_adamw8bit": (
            "AOAdamW8bitConfig",
            "AdamW with 8-bit moments, of torchao: a quarter of the state, on any device.",
        ),
        "ao_adamwfp8": (
            "AOAdamWFp8Config",
            "AdamW with moments as floats of 8 bits (e4m3), of torchao: a quarter of the state.",
        ),
    },
}
"""Class and first line of each, by the module that has it and its name."""
