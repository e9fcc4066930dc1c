"""From audio to transcripts: Speech2Text, beam search, hypotheses.

Start with speech2text.py.
"""
