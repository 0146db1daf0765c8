"""Random and hostile attempts on runs, files, names and writers, with a seed and a time limit.

`python -m tools.attack` runs every category in turn until the time is over, and prints counts. A
new category is a module with `CATEGORY`, and a name in `categories.py`.
"""
