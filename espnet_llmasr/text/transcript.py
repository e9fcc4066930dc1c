"""The canonical form of a training transcript."""

from typing import Tuple

from espnet_llmasr.text.normalize import normalize

STYLES = ("plain", "formatted")


class Transcript:
    def __init__(self, style: str = "plain"):
        self.style = style

    def __call__(self, text: str, lang: str) -> Tuple[str, str]:
        return normalize(text), ""
