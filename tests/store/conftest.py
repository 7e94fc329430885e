from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from babysit.store.commands import Commands
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from store.postgres import NAMED, Server, binaries, clear, drop, fresh


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder of runs/runs 100%?#.db"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that a test may stop and start."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    made = Server(programs)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL database: the one that the user named, else one of the tests' own server."""
    url: str = os.environ.get(NAMED) or request.getfixturevalue("server").url
    return url


@pytest.fixture
def empty_postgres_url(database: str) -> Iterator[str]:
    """A schema without tables."""
    name = f"babysit_{uuid.uuid4().hex}"
    yield fresh(database, name)
    drop(database, name)


@pytest.fixture(scope="session")
def used_postgres_url(database: str) -> Iterator[str]:
    """A store that the tests of a session share, since to make its tables takes longest."""
    name = f"babysit_{uuid.uuid4().hex}"
    url = fresh(database, name)
    Writer(url).close()
    yield url
    drop(database, name)


@pytest.fixture
def postgres_url(used_postgres_url: str) -> str:
    """An empty store on a server."""
    clear(used_postgres_url)
    return used_postgres_url


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    with Writer(url) as opened:
        yield opened


@pytest.fixture
def study(writer: Writer) -> int:
    return begin(writer)


@pytest.fixture
def commands(writer: Writer, url: str) -> Iterator[Commands]:
    with Commands(url) as opened:
        yield opened


@pytest.fixture
def reader(writer: Writer, url: str) -> Iterator[Reader]:
    with Reader(url) as opened:
        yield opened


def begin(writer: Writer, fingerprint: str = "f", kind: str = "search") -> int:
    return writer.begin_study(
        name="digits <b>",
        recipe="digits",
        kind=kind,
        seed=2**80 + 1,
        fingerprint=fingerprint,
        settings={"epochs": 5},
    )
