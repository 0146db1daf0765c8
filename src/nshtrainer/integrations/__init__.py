"""Integrations with Lightning, transformers and accelerate.

The integration of a package is the module or package of its name here. It defines
`run_length_of(obj)`, which reads the run length from an object of that package, or raises a
`ScheduleError` that says what to pass instead.
"""
