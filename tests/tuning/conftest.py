from __future__ import annotations

import numpy as np
import pytest

from babysit.recipe.space import log_uniform
from babysit.records import Explosion, Reading, Result, Run, State, Trial

# Validation accuracy, learning rate, l2 as the lecture printed them: 11 of its coarse trials, 22 fine ones.
COARSE = """
    0.412 1.405206e-4 4.793564e-1    0.214 7.231888e-6 2.321281e-4    0.208 2.119571e-6 8.011857e+1
    0.196 1.551131e-5 4.374936e-5    0.079 1.753300e-5 1.200424e+3    0.223 4.215128e-5 4.196174e+1
    0.441 1.750259e-4 2.110807e-4    0.241 6.749231e-5 4.226413e+1    0.482 4.296863e-4 6.642555e-1
    0.079 5.401602e-6 1.599828e+4    0.154 1.618508e-6 4.925252e-1
"""
FINE = """
    0.527 5.340517e-4 4.097824e-1    0.492 2.279484e-4 9.991345e-4    0.512 8.680827e-4 1.349727e-2
    0.461 1.028377e-4 1.220193e-2    0.460 1.113730e-4 5.244309e-2    0.498 9.477776e-4 2.001293e-3
    0.469 1.484369e-4 4.328313e-1    0.522 5.586261e-4 2.312685e-4    0.530 5.808183e-4 8.259964e-2
    0.489 1.979168e-4 1.010889e-4    0.490 2.036031e-4 2.406271e-3    0.475 2.021162e-4 2.287807e-1
    0.460 1.135527e-4 3.905040e-2    0.515 6.947668e-4 1.562808e-2    0.531 9.471549e-4 1.433895e-3
    0.509 3.140888e-4 2.857518e-1    0.514 6.438349e-4 3.033781e-1    0.502 3.921784e-4 2.707126e-4
    0.509 9.752279e-4 2.850865e-3    0.500 2.412048e-4 4.997821e-4    0.466 1.319314e-4 1.189915e-2
    0.516 8.039527e-4 1.528291e-2
"""


def completed(trial, accuracy, epochs=1):
    readings = tuple(Reading(e, 10 * e, 1.0, accuracy, accuracy, 1e-3, 1.0) for e in range(1, epochs + 1))
    return Result(trial, Run(State.COMPLETE, readings, first_cost=2.3, steps=10 * epochs))


def exploded(trial):
    # It read well before it burst: that reading must not count.
    readings = (Reading(1, 10, 1.0, 0.99, 0.99, 1e-3, 0.1),)
    return Result(trial, Run(State.EXPLODED, readings, 2.3, Explosion(13, 2, 99.0, 2.3), steps=13))


def printed(rows, stage):
    numbers = np.array(rows.split(), dtype=float).reshape(-1, 3)
    return [
        completed(Trial(stage, number, {"learning_rate": rate, "l2": l2}), accuracy)
        for number, (accuracy, rate, l2) in enumerate(numbers.tolist())
    ]


@pytest.fixture
def make():
    """Makers of results: ``make.completed(trial, accuracy)`` and ``make.exploded(trial)``."""

    class Make:
        completed = staticmethod(completed)
        exploded = staticmethod(exploded)

    return Make


@pytest.fixture
def coarse():
    return printed(COARSE, 0)


@pytest.fixture
def fine():
    return printed(FINE, 1)


@pytest.fixture
def coarse_box():
    return {"learning_rate": log_uniform(1e-3, 1e-6), "l2": log_uniform(1e-5, 1e5)}


@pytest.fixture
def fine_box():
    return {"learning_rate": log_uniform(1e-4, 1e-3), "l2": log_uniform(1e-4, 1)}
