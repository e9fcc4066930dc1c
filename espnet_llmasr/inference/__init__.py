"""Decoding of a trained LLM-ASR model: beam search, hypotheses, the guard, and `Speech2Text`, the Python interface."""
