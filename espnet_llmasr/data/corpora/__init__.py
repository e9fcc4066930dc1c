"""Readers of published corpora, one file each: `read(source)` yields utterances, `CORPUS` describes parts and licence.

librispeech.py is a short example. docs/extending.md adds one step by step.
"""
