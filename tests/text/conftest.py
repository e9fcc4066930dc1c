import pytest

from espnet_llmasr.text import wetext


@pytest.fixture(scope="session")
def grammar(tmp_path_factory):
    """A cache of the grammars that belongs to the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESPNET_LLMASR_CACHE", str(tmp_path_factory.mktemp("cache")))
        wetext._grammar.cache_clear()
        wetext.mandarin("3")
        yield
        wetext._grammar.cache_clear()
