"""What a running dashboard holds: the store, the rules of asking, and what only its starter can tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from babysit.records import Study
from babysit.store.engine import locate
from babysit.store.reader import Reader
from babysit.views.dashboard.lab_runner import Laboratory
from babysit.views.dashboard.security import Rules

Made = TypeVar("Made")


class OpenStore:
    """A store that is opened when the first page asks for it, since a search may only be about to make it.

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
        """The store, opened; the same one for every request and thread.

        A file that was deleted, or replaced by another of its name, is not read on.

        Raises:
            StoreError: there is no such store yet, or it is none.
        """
        with self._lock:
            file = _identity(self._path)
            if self._reader is not None and file != self._file:
                self._close()
            if self._reader is None:
                self._reader, self._file = Reader(self.url), file
            return self._reader

    def close(self) -> None:
        """Lets go of the store; the next page opens it again, with whatever tables it has by then."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Which file stands at a path; None where there is none, or the store is on a server."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _never(study: Study) -> bool:
    return False


@dataclass(frozen=True)
class Serving:
    """One start of a dashboard.

    Attributes:
        store: what is shown.
        rules: what a request must bring.
        is_interrupted: whether the process that runs a study is gone; only the session can tell.
        lab: the lecture's experiments, and who does them.
    """

    store: OpenStore
    rules: Rules = field(default_factory=Rules)
    is_interrupted: Callable[[Study], bool] = _never
    lab: Laboratory = field(default_factory=Laboratory)
    _kept: dict[Hashable, tuple[Hashable, Any]] = field(default_factory=dict, repr=False)

    def kept(self, name: Hashable, state: Hashable, make: Callable[[], Made]) -> Made:
        """What was last made under a name, as long as the state that it was made from is the same.

        Several pages that look at one study share the work; nothing depends on what was kept.

        Args:
            name: what it is.
            state: what it was made from.
            make: makes it.
        """
        known = self._kept.get(name)
        if known is None or known[0] != state:
            known = self._kept[name] = (state, make())
        made: Made = known[1]
        return made


def serving_of(request: Request) -> Serving:
    """What the application that got a request serves."""
    serving: Serving = request.app.state.serving
    return serving


def reader_of(request: Request) -> Reader:
    """The store, opened.

    Raises:
        StoreError: there is no such store yet, or it is none; the application makes a page of it.
    """
    return serving_of(request).store.reader()
