"""Integrations with Lightning, transformers and accelerate, one module or package each."""
