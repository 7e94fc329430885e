"""Starting, finding a port, stopping."""

from __future__ import annotations

import socket
import time
import urllib.request

import pytest

from babysit.errors import InputError
from babysit.views.dashboard import server as servers
from babysit.views.dashboard.server import Server, rules_for
from babysit.views.dashboard.state import OpenStore, Serving


def make(tmp_path, **options):
    return Server(Serving(OpenStore(str(tmp_path / "runs.db"))), **options)


def test_it_answers_while_it_is_entered(tmp_path):
    with make(tmp_path) as server:
        with urllib.request.urlopen(f"{server.url}healthz", timeout=5) as answer:
            assert answer.read() == b"ok"
        started = time.monotonic()
    assert time.monotonic() - started < 5
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{server.url}healthz", timeout=1)


def test_a_taken_port_is_passed_over_unless_it_was_asked_for(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(servers, "DEFAULT_PORT", port)
        with make(tmp_path) as server:
            assert server.port != port
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1, port {port}.*(?s:.)*--port"):
            make(tmp_path, port=port)


def test_an_address_of_another_machine_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1"):
        make(tmp_path, host="192.0.2.1", port=9)


def test_the_address_beyond_this_machine_carries_the_login(tmp_path):
    rules = rules_for("0.0.0.0")
    server = Server(Serving(OpenStore(str(tmp_path / "runs.db")), rules), host="0.0.0.0")
    with server:
        assert server.url.endswith(f":{server.port}/?token={rules.login}")
