"""The application: routes, one module a page, behind the guard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from babysit.errors import StoreError
from babysit.views.dashboard import (
    command_center,
    commands,
    compare_page,
    lab_page,
    run_page,
    series_page,
    static_files,
    studies_page,
)
from babysit.views.dashboard.parameters import wants_data
from babysit.views.dashboard.rendering import page
from babysit.views.dashboard.security import Guard, TooLargeError
from babysit.views.dashboard.state import Serving, serving_of

PAGES = (studies_page, command_center, commands, run_page, series_page, compare_page, lab_page)
"""The modules that make pages; each has ``routes``."""


def create_app(serving: Serving) -> Starlette:
    """Creates the dashboard as an ASGI application.

    Args:
        serving: the store, the rules for requests, and what only the starting process knows.

    Example:
        >>> from starlette.testclient import TestClient
        >>> from babysit.views.dashboard.state import OpenStore
        >>> client = TestClient(create_app(Serving(OpenStore("nothing.sqlite"))), base_url="http://localhost")
        >>> client.get("/healthz").text
        'ok'
    """
    app = Starlette(
        routes=[*static_files.routes, *(route for module in PAGES for route in module.routes)],
        middleware=[Middleware(Guard, rules=serving.rules), Middleware(GZipMiddleware, compresslevel=5)],
        exception_handlers={StoreError: _failed, HTTPException: _failed, TooLargeError: _failed},
    )
    app.state.serving = serving
    return app


def _failed(request: Request, error: Exception) -> Response:
    """Answers a failed request with a page or, for a script, with data."""
    if isinstance(error, TooLargeError):
        return PlainTextResponse("the request is too large", 413)
    if isinstance(error, StoreError):
        status, problem, fix = 404, error.problem, error.fix
    else:
        assert isinstance(error, HTTPException)
        status, problem, fix = error.status_code, error.detail, ""
        if status == 404:
            problem, fix = "there is nothing at this address", "go back to the studies"
    if wants_data(request):
        return JSONResponse({"problem": problem, "fix": fix}, status)
    return page(serving_of(request), "problem.html.j2", {"problem": problem, "fix": fix}, status)
