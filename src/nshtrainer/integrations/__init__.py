"""Integrations with Lightning, transformers and accelerate.

The integration of a package is the module or subpackage with the package's name. It defines
`run_length_of(obj)`, which reads the run length from an object of that package, or raises a
`ScheduleError` that names the object to pass instead.
"""
