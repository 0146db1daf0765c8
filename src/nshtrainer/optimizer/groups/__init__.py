"""Parameter groups: selection of parameters, and their options."""
