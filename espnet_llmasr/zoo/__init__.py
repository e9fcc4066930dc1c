"""Packed models: `pack` writes one, `upload` publishes one, `load` finds one. docs/model_zoo.md describes the form."""
