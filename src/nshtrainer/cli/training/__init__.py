"""One training run: its folder, its signals and what it prints."""
