"""One store with a finished and a running search, and a client that asks as a page of the dashboard does."""

from __future__ import annotations

import uuid

import pytest
from starlette.testclient import TestClient

from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import RequestRules
from babysit.views.dashboard.state import OpenStore, Serving
from browser.stores import written
from store.conftest import database as database
from store.conftest import server as server
from store.postgres import drop, fresh

HOST = "http://127.0.0.1:8265"
TOKEN = "the token of this start"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return written(str(tmp_path_factory.mktemp("store") / "runs.db"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_address(request, tmp_path_factory):
    """Addresses of stores that are still to be made: files, then schemas on a real server."""
    made = []

    def make():
        name = f"babysit_{uuid.uuid4().hex}"
        if request.param == "sqlite":
            return str(tmp_path_factory.mktemp("store") / "runs.db")
        made.append(name)
        return fresh(request.getfixturevalue("database"), name)

    yield make
    for name in made:
        drop(request.getfixturevalue("database"), name)


@pytest.fixture(scope="module")
def serving(store):
    made = Serving(OpenStore(store), RequestRules(token=TOKEN))
    yield made
    made.store.close()


@pytest.fixture
def client(serving):
    return TestClient(create_app(serving), base_url=HOST, raise_server_exceptions=True)


@pytest.fixture
def asking():
    """The headers that a page of the dashboard sends along when it asks for something."""
    return {"origin": HOST, "x-babysit-token": TOKEN, "content-type": "application/json"}
