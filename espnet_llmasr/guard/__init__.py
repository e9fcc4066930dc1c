"""The CTC head as verifier of transcripts: confidence, word times, flags, and another hypothesis where one is flagged.

Start with verifier.py (confidence of a transcript) and guard.py (what decoding does with it).
"""
