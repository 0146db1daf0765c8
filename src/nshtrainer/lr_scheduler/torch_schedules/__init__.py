"""PyTorch's own schedulers as configs, under their torch names."""
