from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from babysit.store.commands import Commands
from babysit.store.queries import Reader
from babysit.store.writer import Writer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder of runs/runs 100%?#.db"


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


def begin(writer: Writer, fingerprint: str = "f") -> int:
    return writer.begin_study(
        name="digits <b>",
        recipe="digits",
        kind="search",
        seed=2**80 + 1,
        fingerprint=fingerprint,
        settings={"epochs": 5},
    )
