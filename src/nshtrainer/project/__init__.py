"""The user's run file and the user's code."""
