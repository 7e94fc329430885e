"""No input crashes, hangs, fills memory or changes a store: a few of each kind, the same ones every time.

`python -m benchmarks.fuzz` tries others, as long as it is told to.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from babysit.errors import InputError
from fuzz import SURFACES, dashboards
from fuzz.harness import ACCEPTED, REFUSED, Surface, judge


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_running():
    yield
    dashboards.stop()


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_no_input_is_a_finding(surface, tmp_path):
    bounded = settings(
        max_examples=surface.examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    outcomes = []
    bounded(given(surface.cases)(lambda case: outcomes.append(judge(surface, case, tmp_path))))()
    assert REFUSED in outcomes or ACCEPTED in outcomes


def refused():
    raise InputError("it is nothing", fix="give something")


def silent():
    raise InputError("it is nothing")


def broken():
    raise KeyError("x")


def ended():
    raise SystemExit(0)


def late():
    while True:
        pass


def hidden():
    try:
        bytearray(2**62)
    except MemoryError as error:
        raise InputError(f"it cannot be read: {error!r}", fix="give something") from None


def attempt(what, tmp_path):
    return judge(Surface("one", st.none(), lambda case, folder: what()), None, tmp_path)


def test_what_is_taken_and_what_is_refused_are_told_apart(tmp_path):
    assert attempt(lambda: None, tmp_path) == ACCEPTED
    assert attempt(refused, tmp_path) == REFUSED


def test_the_judge_sees_memory(tmp_path, monkeypatch):
    peaks = iter([2**30, 2**31])
    monkeypatch.setattr("fuzz.harness._peak", lambda: next(peaks))
    with pytest.raises(AssertionError, match="it took 1024 MiB"):
        attempt(lambda: None, tmp_path)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (silent, "without a fix"),
        (broken, "KeyError"),
        (ended, "SystemExit"),
        (late, "hangs"),
        (hidden, "allocated"),
    ],
)
def test_the_judge_sees_every_kind_of_finding(what, told, tmp_path, monkeypatch):
    """The properties above would be worth nothing otherwise."""
    monkeypatch.setattr("fuzz.harness.SECONDS", 0.2)
    with pytest.raises(AssertionError, match=told):
        attempt(what, tmp_path)
