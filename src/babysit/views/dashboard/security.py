"""The guard of the dashboard: it checks every request before a page is made, and sets the security headers.

A browser lets any web page send requests to 127.0.0.1, and a rebound name lets it read the answers. So
``Host`` must hold one of the server's names, and a request that changes something must come from a page of
this very start of the server.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-babysit-token"
LOGIN_COOKIE = "babysit_login"
LOGIN_PARAMETER = "token"
LARGEST_BODY = 64 * 1024
"""The most bytes that a request may carry."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


STYLED = {
    "content-security-policy": f"{HEADERS['content-security-policy']}; style-src 'self' 'unsafe-inline'"
}
"""The headers of a page with plotly, which sets styles on its elements; scripts are only our own files."""


def new_token() -> str:
    """Returns a new random secret."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class RequestRules:
    """The rules that a request must meet.

    Attributes:
        token: every request that changes something carries it in ``X-Babysit-Token``; new at every start.
        login: a browser must send it as a cookie; empty where only this machine can reach the server.
        names: the server's names, without port.
        any_address: accept a bare IP address in ``Host`` too, since there is no name that could be rebound.
    """

    token: str = field(default_factory=new_token)
    login: str = ""
    names: Collection[str] = LOOPBACK_NAMES
    any_address: bool = False

    def knows(self, host: str) -> bool:
        """Returns True for a ``Host`` header with one of the server's names.

        Example:
            >>> rules = RequestRules()
            >>> rules.knows("localhost:8265"), rules.knows("[::1]:8265"), rules.knows("evil.example:8265")
            (True, True, False)
        """
        name = host_name(host)
        if name in self.names or not self.any_address:
            return name in self.names
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def host_name(host: str) -> str:
    """Returns the name in a ``Host`` header without its port; empty for a malformed one.

    Example:
        >>> host_name("LocalHost:80"), host_name("[::1]:80"), host_name("::1"), host_name("a:b:80")
        ('localhost', '::1', '', '')
    """
    name, port = host, ""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":") if port.startswith(":") or not port else "x"
    elif ":" in host:
        name, _, port = host.partition(":")
    return name.lower().removesuffix(".") if port.isdigit() or not port else ""


class Guard:
    """The outermost layer of the application.

    Args:
        app: answers the requests that pass.
        rules: the rules for requests.
    """

    def __init__(self, app: ASGIApp, rules: RequestRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _limited(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Returns the answer that refuses a request; None for one that passes."""
        headers = Headers(scope=scope)
        if not self._rules.knows(headers.get("host", "")):
            return PlainTextResponse("this server has another name", 403)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("only GET and POST", 405, {"allow": "GET, HEAD, POST"})
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 16 and int(length) <= LARGEST_BODY):
            return PlainTextResponse("the request is too large", 413)
        if self._rules.login:
            refused = self._without_login(scope, headers)
            if refused is not None:
                return refused
        return self._unasked_change(scope, headers) if scope["method"] == "POST" else None

    def _without_login(self, scope: Scope, headers: Headers) -> Response | None:
        with contextlib.suppress(CookieError):
            cookie = SimpleCookie(headers.get("cookie", "")).get(LOGIN_COOKIE)
            if cookie and _same(cookie.value, self._rules.login):
                return None
        url = URL(scope=scope)
        query = dict(part.split("=", 1) for part in url.query.split("&") if "=" in part)
        if scope["method"] == "GET" and _same(query.get(LOGIN_PARAMETER, ""), self._rules.login):
            # The secret leaves the address bar, and so the history and copied addresses. A path that begins
            # with two slashes would name another server.
            answer = RedirectResponse("/" + url.path.lstrip("/\\"), 303)
            answer.set_cookie(LOGIN_COOKIE, self._rules.login, httponly=True, samesite="strict", path="/")
            return answer
        return PlainTextResponse(
            "open the address that `babysit dashboard` printed: it ends in ?token=...", 401
        )

    def _unasked_change(self, scope: Scope, headers: Headers) -> Response | None:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return PlainTextResponse("the request must be application/json", 415)
        if headers.get("origin", "") != f"{scope['scheme']}://{headers['host']}":
            return PlainTextResponse("the request comes from another site", 403)
        if not _same(headers.get(TOKEN_HEADER, ""), self._rules.token):
            return PlainTextResponse("the page is of an earlier start of the server: reload it", 403)
        return None


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), secret.encode())


class TooLargeError(Exception):
    """A request body is larger than allowed, whatever its header said."""


def _limited(receive: Receive) -> Receive:
    """Wraps the reading of a request so that a body larger than allowed fails."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_BODY:
            raise TooLargeError
        return message

    return limited
