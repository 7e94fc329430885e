from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.recipe.limits import BELOW_ONE, is_natural_limit, within_limits
from babysit.recipe.space import integer, log_uniform, uniform


@pytest.mark.parametrize("name", BELOW_ONE)
def test_names_that_end_at_one_do_so_by_default(name):
    assert is_natural_limit(name, "upper", uniform(0.5, 0.99))
    assert not is_natural_limit(name, "upper", uniform(0.5, 0.9))
    assert within_limits(name, uniform(0.5, 0.9), 0.6, 1.4) == (0.6, 0.999)
    assert within_limits(name, uniform(0.5, 1.0), 0.6, 1.4) == (0.6, 1.0)


def test_any_other_name_has_no_upper_end():
    assert not is_natural_limit("l2", "upper", uniform(0.5, 1))
    assert within_limits("l2", uniform(0.5, 1), 0.6, 1.4) == (0.6, 1.4)


def test_zero_and_one_unit_are_lower_ends_of_any_name():
    assert is_natural_limit("any", "lower", uniform(0, 1))
    assert is_natural_limit("any", "lower", integer(1, 5))
    assert not is_natural_limit("any", "lower", integer(2, 5))
    assert not is_natural_limit("any", "lower", log_uniform(1e-9, 1))


@given(
    st.sampled_from(["", "lower", "upper", "both"]),
    st.floats(-2, 2),
    st.floats(0.1, 2),
    st.sampled_from([1, 5, 32]),
)
def test_new_bounds_respect_the_limit_and_the_steps(limit, low, width, step):
    found = integer(64, 64 + 8 * step, step=step, natural_limit=limit)
    asked = (64 + low * 100, 64 + (low + width) * 100)
    first, last = within_limits("hidden", found, *asked)
    assert first >= max(asked[0], 1) - 1e-6
    assert last <= asked[1] + 1e-6
    if limit in ("lower", "both"):
        assert first >= found.low
    if limit in ("upper", "both"):
        assert last <= found.high
    if found.step is not None:
        assert (first - 64) % step == (last - 64) % step == 0
