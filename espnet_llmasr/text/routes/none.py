"""The route `none`: the text as it is."""

from espnet_llmasr.text.routes import Route

DESCRIPTION = "nothing else"
PACKAGES = ()


def make() -> Route:
    return Route("none", "2", lambda text, lang: text)
