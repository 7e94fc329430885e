"""Samples of a population's member, in bounded memory."""

from __future__ import annotations

from array import array

import numpy as np

from babysit.watching.history import MOST_SAMPLES
from babysit.watching.observer import MemberSample
from babysit.watching.sample import Sample
from babysit.watching.trace import MemberTrace

SAMPLES = 10 * MOST_SAMPLES + 7


def sample(step: int) -> MemberSample:
    return MemberSample(
        Sample(step, stepped=True, rates=(0.1,)), {"0": np.array([True, False])}, seconds=0.001
    )


def test_of_a_long_run_few_samples_stay_and_they_are_spread_over_all_of_it() -> None:
    trace = MemberTrace("sgd")
    written = sum(len(trace.add([sample(step)]).series["learning_rate"][0]) for step in range(1, SAMPLES + 1))
    steps = [sample.step for sample in trace.samples]
    assert written == SAMPLES
    assert MOST_SAMPLES / 2 <= len(steps) <= MOST_SAMPLES + 1
    assert (steps[0], steps[-1]) == (1, SAMPLES)
    gaps = np.diff(steps)
    assert set(gaps[:-1]) == {16}
    assert 0 < gaps[-1] <= 16


def test_of_a_short_run_every_sample_stays() -> None:
    trace = MemberTrace("sgd")
    assert trace.samples == ()
    trace.add([sample(step) for step in range(1, MOST_SAMPLES + 1)])
    assert [sample.step for sample in trace.samples] == list(range(1, MOST_SAMPLES + 1))


def test_costs_in_an_array_are_not_copied_into_objects() -> None:
    trace, costs = MemberTrace("sgd"), array("f", [2.0, float("inf")])
    trace.add([sample(1)])
    assert trace.log(costs, ()).losses is costs
    assert list(trace.log((2.0, 1.0), ()).losses) == [2.0, 1.0]
