from __future__ import annotations

import math
import re

import numpy as np
import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import babysit as bs
from babysit.errors import InputError, SpaceError
from babysit.recipe.constructors import as_range, choice, integer, log_uniform, powers_of_ten, uniform, when
from babysit.recipe.ranges import Choice, Fixed, Numeric, When
from babysit.recipe.space import as_data, from_data

exponents = st.integers(-12, 12)


def draws(found, count, seed=3):
    generator = np.random.default_rng(seed)
    return [found.sample(generator) for _ in range(count)]


@pytest.mark.parametrize(
    ("found", "start", "width"),
    [
        (log_uniform(1e-6, 1e-3), -6, 3),
        (log_uniform(1e-3, 1e-6), -6, 3),
        (powers_of_ten(-5, 5), -5, 10),
        (powers_of_ten(0.5, -1.5), -1.5, 2),
    ],
)
def test_the_logarithms_of_ten_thousand_samples_are_uniform(found, start, width):
    values = np.log10(draws(found, 10_000))
    assert stats.kstest(values, stats.uniform(start, width).cdf).pvalue > 0.01
    assert values.min() == pytest.approx(start, abs=0.01)
    assert values.max() == pytest.approx(start + width, abs=0.01)


@given(exponents, exponents)
def test_exponents_are_echoed_in_values_and_are_exact(low, high):
    assume(low != high)
    found = powers_of_ten(low, high)
    assert (found.low, found.high) == (float(f"1e{min(low, high)}"), float(f"1e{max(low, high)}"))
    assert str(found) == str(log_uniform(found.high, found.low))


@pytest.mark.parametrize("bad", [(1, 1), (-400, 2), (0, 301), ("a", 1), (math.nan, 1), (True, 3)])
def test_exponents_of_which_no_range_can_be_made(bad):
    with pytest.raises(SpaceError) as caught:
        powers_of_ten(*bad)
    assert caught.value.fix


@given(st.integers(-500, 500), st.integers(1, 40), st.integers(1, 30), st.integers(0, 39), st.integers(0, 99))
def test_a_step_reaches_every_value_of_its_grid_and_no_other(low, step, count, rest, seed):
    found = integer(low, low + step * count + rest % step, step=step)
    grid = set(range(low, low + step * count + 1, step))
    assert (found.low, found.high) == (low, low + step * count)
    assert set(draws(found, 50, seed)) <= grid
    assert {found.at(position) for position in np.linspace(0, 1, 20 * count)} == grid
    assert all(type(value) is int for value in draws(found, 3, seed))
    assert all(found.at(found.position(value)) == value for value in grid)


def test_every_step_is_equally_likely():
    values = draws(integer(32, 256, step=32), 8000)
    counts = [values.count(value) for value in range(32, 257, 32)]
    assert sum(counts) == 8000
    assert stats.chisquare(counts).pvalue > 0.01


def test_a_step_of_real_numbers_gives_the_numbers_that_people_mean():
    found = uniform(0, 0.55, step=0.1)
    assert found.high == 0.5
    assert set(draws(found, 300)) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


@pytest.mark.parametrize(
    "make",
    [
        lambda: integer(1, 9, step=0),
        lambda: integer(1, 9, step=-2),
        lambda: integer(1, 9, step=2.5),
        lambda: integer(1, 9, step=20),
        lambda: integer(1, 9, step=math.inf),
        lambda: integer(1, 9, step=2, log=True),
        lambda: uniform(0, 1, step=math.nan),
        lambda: uniform(0, 1, step=2),
        lambda: uniform(0, 1, natural_limit="top"),
        lambda: log_uniform(1, 2, natural_limit="down"),
        lambda: when("", 1, 2),
        lambda: when(3, 1, 2),
        lambda: when("a", [], 2),
        lambda: when("a", None, 2),
        lambda: when("a", 1, None),
        lambda: when("a", 1, when("b", 1, 2)),
        lambda: choice(1, [2]),
        lambda: choice([]),
    ],
)
def test_an_impossible_range_is_refused_with_a_fix(make):
    with pytest.raises(SpaceError) as caught:
        make()
    assert caught.value.fix


def test_a_list_of_options_is_read_as_these_options():
    assert choice(["relu", "tanh"]) == choice("relu", "tanh") == choice(("relu", "tanh"))


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (optuna.distributions.FloatDistribution(1e-6, 1e-3, log=True), log_uniform(1e-6, 1e-3)),
        (optuna.distributions.FloatDistribution(0, 1), uniform(0, 1)),
        (optuna.distributions.FloatDistribution(0, 1, step=0.25), uniform(0, 1, step=0.25)),
        (optuna.distributions.FloatDistribution(2.0, 2.0), Fixed(2.0)),
        (optuna.distributions.IntDistribution(1, 9), integer(1, 9)),
        (optuna.distributions.IntDistribution(1, 64, log=True), integer(1, 64, log=True)),
        (optuna.distributions.IntDistribution(32, 256, step=32), integer(32, 256, step=32)),
        (optuna.distributions.CategoricalDistribution(("sgd", "adam")), choice("sgd", "adam")),
    ],
)
def test_optunas_distributions_are_ranges(distribution, expected):
    assert as_range("name", distribution) == expected
    assert when("update", "adam", distribution).range == expected


def test_an_option_of_optunas_that_is_no_value_is_refused():
    with pytest.raises(SpaceError, match="None"):
        as_range("name", optuna.distributions.CategoricalDistribution((None, 1)))


class RayFloat:
    """What Ray Tune's ``loguniform`` returns has these attributes."""

    lower, upper, sampler = 1e-6, 1e-3, None


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (RayFloat(), "log_uniform(low, high)"),
        (stats.loguniform(1e-6, 1e-3), "log_uniform(low, high)"),
        ([50, 100], "choice(50, 100)"),
        (range(32, 129, 32), "integer(32, 128, step=32)"),
        (optuna.distributions.FloatDistribution, "log_uniform"),
    ],
)
def test_what_other_tools_call_a_range_gets_ours_as_the_fix(value, fix):
    with pytest.raises(SpaceError, match="my_name") as caught:
        as_range("my_name", value)
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("loguniform", "log_uniform(low, high)"),
        ("randint", "integer(low, high)"),
        ("lograndint", "integer(low, high, log=True)"),
        ("log_unifrom", "log_uniform"),
    ],
)
def test_a_range_misspelt_as_an_attribute_is_told_its_name(name, hint):
    with pytest.raises(AttributeError, match=re.escape(hint)):
        getattr(bs, name)


def test_an_attribute_that_is_no_range_gets_no_such_hint():
    assert not hasattr(bs, "serialize")
    with pytest.raises(AttributeError) as caught:
        _ = bs.serialize
    assert "uniform" not in str(caught.value)


plain_ranges = st.one_of(
    st.builds(
        log_uniform,
        st.floats(1e-9, 1),
        st.floats(2, 1e9),
        natural_limit=st.sampled_from(["", "lower", "upper", "both"]),
    ),
    st.builds(uniform, st.floats(-9, 0), st.floats(1, 9), step=st.sampled_from([None, 0.25, 0.5])),
    st.builds(integer, st.integers(1, 20), st.integers(51, 99), step=st.sampled_from([None, 2, 7])),
    st.lists(st.one_of(st.booleans(), st.text()), min_size=1).map(choice),
    st.integers().map(Fixed),
)


@pytest.mark.slow
@given(plain_ranges, st.integers(0, 2**32 - 1))
def test_a_range_holds_all_it_draws_and_its_middle(found, seed):
    conditional = When("parent", (1,), found)
    for value in [*draws(found, 10, seed), found.middle()]:
        assert found.holds(value)
        assert conditional.holds(value)
    assert not found.holds("no value of it " * 5)


@given(plain_ranges, st.lists(st.one_of(st.booleans(), st.integers(), st.text()), min_size=1))
def test_a_condition_survives_the_store(found, values):
    space = {"name": When("parent", tuple(values), found), "bare": found}
    returned = from_data(as_data(space))
    assert returned == space
    assert str(returned["name"]) == str(space["name"])


def test_a_plain_range_is_stored_as_it_always_was():
    assert log_uniform(1e-6, 1e-3).as_data() == {
        "kind": "log_uniform",
        "low": 1e-6,
        "high": 1e-3,
        "log": True,
    }


def test_true_is_not_one():
    assert not Choice((1, 0)).holds(True)
    assert not Fixed(True).holds(1)
    assert not Numeric(0, 1).holds(True)
    assert not When("a", (1,), Fixed(2)).is_met({"a": True})
    assert isinstance(SpaceError("a"), InputError)


def test_what_a_range_lacks_is_not_in_its_representation():
    assert repr(log_uniform(1e-4, 1e-3)) == "Numeric(low=0.0001, high=0.001, log=True, whole=False)"
    found = integer(8, 64, step=8, natural_limit="upper")
    assert eval(repr(found), {"Numeric": Numeric}) == found
