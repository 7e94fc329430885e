"""The command center: all trials of one study at once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from babysit.store import queries
from babysit.views.dashboard.rendering import page
from babysit.views.dashboard.serving import reader_of, serving_of


def _command_center(request: Request) -> Response:
    reader = reader_of(request)
    study = queries.study(reader, request.path_params["study"])
    summaries = queries.run_summaries(reader, study.id)
    return page(serving_of(request), "command_center.html.j2", {"study": study, "summaries": summaries})


routes = [Route("/s/{study:int}", _command_center)]
