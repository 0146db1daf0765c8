"""Readers and writers of YAML, JSON and TOML."""
