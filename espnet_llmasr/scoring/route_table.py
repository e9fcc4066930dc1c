"""The table of normaliser routes in docs/scoring.md, made from the files in text/routes."""

from typing import List

from espnet_llmasr.scoring.markdown import markdown
from espnet_llmasr.text.routes import ROUTES, Route, make_route, route_module, tokens_of

EXAMPLES = (
    "啊，我有300块",
    "啊，我有三百块",
    "我們在那兒用WiFi",
    "It's $5, um, in colour",
    "He said [noise] twenty-five",
)


def route_tables() -> str:
    """What every route does, and what it makes of a few lines; the second table has the installed routes only."""
    modules = {name: route_module(name) for name in ROUTES}
    rows = [(f"`{name}`", file.DESCRIPTION, ", ".join(file.PACKAGES) or "-") for name, file in modules.items()]
    descriptions = markdown([("route", "what it does to both sides", "needs"), *rows], left=3)
    routes = _installed_routes()
    head = ("line", *(f"`{route.name}`" for route in routes))
    lines = [(line, *(" ".join(tokens_of(route, line, "")[0]) for route in routes)) for line in EXAMPLES]
    return f"{descriptions}\n{markdown([head, *lines], left=len(head))}"


def _installed_routes() -> List[Route]:
    routes = []
    for name in ROUTES:
        try:
            routes.append(make_route(name))
        except ValueError:  # its package is not installed
            continue
    return routes
