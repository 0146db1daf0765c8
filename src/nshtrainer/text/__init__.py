"""How a config becomes text and comes back: formats, places, limits, overrides and messages."""
