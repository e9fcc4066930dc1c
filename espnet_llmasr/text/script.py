"""Simplified Chinese characters for traditional ones, by OpenCC (github.com/BYVoid/OpenCC, Apache 2.0)."""

from functools import lru_cache


def simplified(text: str) -> str:
    """ "我們的電腦" -> "我们的电脑"; converts phrases, so 乾隆 does not change.

    Raises:
        ValueError: OpenCC is not installed.
    """
    return _converter().convert(text)


@lru_cache(None)
def _converter():
    try:
        import opencc
    except ModuleNotFoundError as error:
        raise ValueError(
            "OpenCC, which makes transcripts of Mandarin simplified, is missing: pip install OpenCC"
        ) from error
    return opencc.OpenCC("t2s")
