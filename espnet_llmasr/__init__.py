"""Entropy-allocated LLM-based ASR (arXiv 2604.08003) for ESPnet. Importing this package costs nothing."""

__version__ = "0.1.0"
