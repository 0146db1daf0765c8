"""A config is a frozen value: it checks itself, changes by copy, and previews what it will do.

Prints:

    AdamWConfig lr=0.001 betas=(0.9, 0.999)
    AdamWConfig lr=0.0003 betas=(0.9, 0.95)
    lr: must be >= 0 (got -1.0)
    step    0: 0.000
    step  100: 1.000
    step  550: 0.505
    step 1000: 0.010
"""

from __future__ import annotations

from pydantic import ValidationError

from nshtrainer import RunLength
from nshtrainer.configs import AdamWConfig, LinearWarmupCosineDecayLRSchedulerConfig

optimizer = AdamWConfig(lr=1e-3)
print("AdamWConfig", f"lr={optimizer.lr}", f"betas={optimizer.betas}")

changed = optimizer.replace(lr=3e-4, betas=(0.9, 0.95))
print("AdamWConfig", f"lr={changed.lr}", f"betas={changed.betas}")

try:
    AdamWConfig(lr=-1.0)
except ValidationError as error:
    print(f"lr: {error.errors()[0]['msg']}")

# A schedule is a curve; it needs no optimizer, no model and no run to be looked at.
schedule = LinearWarmupCosineDecayLRSchedulerConfig(
    warmup_duration="10%", max_duration="100%", min_lr_factor=0.01
)
curve = schedule.curve(RunLength(total_steps=1000))
for step in (0, 100, 550, 1000):
    print(f"step {step:>4}: {curve(step):.3f}")
