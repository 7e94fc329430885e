"""`babysit dashboard`, as it is typed; what would serve only notes which store it was made of."""

from __future__ import annotations

import pytest

from babysit.cli import dashboard

SECRET = "postgresql+psycopg://ann:secret@host/runs"


class Server:
    url = "http://127.0.0.1:8265/"

    def run(self):
        raise KeyboardInterrupt


@pytest.fixture
def served(monkeypatch):
    stores = []

    def make_server(url, host, port):
        stores.append(url)
        return Server()

    monkeypatch.setattr(dashboard, "make_server", make_server)
    return stores


@pytest.mark.parametrize("words", [(SECRET,), ("--store", SECRET)])
def test_a_server_is_named_without_its_password(babysit, served, words):
    answer = babysit("dashboard", *words, "--no-open")
    assert (answer.code, served) == (0, [SECRET])
    assert "dashboard of postgresql+psycopg://ann:***@host/runs" in answer.out
    assert "secret" not in answer.out + answer.err


def test_without_a_name_it_is_the_folders_own(babysit, served):
    assert babysit("dashboard", "--no-open", "--out", "mine").code == 0
    assert served == ["sqlite:///mine/babysit.sqlite"]


def test_two_stores_are_refused(babysit, served):
    answer = babysit("dashboard", "a.db", "--store", "b.db", "--no-open")
    assert answer.code == 2
    assert "two stores are named" in answer.err
    assert served == []
