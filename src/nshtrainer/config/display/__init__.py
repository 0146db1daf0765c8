"""Configs for people: reprs, tables for notebooks, and what `help` prints."""
