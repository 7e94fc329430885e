"""Settings that hold for all tests."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long hypothesis takes to make an example says how busy the machine is (the first text it makes builds a
# table of all characters), and nothing about babysit. What an example must satisfy is untouched.
settings.register_profile("babysit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("babysit")

# What a machine remembers of its measurements is not for tests to read or to write.
_CACHE = tempfile.mkdtemp(prefix="babysit-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)

# The daemons of the tests' clusters of two nodes listen on every address: whoever connects must know this.
# Ray reads it once.
os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)

_NEEDS = {
    "browser": lambda item: item.path.is_relative_to(_TESTS / "browser"),
    "fuzz": lambda item: item.path == _TESTS / "fuzz" / "test_fuzz.py",
    "ray": lambda item: item.path.name == "test_ray.py",
    "postgres": lambda item: "postgres" in item.nodeid or not _SERVERS.isdisjoint(item.fixturenames),
}
_TESTS = Path(__file__).parent
_SERVERS = {"database", "postgres_url", "empty_postgres_url", "used_postgres_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by what they need, so that `make test` can leave out servers, browsers and clusters."""
    for item in items:
        for marker, is_needed in _NEEDS.items():
            if isinstance(item, pytest.Function) and is_needed(item):
                item.add_marker(marker)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a search are forks of one process that has imported babysit, not new Pythons.

    That saves two seconds each. Without this, and in whole commands, they are spawned as users' are.
    """
    from forked import CONTEXT

    monkeypatch.setattr(multiprocessing, "get_context", lambda method: CONTEXT)
