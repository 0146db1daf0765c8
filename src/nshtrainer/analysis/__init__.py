"""Answers about a run without training: summary, parameter trace, diff, dry run."""
