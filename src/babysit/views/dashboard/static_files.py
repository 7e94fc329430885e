"""Scripts, styles and the icon: read once, found by name in a table, never by a path from a request."""

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
"""The address of a file changes with its content."""


class StaticFile(NamedTuple):
    """One file: its media type, its bytes, and the same compressed."""

    media_type: str
    plain: bytes
    packed: bytes


@cache
def static_files() -> dict[str, StaticFile]:
    """Every file under ``static/`` by name."""
    folder = resources.files(__package__).joinpath("static")
    found = {file.name: file.read_bytes() for file in folder.iterdir() if _type(file.name)}
    return {
        name: StaticFile(_type(name), content, gzip.compress(content, 9, mtime=0))
        for name, content in sorted(found.items())
    }


def _type(name: str) -> str:
    return TYPES.get(name.rpartition(".")[2], "")


@cache
def edition() -> str:
    """A name for the content of all files; it is part of their addresses, so that browsers may keep them."""
    digest = hashlib.sha256()
    for name, file in static_files().items():
        digest.update(name.encode() + b"\0" + file.plain)
    return digest.hexdigest()[:12]


def static_url(name: str) -> str:
    """The address of a file.

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
        headers["cache-control"] = (
            "no-store"  # a page of an earlier babysit asks for what is now another file
        )
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(file.packed, headers=headers, media_type=file.media_type)
    return Response(file.plain, headers=headers, media_type=file.media_type)


routes = [Route("/static/{edition}/{name}", _serve)]
