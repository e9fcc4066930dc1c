"""The published corpora, one module each: a paragraph (source, licence, layout, quirks), `read(source)` and `CORPUS`.

A new module is all that a new corpus needs; local/prepare.py lists it. docs/corpora.md says how to write one.
"""
