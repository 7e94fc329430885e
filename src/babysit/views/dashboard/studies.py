"""The page of all studies."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from babysit.errors import StoreError
from babysit.store import queries
from babysit.views.dashboard.rendering import page
from babysit.views.dashboard.serving import reader_of, serving_of


def _studies(request: Request) -> Response:
    try:
        found = queries.studies(reader_of(request))
    except StoreError as error:
        return page(serving_of(request), "no_studies.html.j2", {"problem": error.problem})
    return page(serving_of(request), "studies.html.j2", {"studies": found})


def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


routes = [Route("/", _studies), Route("/healthz", _health)]
