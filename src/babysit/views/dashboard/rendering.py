"""The templates of the pages: common contents are added here, and every value is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from babysit.views.dashboard.state import Serving
from babysit.views.dashboard.static_files import static_url
from babysit.views.data.scatter import RangeStrip
from babysit.views.html.pages import FILTERS
from babysit.views.svg.figures import range_strip_svg

SHARED = ("dom.js", "keyboard.js", "polling.js")
"""The scripts that all pages use."""


@cache
def environment() -> Environment:
    """Creates the environment of the templates, with the report's text functions as filters."""
    made = Environment(
        loader=PackageLoader("babysit.views.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS, range_strip=_range_strip)
    made.globals.update(static=static_url)
    return made


def _range_strip(data: RangeStrip) -> Markup:
    """Draws the figure of an edge alarm; the drawing escapes every name in it."""
    return Markup(range_strip_svg(data))


def page(serving: Serving, template: str, contents: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """Renders a whole page.

    Args:
        serving: the running dashboard.
        template: the name of its file.
        contents: name -> value; a name that the template needs and that is missing is an error.
        status: of the answer. Default: 200.
    """
    common = {"token": serving.rules.token, "store": serving.store.text, "modules": modules()}
    html = environment().get_template(template).render({**common, **contents})
    # A page holds the token of this start and the present state of the store: it must not be cached.
    return HTMLResponse(html, status, {"cache-control": "no-store"})


@cache
def modules() -> tuple[str, ...]:
    """Returns the addresses of the shared scripts, so that a browser fetches them all at once."""
    return tuple(static_url(name) for name in SHARED)
