"""Scripts, styles and the icon: read once, and found by name, never by a path from a request."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

FOREVER = "public, max-age=31536000, immutable"
"""The caching of a file, whose address changes with its content."""


class StaticFile(NamedTuple):
    """One file: its media type, its bytes, and its compressed bytes."""

    media_type: str
    plain: bytes
    packed: bytes


@cache
def static_files() -> dict[str, StaticFile]:
    """Reads every file under ``static/``; name -> file."""
    folder = resources.files(__package__).joinpath("static")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        media_type = TYPES.get(file.name.rpartition(".")[2])
        if media_type:
            content = file.read_bytes()
            found[file.name] = StaticFile(media_type, content, gzip.compress(content, 9, mtime=0))
    return found


@cache
def edition() -> str:
    """Returns a hash of all files; it is part of their addresses, so that browsers may cache them."""
    digest = hashlib.sha256()
    for name, file in static_files().items():
        digest.update(name.encode() + b"\0" + file.plain)
    return digest.hexdigest()[:12]


def static_url(name: str) -> str:
    """Returns the address of a file.

    Raises:
        KeyError: there is no such file.
    """
    static_files()[name]
    return f"/static/{edition()}/{name}"


async def _serve(request: Request) -> Response:
    file = static_files().get(request.path_params["name"])
    if file is None:
        return PlainTextResponse("there is no such file", 404)
    headers = {"vary": "accept-encoding", "cache-control": FOREVER}
    if request.path_params["edition"] != edition():
        # A page of an earlier version requests what is now another file.
        headers["cache-control"] = "no-store"
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.packed, headers=headers, media_type=file.media_type)
    return Response(file.plain, headers=headers, media_type=file.media_type)


routes = [Route("/static/{edition}/{name}", _serve)]
