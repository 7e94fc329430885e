"""What is kept of a long last training shows its extremes and its ends."""

from __future__ import annotations

import json

import numpy as np

from babysit.views.data.final_costs import BUCKETS, MOST, costs_data, costs_of


def test_a_training_of_usual_length_keeps_every_cost() -> None:
    given = np.linspace(2, 1, MOST).astype(np.float32)
    steps, costs = costs_of(json.loads(json.dumps(costs_data(given.tolist()))))
    assert np.array_equal(steps, np.arange(1, MOST + 1))
    assert np.array_equal(costs, given)


def test_a_long_one_keeps_spikes_and_ends_in_their_places() -> None:
    given = np.linspace(2, 1, 1_000_003).astype(np.float32)
    given[123_456], given[654_321] = 50.0, 0.001
    steps, costs = costs_of(json.loads(json.dumps(costs_data(given.tolist()))))
    assert 2 * BUCKETS <= len(costs) <= 4 * BUCKETS
    assert (np.diff(steps) > 0).all()
    assert np.array_equal(costs, given[steps - 1])
    assert {1, 123_457, 654_322, 1_000_003} <= set(steps.tolist())
