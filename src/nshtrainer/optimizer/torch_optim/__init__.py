"""The optimizers of `torch.optim`, one short class each, by family."""
