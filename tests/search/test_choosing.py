"""An engine is chosen by name; what its package is missing is said before anything is begun."""

from __future__ import annotations

import pytest

from babysit.errors import InputError
from babysit.search.engines import choosing
from babysit.session.search_ask import Ask


def test_without_ray_the_cure_is_told(monkeypatch):
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"Ray, which is not installed\n  cure: pip install 'babysit\[ray\]'"
    ):
        Ask(engine="ray")


def test_an_address_is_for_a_cluster():
    with pytest.raises(InputError, match="add --engine ray"):
        Ask(address="auto")


def test_a_cluster_of_our_own_listens_on_this_machine_alone(monkeypatch):
    pytest.importorskip("ray")
    from ray._private import services

    from babysit.search.engines.joining import connect, ray

    listened = {}

    def init(address, **_):
        listened[address] = services.get_node_ip_address()

    usual = services.get_node_ip_address()
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert connect("", 1)
    assert connect("auto", 1)
    assert listened == {"local": "127.0.0.1", "auto": usual}
