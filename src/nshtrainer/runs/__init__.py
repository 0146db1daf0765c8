"""Training runs of a run file: folder, signals, output and results."""
