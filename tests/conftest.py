"""Settings that hold for all tests."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import secrets
import shutil
import tempfile

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


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a search are forks of one process that has imported babysit, not new Pythons.

    That saves two seconds each. Without this, and in whole commands, they are spawned as users' are.
    """
    from forked import CONTEXT

    monkeypatch.setattr(multiprocessing, "get_context", lambda method: CONTEXT)
