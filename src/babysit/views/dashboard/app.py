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
    """The dashboard as an ASGI application.

    Args:
        serving: the store, the rules of asking, and what only the starter can tell.

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
        exception_handlers={
            StoreError: _store_failed,
            HTTPException: _refused,
            TooLargeError: _too_large,
        },
    )
    app.state.serving = serving
    return app


def _store_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    return _told(request, 404, error.problem, error.fix)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _told(request, 404, "there is nothing at this address", "go back to the studies")
    return _told(request, error.status_code, error.detail, "")


def _too_large(request: Request, error: Exception) -> Response:
    return PlainTextResponse("the request is too large", 413)


def _told(request: Request, status: int, problem: str, fix: str) -> Response:
    if wants_data(request):
        return JSONResponse({"problem": problem, "fix": fix}, status)
    return page(serving_of(request), "problem.html.j2", {"problem": problem, "fix": fix}, status)
