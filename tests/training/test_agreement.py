"""The arithmetic of comparing: differences, chaos, ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from babysit.training.agreement import (
    MemberAgreement,
    MemberTrace,
    Verification,
    is_own_chaos,
    loss_differences,
    rank_correlation,
    tensor_agreements,
)

nan, inf = math.nan, math.inf


def trace(*costs, val=1.0, explosion=None):
    return MemberTrace(np.array(costs, float), val, explosion, {})


def test_differences_are_relative_to_the_cost_but_never_to_almost_nothing():
    assert loss_differences(trace(2, 1.01), trace(2, 1)) == pytest.approx([0, 0.01, 0])
    assert loss_differences(trace(2, 2e-9), trace(2, 1e-9)).max() < 1e-6


def test_the_validation_loss_counts():
    assert loss_differences(trace(2, 1, val=1.5), trace(2, 1, val=1.0)) == pytest.approx([0, 0, 0.5])


def test_two_nan_losses_do_not_differ_and_one_differs_infinitely():
    assert loss_differences(trace(2, nan), trace(2, inf)).tolist() == [0, 0, 0]
    assert loss_differences(trace(2, nan), trace(2, 1)).tolist() == [0, inf, 0]


def test_how_far_an_explosion_got_is_no_loss():
    a, b = trace(2, 50, val=nan, explosion=2), trace(2, 90, val=nan, explosion=2)
    assert loss_differences(a, b).max() == 0


def test_a_first_cost_that_is_nan():
    assert loss_differences(trace(nan, val=nan, explosion=1), trace(nan, val=nan, explosion=1)).max() == 0


def test_chaos_excuses_what_grew_with_the_nudge_only():
    alone, nudged = trace(2, 2, 2, val=2), trace(2, 2 + 1e-4, 2.2, val=2.2)
    assert is_own_chaos(trace(2, 2 + 1e-4, 2.3, val=2.3), alone, nudged)
    assert not is_own_chaos(trace(2.1, 2.1, 2.3, val=2.3), alone, nudged)


def test_chaos_excuses_another_explosion_only_where_the_nudge_moves_it_too():
    alone = trace(2, 3, 4, 90, val=nan, explosion=4)
    other = trace(2, 3, 4, 5, 90, val=nan, explosion=5)
    wild = trace(2, 3.5, 5, 8, val=4)
    assert is_own_chaos(other, alone, wild)
    assert not is_own_chaos(other, alone, alone)


def test_the_worst_tensor_comes_first_and_counters_are_compared_too():
    ours = {"w": torch.tensor([1.0, 2.0]), "count": torch.tensor(5), "zero": torch.zeros(2)}
    theirs = {"w": torch.tensor([1.0, 2.002]), "count": torch.tensor(10), "zero": torch.zeros(2)}
    found = tensor_agreements([(theirs, theirs), (ours, theirs)])
    assert [tensor.name for tensor in found] == ["count", "w", "zero"]
    assert found[0].relative == 0.5
    assert found[1].relative == pytest.approx(1e-3, rel=1e-2)
    assert found[2].absolute == found[2].relative == 0


def test_a_tensor_that_should_be_zero_differs_infinitely():
    assert tensor_agreements([({"b": torch.ones(1)}, {"b": torch.zeros(1)})])[0].relative == inf


scores = st.lists(st.integers(-3, 3), min_size=3, max_size=12)


@given(st.data())
def test_rank_correlation_is_scipys_ties_included(data):
    a = data.draw(scores)
    b = data.draw(st.lists(st.integers(-3, 3), min_size=len(a), max_size=len(a)))
    found = rank_correlation(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_minus_infinity_ranks_last():
    assert rank_correlation([-inf, 0.1, 0.2], [-inf, 0.3, 0.4]) == pytest.approx(1)


def member(loss=0.0, explosions=(None, None), cause="", equal=True):
    return MemberAgreement({}, loss, 3, explosions, nan, nan, cause, equal)


def verification(*members):
    return Verification("fused", "known", 1, 50, 1e-4, members, ())


def test_the_verdict_names_the_member_and_the_cause():
    assert verification(member(), member()).verdict == "equal to float tolerance"
    found = verification(member(), member(0.2, cause="it counts", equal=False))
    assert found.verdict == "NOT equal: member 1 differs by 2.0e-01 in its loss at step 3; it counts"
    assert (found.equal, found.loss) == (False, 0.2)


def test_the_verdict_on_explosions():
    found = verification(member(explosions=(7, None), cause="shared", equal=False))
    assert "member 0 explodes at step 7 in the population, does not explode alone; shared" in found.verdict


def test_the_verdict_names_the_members_whose_rounding_shows():
    found = verification(member(), member(0.2, cause="rounding"), member(0.3, cause="rounding"))
    assert found.equal
    assert found.verdict == "equal to float tolerance (member 1, 2: rounding)"
