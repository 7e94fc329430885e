"""What the benchmark must know of a dashboard to feed it, start it, and see when it is drawn."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from benchmarks.peers.boards.runs import Drawn, News


class Author(Protocol):
    """Writes runs where a dashboard reads them."""

    def write(self, runs: list[Drawn]) -> None:
        """Everything that there is at first."""

    def change(self, news: list[News]) -> None:
        """One second's changes; they can be read on return."""

    def close(self) -> None:
        """Lets go of the files."""


class Board(Protocol):
    """A dashboard.

    Attributes:
        name: for people.
        package: what must be installed.
        path: of the page that is measured.
        drawn: JavaScript, the body of a function that says whether the page is of use. It may use ``runs``
            and ``complete`` (how many there are, how many have ended well) and ``all(selector)``.
        waited_for: the same in words.
        beforehand: JavaScript that is run before the page's own, where its defaults do not follow changes.
    """

    name: str
    package: str
    path: str
    drawn: str
    waited_for: str
    beforehand: str

    def author(self, folder: Path) -> Author:
        """Who writes into a folder."""

    def command(self, folder: Path, port: int) -> list[str]:
        """Starts the server."""

    def loaded(self, url: str, runs: int) -> bool:
        """Whether the server answers with all runs."""


def version_of(board: Board) -> str:
    """The version that is installed; empty where it is not."""
    try:
        return version(board.package)
    except PackageNotFoundError:
        return ""
