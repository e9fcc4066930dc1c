"""Training: preprocessing, batches, augmentation, the exact step over ranks and accumulation, checkpoints, drift.

Start with trainer.py.
"""
