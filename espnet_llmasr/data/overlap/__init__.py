"""Keeps test sets out of the training data: compares ids, audio fingerprints and text (local/check_overlap.py)."""
