"""Every experiment's outcome, computed once for the whole folder."""

from __future__ import annotations

import functools

import pytest

from babysit.lab.catalogue import experiment
from babysit.lab.experiment import Options


@functools.cache
def run(name, seed=0, quick=True):
    return experiment(name).run(Options(seed=seed, quick=quick))


@pytest.fixture
def outcome():
    """outcome(name, seed=0, quick=True) -> ExperimentResult."""
    return run
