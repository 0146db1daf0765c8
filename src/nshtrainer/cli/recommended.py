"""Recommended optimizers and schedules, each with when to use it.

The only list of them: `nshtrainer list`, `nshtrainer show` and the docs read it.
"""

from __future__ import annotations

__all__ = ["RECOMMENDED"]

RECOMMENDED: dict[str, dict[str, str]] = {
    "optimizer": {
        "adamw": "as the default, above all for transformers; lr 1e-4 to 1e-3, with a warm-up",
        "sgd": "for convolutional networks; lr about 0.1, momentum: 0.9, nesterov: true",
        "muon_with_adamw": "for fewer steps with transformers; Muon for matrices, AdamW for others",
        "soap": "for the fewest steps, if each may take longer; extra pytorch-optimizer",
        "adafactor": "for little memory; one row and one column of state per matrix",
        "ao_adamw8bit": "for a quarter of AdamW's state, on any device; extra torchao",
        "lion": "for half of AdamW's state, with a third to a tenth of its lr; extra "
        "pytorch-optimizer",
        "lamb": "for transformers with batches of thousands; extra pytorch-optimizer",
        "adamwschedulefree": "to train without a schedule or a fixed length; extra schedulefree",
        "prodigy": "if the learning rate is unknown, with lr 1; extra pytorch-optimizer",
        "sparseadam": "for embeddings with sparse=True",
        "lbfgs": "for small, smooth, full-batch problems; needs a closure",
    },
    "lr_scheduler": {
        "cosine": "as the default for training from scratch with a fixed budget",
        "linear": "as a default without anything to tune; usual for fine-tuning transformers",
        "warmup_stable_decay": "as the default for runs that may be extended (WSD)",
        "constant": "for baselines, for fine-tuning, and with optimizers that need no schedule",
        "inverse_sqrt": "for long pretraining, with an optional cooldown",
        "one_cycle": "for fast training of small models, with momentum against the rate",
        "step": "to multiply by a factor every n epochs",
        "multi_step": "to multiply by a factor at given milestones, as for ResNets",
        "cosine_restarts": "for snapshot ensembles, with cycles that may grow and shrink",
        "reduce_lr_on_plateau": "to lower the learning rate when a metric stops improving",
        "sequence": "to run one schedule after another",
        "schedules": "to schedule weight decay, momentum or single parameter groups",
    },
    "logger": {
        "csv": "for a table of metrics in a file",
        "tensorboard": "for curves on this machine; extra tensorboard",
        "wandb": "for Weights & Biases, online or offline; extra wandb",
        "mlflow": "for an MLflow server or a database; extra mlflow",
    },
    "callback": {
        "early_stopping": "to stop when a metric has stopped improving",
        "model_checkpoint": "to keep the best checkpoints, or one every so often",
        "learning_rate_monitor": "to log the learning rate of each parameter group",
        "unfreeze": "to freeze parameters at first, and train them from an epoch on",
        "gradient_accumulation_scheduler": "to change the batch size during training",
        "timer": "to stop after a time",
    },
}
