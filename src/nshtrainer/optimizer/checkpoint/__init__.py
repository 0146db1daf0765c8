"""Optimizer state by parameter name: saving, matching and checking it."""
