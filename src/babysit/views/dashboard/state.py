"""The state of a running dashboard: the store, the rules for requests, and what only its starter knows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from babysit.records import Study
from babysit.store.engine import locate
from babysit.store.reader import Reader
from babysit.views.dashboard.lab_runner import Laboratory
from babysit.views.dashboard.security import RequestRules

Made = TypeVar("Made")


class OpenStore:
    """A store that is opened for the first page, since a search may not have created it yet.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        location = locate(url)
        self.text, self._path = location.text, location.path
        self._reader: Reader | None = None
        self._file: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def reader(self) -> Reader:
        """Returns the opened store, the same one for every request and thread.

        A file that was deleted, or replaced by another of its name, is not read any further.

        Raises:
            StoreError: there is no such store yet, or the file is not a store.
        """
        with self._lock:
            file = None  # of a store on a server, or where there is no file yet
            if self._path is not None:
                with contextlib.suppress(OSError):
                    found = self._path.stat()
                    file = (found.st_dev, found.st_ino)
            if self._reader is not None and file != self._file:
                self._close()
            if self._reader is None:
                self._reader, self._file = Reader(self.url), file
            return self._reader

    def close(self) -> None:
        """Closes the store; the next page opens it again, with the tables that it has by then."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None


@dataclass(frozen=True)
class Serving:
    """One start of a dashboard.

    Attributes:
        store: the store that is shown.
        rules: the rules for requests.
        is_interrupted: tells whether the process that runs a study is gone; only the session knows.
        lab: the lecture's experiments, and what runs them.
    """

    store: OpenStore
    rules: RequestRules = field(default_factory=RequestRules)
    is_interrupted: Callable[[Study], bool] = lambda study: False
    lab: Laboratory = field(default_factory=Laboratory)
    _kept: dict[Hashable, tuple[Hashable, Any]] = field(default_factory=dict, repr=False)

    def kept(self, name: Hashable, state: Hashable, make: Callable[[], Made]) -> Made:
        """Returns the cached value of a name, or makes it anew where its state has changed.

        Pages that show one study share the work. No result depends on the cache.

        Args:
            name: of the value.
            state: equal as long as the value is valid.
            make: makes the value.
        """
        known = self._kept.get(name)
        if known is None or known[0] != state:
            known = self._kept[name] = (state, make())
        made: Made = known[1]
        return made


def serving_of(request: Request) -> Serving:
    """Returns the running dashboard that received a request."""
    serving: Serving = request.app.state.serving
    return serving


def reader_of(request: Request) -> Reader:
    """Returns the opened store.

    Raises:
        StoreError: there is no such store yet, or the file is not one; the application answers with a page.
    """
    return serving_of(request).store.reader()
