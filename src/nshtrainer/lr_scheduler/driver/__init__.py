"""The torch scheduler that applies a schedule to the parameter groups of an optimizer."""
