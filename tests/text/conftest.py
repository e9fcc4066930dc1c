import pytest

from espnet_llmasr.text import wetext


@pytest.fixture(scope="session")
def grammar(cache):
    """The Mandarin grammar, built before the clock of a test runs."""
    wetext.mandarin("3")
