"""Hugging Face's Trainer: groups, a schedule over its run, and a resume at the same rates.

It needs the extra `transformers`.

Prints:

    16 updates, as the Trainer counts them
    the rates of updates 1, 4, 9 and 16: 0.00200, 0.00800, 0.00750, 0.00017
    the loss of a character falls by more than a tenth: True
    resumed after update 10, the rates are the same: True
"""

from __future__ import annotations

from pydoc_data.topics import topics
from tempfile import TemporaryDirectory

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, Trainer, TrainingArguments

import nshtrainer
from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
from nshtrainer.run_length import run_length_of

OPTIMIZER = AdamWConfig(lr=0.01, no_decay="bias_and_norm")
SCHEDULE = CosineScheduleConfig(warmup_duration="25%")

# Real text, that of Python's own help, as the places of its characters among all that it has.
text = "\n".join(topics[name] for name in sorted(topics))[:2048]
letters = sorted(set(text))
pieces = torch.tensor([letters.index(letter) for letter in text]).unfold(0, 16, 16)
data = [{"input_ids": piece, "labels": piece} for piece in pieces]


def new_trainer(folder):
    torch.manual_seed(0)
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 16}
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(letters), bos_token_id=0, eos_token_id=0, **sizes)
    )
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        logging_steps=1,
        save_steps=10,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=data)
    trainer.remove_callback(PrinterCallback)
    # When the Trainer is there: it knows the length of the run.
    trainer.optimizer, trainer.lr_scheduler = nshtrainer.create(OPTIMIZER, SCHEDULE, model, trainer)
    return trainer


def logged(trainer, key):
    return [log[key] for log in trainer.state.log_history if key in log]


with TemporaryDirectory() as folder:
    trainer = new_trainer(folder)
    print(f"{run_length_of(trainer).total_steps} updates, as the Trainer counts them")
    trainer.train()
    rates, losses = logged(trainer, "learning_rate"), logged(trainer, "loss")
    chosen = ", ".join(f"{rates[update - 1]:.5f}" for update in (1, 4, 9, 16))
    print(f"the rates of updates 1, 4, 9 and 16: {chosen}")
    print(f"the loss of a character falls by more than a tenth: {losses[-1] < 0.9 * losses[0]}")

    resumed = new_trainer(folder)
    resumed.train(resume_from_checkpoint=f"{folder}/checkpoint-10")
    same = logged(resumed, "learning_rate") == rates
    print(f"resumed after update 10, the rates are the same: {same}")
