"""An engine is chosen by name; what its package is missing is said before anything is begun."""

from __future__ import annotations

import pytest

from babysit.errors import InputError
from babysit.search.engines import choosing
from babysit.session.searching import Ask


def test_without_ray_the_cure_is_told(monkeypatch):
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"Ray, which is not installed\n  cure: pip install 'babysit\[ray\]'"
    ):
        Ask(engine="ray")


def test_an_address_is_for_a_cluster():
    with pytest.raises(InputError, match="add --engine ray"):
        Ask(address="auto")
