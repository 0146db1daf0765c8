"""Additional entries of a Lightning checkpoint, and resuming from it."""
