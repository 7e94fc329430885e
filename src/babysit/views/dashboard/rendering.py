"""Templates to pages: what every page has in common is added here, and every value is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from babysit.views.dashboard.state import Serving
from babysit.views.dashboard.static_files import static_url
from babysit.views.html.pages import FILTERS

SHARED = ("dom.js", "keyboard.js", "polling.js")
"""The scripts that all pages use."""


@cache
def environment() -> Environment:
    """The templates of the dashboard, with the report's words as filters."""
    made = Environment(
        loader=PackageLoader("babysit.views.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    made.globals.update(static=static_url)
    return made


def page(serving: Serving, template: str, contents: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A whole page.

    Args:
        serving: what is served.
        template: its file's name.
        contents: what it shows, by name; a name that the template needs and that is missing is an error.
        status: of the answer, default 200.
    """
    common = {"token": serving.rules.token, "store": serving.store.text, "modules": modules()}
    html = environment().get_template(template).render({**common, **contents})
    # A page holds the start's token and the store's present state: nobody keeps it.
    return HTMLResponse(html, status, {"cache-control": "no-store"})


@cache
def modules() -> tuple[str, ...]:
    """The addresses of the shared scripts, to be fetched at once instead of one after the other."""
    return tuple(static_url(name) for name in SHARED)
