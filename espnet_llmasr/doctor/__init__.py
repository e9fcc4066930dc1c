"""Examines a training before it costs days: `bin.doctor CONFIG` prints a line for each check.

context.py builds what the checks look at, checks.py has a function for each check, options.py finds options that have
no effect.
"""
