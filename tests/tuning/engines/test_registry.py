"""An engine is chosen by name; what its package is missing is said before anything is begun."""

from __future__ import annotations

import pytest

from babysit.errors import InputError
from babysit.tuning.engines import registry
from babysit.tuning.settings import SearchSettings


def test_without_ray_the_fix_is_told(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Ray, which is not installed\n  fix: pip install 'babysit\[ray\]'"):
        SearchSettings(engine="ray")


def test_an_address_is_for_a_cluster():
    with pytest.raises(InputError, match="add --engine ray"):
        SearchSettings(address="auto")


def test_a_cluster_of_our_own_listens_on_this_machine_alone(monkeypatch):
    pytest.importorskip("ray")
    from ray._private import services

    from babysit.tuning.engines.cluster import connect, ray

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
