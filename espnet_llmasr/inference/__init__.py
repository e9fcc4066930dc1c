"""From audio to transcripts: Speech2Text, beam search, hypotheses, hotwords, and the guard that flags or replaces them.

Start with speech2text.py.
"""
