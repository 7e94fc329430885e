"""One quantity of a run in a range of steps, in one point a pixel, and plotly to draw it."""

from __future__ import annotations

import gzip
import math
from functools import cache
from typing import Any

from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from babysit.store import run_queries
from babysit.views.dashboard.parameters import TRIAL_PATH, number
from babysit.views.dashboard.run_page import key_of
from babysit.views.dashboard.state import reader_of
from babysit.views.dashboard.static_files import FOREVER
from babysit.views.data.buckets import bands

LAST_STEP = 2**31 - 1
"""No series has a later step."""
MOST_PIXELS = 4000
_PIXELS = 800


def _series(request: Request) -> Response:
    """Returns lowest, middle and highest value of every bucket, and the steps that are NaN or infinite."""
    reader, study, key = reader_of(request), request.path_params["study"], key_of(request)
    first, last = number(request, "from", 0), number(request, "to", LAST_STEP)
    pixels = number(request, "px", _PIXELS)
    if not 1 <= pixels <= MOST_PIXELS:
        raise HTTPException(400, f"px must be a whole number from 1 to {MOST_PIXELS}")
    if first > last:
        raise HTTPException(400, f"from ({first}) must not exceed to ({last})")
    names = run_queries.series_names(reader, study, key)
    name = request.query_params.get("key", "cost")
    if name not in names:
        known = ", ".join(names[:8]) or "none"
        raise HTTPException(404 if not names else 400, f"this run has no such quantity; it has {known}")
    steps, values = run_queries.series_between(reader, study, key, name, first, last)
    found = bands(steps, values, pixels)
    return JSONResponse(
        {
            "key": name,
            "points": len(steps),
            "first": found.first.tolist(),
            "last": found.last.tolist(),
            "low": _numbers(found.low),
            "middle": _numbers(found.middle),
            "high": _numbers(found.high),
            "broken": found.first[found.broken > 0].tolist(),
        }
    )


def _numbers(values: NDArray[Any]) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


def _names(request: Request) -> Response:
    reader, study, key = reader_of(request), request.path_params["study"], key_of(request)
    run_queries.result(reader, study, key)  # raises where there is no such run
    return JSONResponse({"names": run_queries.series_names(reader, study, key), "plotly": plotly_url()})


@cache
def _plotly() -> tuple[str, bytes]:
    """Returns the library's version and its compressed text; it is imported on first use."""
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    return str(get_plotlyjs_version()), gzip.compress(get_plotlyjs().encode(), 6, mtime=0)


def plotly_url() -> str:
    """Returns the address of plotly.js; empty where the package is not installed."""
    try:
        return f"/plotly/{_plotly()[0]}.js"
    except ImportError:
        return ""


def _serve_plotly(request: Request) -> Response:
    try:
        version, packed = _plotly()
    except ImportError:
        raise HTTPException(404) from None
    if request.path_params["version"] != version:
        raise HTTPException(404)
    headers = {"cache-control": FOREVER, "vary": "accept-encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(gzip.decompress(packed), media_type="text/javascript", headers=headers)
    headers["content-encoding"] = "gzip"
    return Response(packed, media_type="text/javascript", headers=headers)


routes = [
    Route(TRIAL_PATH + "/series", _series),
    Route(TRIAL_PATH + "/series/names", _names),
    Route("/plotly/{version}.js", _serve_plotly),
]
