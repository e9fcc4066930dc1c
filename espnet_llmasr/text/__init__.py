"""Text: transcripts, phonemes of Mandarin, Cantonese and English, numerals, prompts, normaliser routes.

Only prompt.py needs torch, none of it ESPnet. Start with phonemes.py (labels) and transcript.py (what training text becomes).
"""
