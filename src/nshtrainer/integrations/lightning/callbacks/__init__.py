"""Callbacks of Lightning that configs create."""
