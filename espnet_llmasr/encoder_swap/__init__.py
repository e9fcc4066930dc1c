"""The encoder swap of IA-SFT: pretraining publishes encoders, IA-SFT takes them at the start of its epochs.

rule.py decides when an encoder is published, watcher.py computes CKA after every epoch of pretraining, store.py holds
the published encoders, trainer.py swaps them in and records it, plan.py replays stored epochs with another rule.
"""
