"""Text: transcripts, phonemes of Mandarin, Cantonese and English, numerals, prompts, normaliser routes.

Needs neither torch nor ESPnet. Start with phonemes.py (labels) and transcript.py (what training text becomes).
"""
