"""The guard that keeps test sets out of the training data: ids, audio fingerprints and text (check_overlap.py)."""
