"""The dashboard: requests of every kind to its application, and bytes of every kind to its socket."""

from __future__ import annotations

import functools
import json
import logging
import socket
import sqlite3
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from hypothesis import strategies as st
from starlette.testclient import TestClient

from babysit.errors import InputError
from babysit.records import State
from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import LARGEST_BODY, RequestRules
from babysit.views.dashboard.server import Server
from babysit.views.dashboard.state import OpenStore, Serving
from browser.stores import EVIL, write_search

from .damage import damaged
from .harness import Surface, scratch

HOST = "http://127.0.0.1:8265"
TOKEN = "the token of this start"


def _store() -> str:
    """A finished search and one that seems to run, whose process is long gone."""
    path = str(scratch() / "runs.db")
    with Writer(path) as writer:
        writer.finish_study(write_search(writer), State.COMPLETE, {})
        write_search(writer, EVIL, running=3)
    return path


class Watched:
    """A dashboard, and an eye on the file behind it."""

    def __init__(self) -> None:
        self.path = _store()
        self.serving = Serving(OpenStore(self.path), RequestRules(token=TOKEN))
        app = create_app(self.serving)
        self.client = TestClient(app, base_url=HOST, raise_server_exceptions=True, follow_redirects=False)
        self._eye = sqlite3.connect(self.path, check_same_thread=False)

    def close(self) -> None:
        """Lets go of the store."""
        self._eye.close()
        self.serving.store.close()

    def version(self) -> int:
        """A number that changes when anybody else writes."""
        (found,) = self._eye.execute("pragma data_version").fetchone()
        return int(found)

    def requests(self) -> int:
        """How many requests to live runs are in the store."""
        try:
            (found,) = self._eye.execute("select count(*) from commands").fetchone()
        except sqlite3.OperationalError:
            return 0
        return int(found)


@functools.cache
def watched() -> Watched:
    """One for all inputs."""
    return Watched()


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


_PLAIN = st.characters(blacklist_categories=("Cs",))
_NUMBERS = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "99",
    "-1",
    "1e3",
    "٣",
    "²",
    "9" * 30,
    "9" * 5000,
    "999999999",
    "nan",
    "",
    "0x1",
    " 1",
]
_SEGMENTS = st.one_of(
    st.sampled_from(
        [
            "s",
            "r",
            "lab",
            "changes",
            "compare",
            "curves",
            "commands",
            "static",
            "healthz",
            "series",
            "layers",
            "heatmap",
            "trials.csv",
            "board",
            "cell",
            "figures",
            "..",
            ".",
            "%00",
            "\0",
            "import",
            "data",
        ]
    ),
    st.sampled_from(_NUMBERS),
    st.text(_PLAIN, max_size=8),
)


@functools.cache
def _routes() -> list[str]:
    app = create_app(Serving(OpenStore("nothing.sqlite"), RequestRules()))
    return sorted({route.path for route in app.routes})


@st.composite
def _known_path(draw: st.DrawFn) -> str:
    """A route with its places filled, mostly with what is there."""
    path = draw(st.sampled_from(_routes()))
    parts = []
    for part in path.split("/"):
        if part.startswith("{"):
            few = st.sampled_from(["0", "1", "2"])
            name = part.strip("{}").partition(":")[0]
            words = st.sampled_from(["coarse", "cost", "learning_rate", "l2", "val_loss", "initialization"])
            part = draw(
                st.one_of(few, few, _SEGMENTS)
                if "row" in part or name in ("number", "stage")
                else st.one_of(words, _SEGMENTS)
            )
        parts.append(part)
    return "/".join(parts)


_paths = st.one_of(
    _known_path(), _known_path(), st.lists(_SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts))
)
_VALUES = st.one_of(
    st.sampled_from(
        [*_NUMBERS, "2/0/1", "1/0/1,1/0/2", "1/0", "learning_rate", "cost", "val_loss", "true", "log", "x"]
    ),
    st.text(_PLAIN, max_size=12),
    st.floats().map(str),
    st.integers().map(str),
)
_queries = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from(
                [
                    "study",
                    "since",
                    "edition",
                    "show",
                    "token",
                    "r",
                    "key",
                    "from",
                    "to",
                    "px",
                    "name",
                    "trial",
                    "runs",
                    "x",
                    "y",
                    "by",
                    "start",
                    "end",
                    "smooth",
                    "log",
                    "width",
                    "series",
                    "layer",
                    "experiment",
                    "seed",
                    "state",
                ]
            ),
            st.text(_PLAIN, max_size=5),
        ),
        _VALUES,
    ),
    max_size=4,
)
_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(
            ["stop", "stop_study", "scale_learning_rate", "extend_study", 10**400, 1e308, 5e-324, -0.0, 2**63]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["kind", "argument", "name", "x"]), inner, max_size=3),
    ),
    max_leaves=8,
)
_commands = st.fixed_dictionaries(
    {"kind": st.sampled_from(["stop", "stop_study", "scale_learning_rate", "extend_study", "x", None, []])},
    optional={"argument": _json},
)
_bodies = st.one_of(
    st.builds(lambda value: json.dumps(value).encode(), st.one_of(_json, _commands)),
    st.binary(max_size=100),
    st.sampled_from(
        [
            b"[" * 50_000,
            b'{"kind":' * 8_000,
            b"9" * 10_000,
            b'{"kind": "stop", "argument": ' + b"9" * 5000 + b"}",
            b"\xef\xbb\xbf{}",
            b'{"kind": "\\ud800"}',
            b'{"kind": "stop"}'.decode().encode("utf-16"),
            b" " * (LARGEST_BODY + 1),
            b"NaN",
        ]
    ),
)
_RIGHT = {"origin": HOST, "x-babysit-token": TOKEN, "content-type": "application/json"}
_header_values = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"), max_size=12),
    st.sampled_from(
        [
            HOST,
            TOKEN,
            "application/json",
            "null",
            "text/html",
            "*/*",
            "gzip",
            "0",
            "-1",
            "9" * 30,
            "a" * 5000,
            "babysit_login=x",
            'babysit_login="',
            "=;=;",
            "bytes=0-",
            'W/"x"',
            "127.0.0.1",
            "[::1",
            "evil.example",
        ]
    ),
)
_headers = st.builds(
    lambda right, more: {**right, **more},
    st.sampled_from(
        [{}, _RIGHT, _RIGHT, {**_RIGHT, "x-babysit-token": "another"}, {**_RIGHT, "origin": "null"}]
    ),
    st.dictionaries(
        st.sampled_from(
            [
                "host",
                "origin",
                "cookie",
                "accept",
                "accept-encoding",
                "content-type",
                "if-none-match",
                "range",
                "x-babysit-token",
                "content-length",
                "x-forwarded-for",
                "x",
            ]
        ),
        _header_values,
        max_size=2,
    ),
)
requests = st.builds(
    Asked,
    st.sampled_from(["GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "X", "get"]),
    _paths,
    _queries,
    _headers,
    _bodies,
)


def _ask(case: Asked, folder: Path) -> None:
    server = watched()
    before, asked = server.version(), server.requests()
    headers = {name: value.encode("latin-1") for name, value in case.headers.items()}
    body = case.body if case.method not in ("GET", "HEAD") else None
    answer = server.client.request(
        case.method, HOST + quote(case.path), params=case.query, headers=headers, content=body
    )
    assert answer.status_code < 500, f"{answer.status_code} for {case.method} {case.path}"
    allowed = case.method == "POST" and all(
        answer_header(case, name) == right for name, right in _RIGHT.items()
    )
    if not allowed:
        assert server.requests() == asked, "a request without the token has asked for something"
    if case.method != "GET" and answer.status_code >= 400:
        assert server.version() == before, "a refused request has changed the store"
    assert answer.headers["content-security-policy"]
    if answer.status_code >= 400:
        raise InputError(f"answered with {answer.status_code}", fix=answer.text[:80] or "none")


def answer_header(case: Asked, name: str) -> str:
    """A header as it was sent."""
    return case.headers.get(name, "").strip()


# The socket


class _Told(logging.Handler):
    """What the server would print on a user's terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.records.append(self.format(record))


_TOLD = _Told()


@functools.cache
def _listening() -> Server:
    logging.getLogger("uvicorn.error").addHandler(_TOLD)
    server = Server(Serving(OpenStore(_store()), RequestRules(token=TOKEN)))
    server.__enter__()
    return server


def stop() -> None:
    """Ends the server, if there is one, and closes what looks into the store."""
    if _listening.cache_info().currsize:
        _listening().__exit__(None, None, None)
        _listening.cache_clear()
        logging.getLogger("uvicorn.error").removeHandler(_TOLD)
    if watched.cache_info().currsize:
        watched().close()
        watched.cache_clear()


_WHOLE = [
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /s/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    b'POST /r/2/1/7/commands HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 16\r\n\r\n{"kind": "stop"}',
    b"POST /s/1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"GET /changes?study=1&since=0 HTTP/1.0\r\nHost: localhost\r\n\r\n",
]
_bytes = st.one_of(
    damaged(_WHOLE, 6),
    st.binary(max_size=300),
    st.sampled_from(
        [
            b"GET /" + b"a" * 100_000,
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
            b"GET / HTTP/1.1\r\nX: " + b"a" * 500_000,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET //\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\r\n" * 10_000,
            b"CONNECT a:1 HTTP/1.1\r\n\r\n",
            b"GET * HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        ]
    ),
)
sent = st.tuples(_bytes, st.sampled_from(["whole", "half", "by and by", "and leaves"]))


def _send(case: tuple[bytes, str], folder: Path) -> None:
    content, how = case
    server = _listening()
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=5) as connection:
        _speak(connection, content, how)
        with socket.create_connection(address, timeout=5) as other:  # while the first one still stands there
            other.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = _all_of(other)
    told = [_TOLD.records.pop() for _ in list(_TOLD.records)]  # of this request, or of one before
    assert not told, f"it printed {told[0][-300:]}"
    assert answer.startswith(b"HTTP/1.1 200"), f"the next one was answered {answer[:80]!r}"


def _speak(connection: socket.socket, content: bytes, how: str) -> None:
    try:
        if how == "by and by":
            for start in range(0, min(len(content), 60), 7):
                connection.sendall(content[start : start + 7])
        else:
            connection.sendall(content[: len(content) // 2] if how == "half" else content)
        if how == "whole":
            connection.settimeout(0.02)
            answer = connection.recv(65536)
            assert not answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500")), answer[:200]
    except (TimeoutError, ConnectionError):
        return  # it waits for more, or has hung up: both are its right


def _all_of(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


SURFACES = (
    Surface("http: requests", requests, _ask, 60),
    Surface("http: bytes on the socket", sent, _send, 25),
)
