"""A client that asks a dashboard what a browser asks, and remembers how long each answer took."""

from __future__ import annotations

import http.client
import json
import re
import time
from typing import Any

TOKEN = re.compile(rb'name="babysit-token" content="([^"]+)"')
DATA = re.compile(rb'<script type="application/json" id="([a-z-]+)">(.*?)</script>', re.DOTALL)
DIGEST = re.compile(rb'data-part="([a-z]+)"[^>]*data-digest="([0-9a-f]+)"')


class RefusedError(Exception):
    """An answer that is no answer to what was asked.

    Attributes:
        status: of the answer.
    """

    def __init__(self, path: str, status: int, text: bytes) -> None:
        super().__init__(f"{path} was answered with {status}: {text[:200].decode(errors='replace')}")
        self.status = status


class Visitor:
    """Asks one server on this machine, one question after the other.

    Args:
        port: of the server.
        patience: the longest that an answer may take, in seconds.

    Attributes:
        times: what was asked, in a word -> how long each answer took, in seconds.
        bytes: that were answered.
    """

    def __init__(self, port: int, patience: float = 60.0) -> None:
        self.times: dict[str, list[float]] = {}
        self.bytes = 0
        self._port, self._patience = port, patience
        self._token = ""

    def ask(self, word: str, path: str, given: Any = None) -> bytes:
        """One question.

        Args:
            word: what is asked, for the times; what begins with "page" is asked for as a person does.
            path: where.
            given: what is posted, as JSON; default nothing, a GET.

        Raises:
            RefusedError: the answer is an error.
            OSError, http.client.HTTPException: there is no answer, or an incomplete one.
        """
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._patience)
        try:
            headers = {} if word.startswith("page") else {"accept": "application/json"}
            if given is not None:
                origin = f"http://127.0.0.1:{self._port}"
                headers |= {"content-type": "application/json", "origin": origin}
                headers["x-babysit-token"] = self._token
            body = None if given is None else json.dumps(given)
            connection.request("GET" if given is None else "POST", path, body, headers)
            reply = connection.getresponse()
            found = reply.read()
        finally:
            connection.close()
        self.times.setdefault(word, []).append(time.perf_counter() - started)
        self.bytes += len(found)
        if reply.status >= 300:
            raise RefusedError(path, reply.status, found)
        return found

    def page(self, path: str, word: str = "page") -> tuple[bytes, dict[str, Any]]:
        """Fetches a page; returns it with the data for its scripts, by name."""
        text = self.ask(word, path)
        token = TOKEN.search(text)
        if token:
            self._token = token[1].decode()
        return text, {name.decode(): json.loads(data) for name, data in DATA.findall(text)}

    def data(self, word: str, path: str) -> Any:
        """Fetches the data of a page's script."""
        return json.loads(self.ask(word, path))


def digests(page: bytes) -> str:
    """Returns the digests of the data that a run's page has, for its request for changes."""
    return ",".join(f"{name.decode()}:{digest.decode()}" for name, digest in DIGEST.findall(page))
