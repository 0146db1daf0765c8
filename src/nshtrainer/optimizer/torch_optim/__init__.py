"""Configs of the optimizers of `torch.optim`, by family."""
