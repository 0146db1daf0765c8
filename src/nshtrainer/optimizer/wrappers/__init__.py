"""Configs and hooks that wrap another optimizer: lookahead, clipping, skipping, SAM."""
