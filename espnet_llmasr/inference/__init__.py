"""From audio to transcripts: Speech2Text, beam search, hypotheses, and the guard that flags or replaces them.

Start with speech2text.py.
"""
