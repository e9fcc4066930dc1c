"""Entropy-allocated LLM-based ASR (arXiv 2604.08003) for ESPnet. Importing this package loads nothing else."""

__version__ = "0.1.0"
__all__ = ["Speech2Text"]


def __getattr__(name: str):
    """`from espnet_llmasr import Speech2Text` loads torch and ESPnet only when it is used (PEP 562)."""
    if name == "Speech2Text":
        from espnet_llmasr.inference.speech2text import Speech2Text

        return Speech2Text
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
