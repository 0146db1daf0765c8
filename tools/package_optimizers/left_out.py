"""Optimizers of other packages without a config, and the reasons."""

from __future__ import annotations

__all__ = ["LEFT_OUT"]

LEFT_OUT: dict[str, dict[str, str]] = {
    "pytorch_optimizer": {
        "AdaLOMO": "updates within the backward pass; `step()` is not implemented",
        "AdamMini": "takes the model in place of parameters, and makes its own groups",
        "BSAM": "its first step needs the gradients of an earlier one",
        "DeMo": "needs `einops` and a process group",
        "DistributedMuon": "needs a process group",
        "Fromage": "licence: CC BY-NC-SA, non-commercial",
        "LOMO": "updates within the backward pass; `step()` is not implemented",
        "Magma": "a wrapper around another optimizer",
        "Nero": "licence: CC BY-NC-SA, non-commercial",
    },
    "schedulefree": {
        "AdamWScheduleFreeClosure": "the class without `Closure`, by another way of stepping",
        "RAdamScheduleFreeClosure": "the class without `Closure`, by another way of stepping",
        "SGDScheduleFreeClosure": "the class without `Closure`, by another way of stepping",
        "AdamWScheduleFreePaper": "for comparison with `AdamWScheduleFree`, and slower",
        "AdamWScheduleFreeReference": "for comparison with `AdamWScheduleFree`, and slower",
        "SGDScheduleFreeReference": "for comparison with `SGDScheduleFree`, and slower",
    },
    "torchao": {
        "CPUOffloadOptimizer": "needs a GPU, takes no hooks, makes a group of each parameter",
        "_AdamW": "only for parameters that torchao has quantized; for others use `adamw`",
    },
    "bitsandbytes": {
        "LAMB8bit": "its 8-bit kernel leaves the trust ratio out: it steps as `AdamW8bit` does",
        "LARS8bit": "its 8-bit kernel leaves the trust ratio out: it steps as `SGD8bit` does",
        "PytorchLARS": "for comparison with `LARS`",
        **dict.fromkeys(
            ("PagedAdEMAMix32bit", "PagedAdam32bit", "PagedAdamW32bit", "PagedLion32bit"),
            "the class without `32bit` is the same",
        ),
        **dict.fromkeys(
            (
                "AdEMAMix",
                "AdEMAMix32bit",
                "Adagrad",
                "Adagrad32bit",
                "Adam",
                "Adam32bit",
                "AdamW",
                "AdamW32bit",
                "LAMB",
                "LAMB32bit",
                "LARS",
                "LARS32bit",
                "Lion",
                "Lion32bit",
                "RMSprop",
                "RMSprop32bit",
                "SGD",
                "SGD32bit",
            ),
            "32-bit states without pages: use the optimizer of torch or of pytorch_optimizer",
        ),
    },
}
"""Reasons by package and class."""
