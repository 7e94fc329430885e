"""One store with a finished and a running search, and a client that asks as a page of the dashboard does."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import Rules
from babysit.views.dashboard.serving import OpenStore, Serving
from browser.stores import EVIL, write_search

HOST = "http://127.0.0.1:8265"
TOKEN = "the token of this start"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("store") / "runs.db")
    with Writer(path) as writer:
        write_search(writer)
        write_search(writer, EVIL, running=3)
    return path


@pytest.fixture(scope="module")
def serving(store):
    made = Serving(OpenStore(store), Rules(token=TOKEN))
    yield made
    made.store.close()


@pytest.fixture
def client(serving):
    return TestClient(create_app(serving), base_url=HOST, raise_server_exceptions=True)


@pytest.fixture
def asking():
    """The headers that a page of the dashboard sends along when it asks for something."""
    return {"origin": HOST, "x-babysit-token": TOKEN, "content-type": "application/json"}
