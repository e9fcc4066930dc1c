"""The CTC head as verifier of transcripts: confidence, word times, gaps, thresholds, and tests with corrupted audio.

Start with verifier.py (confidence of a transcript); inference/guard.py is what decoding does with it.
"""
