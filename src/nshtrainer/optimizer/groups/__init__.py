"""Parameter groups: which parameter gets which options."""
