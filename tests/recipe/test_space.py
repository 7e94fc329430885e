from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from babysit.errors import SpaceError
from babysit.recipe.space import (
    Choice,
    Fixed,
    Numeric,
    as_data,
    as_range,
    choice,
    closest,
    from_data,
    integer,
    log_uniform,
    middle,
    number,
    parse,
    sample,
    searched,
    uniform,
)

positive = st.floats(1e-30, 1e30, allow_nan=False)
finite = st.floats(-1e12, 1e12, allow_nan=False)
positions = st.floats(0, 1)


def draws(found, count=4000, seed=1):
    generator = np.random.default_rng(seed)
    return [found.sample(generator) for _ in range(count)]


def test_the_lectures_reversed_bounds_are_accepted():
    assert log_uniform(1e-3, 1e-6) == log_uniform(1e-6, 1e-3)
    assert uniform(2, -1) == uniform(-1, 2)
    assert integer(9, 3) == integer(3, 9)


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e-3), (1e-5, 1e5), (0.9, 1.1)])
def test_the_logarithms_of_log_uniform_samples_are_uniform(low, high):
    exponents = np.log10(draws(log_uniform(low, high), 10_000))
    start, width = math.log10(low), math.log10(high / low)
    assert stats.kstest(exponents, stats.uniform(start, width).cdf).pvalue > 0.01


def test_the_test_of_uniformity_can_fail():
    exponents = np.log10(draws(uniform(1e-6, 1e-3), 10_000))
    assert stats.kstest(exponents, stats.uniform(-6, 3).cdf).pvalue < 1e-6


def test_linear_samples_are_uniform():
    assert stats.kstest(draws(uniform(-2, 5)), stats.uniform(-2, 7).cdf).pvalue > 0.01


@given(positive, positive, st.integers(0, 2**32 - 1))
def test_no_sample_leaves_a_logarithmic_range(low, high, seed):
    if low != high:
        found = log_uniform(low, high)
        assert all(found.low <= value <= found.high for value in draws(found, 20, seed))


@given(finite, finite, st.integers(0, 2**32 - 1))
def test_no_sample_leaves_a_linear_range(low, high, seed):
    if low != high:
        found = uniform(low, high)
        assert all(found.low <= value <= found.high for value in draws(found, 20, seed))


@pytest.mark.parametrize("log", [False, True])
def test_integers_come_as_whole_python_numbers_from_one_end_to_the_other(log):
    values = draws(integer(1, 6, log=log), 3000)
    assert {type(value) for value in values} == {int}
    assert set(values) == {1, 2, 3, 4, 5, 6}


def test_the_ends_of_an_integer_range_are_as_likely_as_its_middle():
    counts = np.bincount(draws(integer(0, 4), 10_000), minlength=5)
    assert stats.chisquare(counts).pvalue > 0.01


def test_integers_in_log_scale_have_each_the_share_of_their_own_interval():
    counts = np.bincount(draws(integer(1, 8, log=True), 20_000), minlength=9)[1:]
    edges = np.log(np.arange(0.5, 9))
    expected = np.diff(edges) / (edges[-1] - edges[0]) * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > 0.01


def test_every_option_of_a_choice_is_equally_likely():
    values = draws(choice("relu", "tanh", "elu"), 6000)
    counts = [values.count(option) for option in ("relu", "tanh", "elu")]
    assert stats.chisquare(counts).pvalue > 0.01


@given(positive, positive, positions)
def test_position_undoes_at_in_log_scale(low, high, position):
    if abs(math.log10(high / low)) > 1e-3:
        assert log_uniform(low, high).position(log_uniform(low, high).at(position)) == pytest.approx(
            position, abs=1e-6
        )


@given(finite, finite, positions)
def test_position_undoes_at_in_linear_scale(low, high, position):
    if abs(high - low) > 1e-3 * max(abs(low), abs(high)):
        assert uniform(low, high).position(uniform(low, high).at(position)) == pytest.approx(
            position, abs=1e-6
        )


def test_positions_outside_the_range_are_defined():
    found = log_uniform(1e-4, 1e-3)
    assert found.at(1.5) == pytest.approx(10**-2.5)
    assert found.at(-1) == pytest.approx(1e-5)
    assert found.position(1e-2) == pytest.approx(2)


@given(positive, positive)
def test_the_ends_of_a_range_are_exact(low, high):
    if low != high:
        found = log_uniform(low, high)
        assert found.low <= found.at(0) <= found.at(1) <= found.high
        assert found.at(0) == pytest.approx(found.low, rel=1e-12)


SPACES = st.dictionaries(
    st.sampled_from(["learning_rate", "l2", "hidden", "act", "ünï"]),
    st.one_of(
        st.builds(log_uniform, st.floats(1e-9, 1), st.floats(2, 1e9)),
        st.builds(uniform, st.floats(-9, 0), st.floats(1, 9)),
        st.builds(integer, st.integers(1, 50), st.integers(51, 99), log=st.booleans()),
        st.lists(st.one_of(st.booleans(), st.integers(), st.text()), min_size=1).map(lambda v: choice(*v)),
        st.one_of(st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False)).map(Fixed),
    ),
)


@given(SPACES)
def test_a_space_survives_json(space):
    returned = from_data(json.loads(json.dumps(as_data(space))))
    assert returned == space
    assert [str(found) for found in returned.values()] == [str(found) for found in space.values()]


@given(SPACES, st.integers(0, 1000))
def test_a_space_that_came_back_from_the_store_draws_the_same(space, seed):
    returned = from_data(json.loads(json.dumps(as_data(space))))
    first, second = (sample(s, np.random.default_rng(seed)) for s in (space, returned))
    assert repr(first) == repr(second)


def test_the_order_in_which_a_space_is_written_does_not_change_its_samples():
    space = {"b": uniform(0, 1), "a": log_uniform(1, 9), "c": integer(1, 9)}
    turned = dict(reversed(space.items()))
    first, second = (sample(s, np.random.default_rng(4)) for s in (space, turned))
    assert first == second
    assert list(first) == ["b", "a", "c"]


def test_fixing_a_name_leaves_those_spelt_before_it_alone():
    space = {"a": uniform(0, 1), "b": uniform(0, 1), "c": uniform(0, 1)}
    fixed = {**space, "b": Fixed(0.5)}
    first, second = (sample(s, np.random.default_rng(4)) for s in (space, fixed))
    assert first["a"] == second["a"]
    assert second["b"] == 0.5


def test_other_bounds_of_one_name_leave_all_others_alone():
    space = {"a": uniform(0, 1), "b": uniform(0, 1), "c": log_uniform(1e-3, 1)}
    wider = {**space, "b": uniform(-5, 70)}
    first, second = (sample(s, np.random.default_rng(4)) for s in (space, wider))
    assert (first["a"], first["c"]) == (second["a"], second["c"])
    assert wider["b"].position(second["b"]) == pytest.approx(first["b"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", Fixed(0.001)),
        ("  50 ", Fixed(50)),
        ("-2", Fixed(-2)),
        ("0.5", Fixed(0.5)),
        ("true", Fixed(True)),
        ("False", Fixed(False)),
        ("relu", Fixed("relu")),
        ("log_uniform(1e-6, 1e-3)", log_uniform(1e-6, 1e-3)),
        ("log_uniform( 1e-3 ,1e-6 )", log_uniform(1e-6, 1e-3)),
        ("log_uniform(low=1e-6, high=1e-3)", log_uniform(1e-6, 1e-3)),
        ("uniform(0,0.5)", uniform(0, 0.5)),
        ("uniform(-1, +1)", uniform(-1, 1)),
        ("integer(10, 100)", integer(10, 100)),
        ("integer(10, 100, log=True)", integer(10, 100, log=True)),
        ("choice(32, 64)", choice(32, 64)),
        ("choice('relu', \"tanh\")", choice("relu", "tanh")),
        ("choice(True, False)", choice(True, False)),
    ],
)
def test_a_setting_is_read_as_it_is_written_in_a_recipe(text, expected):
    found = parse("some_name", text)
    assert found == expected
    assert type(getattr(found, "value", 0)) is type(getattr(expected, "value", 0))


@pytest.mark.parametrize(
    "text",
    [
        "log_uniform(1e-3",
        "log_uniform(1e-3))",
        "log_uniform()",
        "log_uniform(1, 2, 3, 4)",
        "log_uniform(0, 1)",
        "log_uniform(-6, -3)",
        "log_uniform('a', 'b')",
        "log_uniform(1, 2, depth=3)",
        "log_uniform(1, 2)(3)",
        "uniform(1, 1)",
        "uniform(1, 1e999)",
        "uniform(a, b)",
        "uniform(True, 3)",
        "uniform(1 2)",
        "integer(1.5, 3)",
        "integer(0, 3, log=True)",
        "integer('one', 3)",
        "integer(1, 1e999)",
        "integer(1, None)",
        "choice()",
        "choice([])",
        "choice([[1, 2]])",
        "choice(None)",
        "choice(relu-x, tanh)",
        "choice(*[1, 2])",
        "normal(0, 1)",
        "__import__('os').system('true')",
        "choice(__import__('os'))",
        "(1, 2)",
    ],
)
def test_a_range_that_cannot_be_read_names_the_setting_and_a_fix(text):
    with pytest.raises(SpaceError) as caught:
        parse("weird_name", text)
    assert "weird_name" in caught.value.problem
    assert caught.value.fix
    assert " object at 0x" not in str(caught.value)


def test_nothing_on_the_command_line_is_ever_run(tmp_path):
    witness = tmp_path / "ran"
    with pytest.raises(SpaceError):
        parse("l2", f"choice(open({str(witness)!r}, 'w'))")
    assert not witness.exists()


def test_exponents_given_for_values_are_explained():
    with pytest.raises(SpaceError, match=r"log_uniform\(1e-6, 1e-3\)"):
        log_uniform(-3, -6)


@pytest.mark.parametrize("maker", [log_uniform, uniform, integer])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "3", None, True])
def test_bounds_that_are_no_finite_numbers_are_refused(maker, bad):
    with pytest.raises(SpaceError) as caught:
        maker(1, bad)
    assert caught.value.fix


@pytest.mark.parametrize("value", [None, [1, 2], (1, 2), {"low": 1}, object(), lambda: 1])
def test_what_is_neither_range_nor_value_is_refused_by_name(value):
    with pytest.raises(SpaceError, match="my_name"):
        as_range("my_name", value)


def test_the_middle_of_a_range_is_the_middle_of_its_scale():
    space = {
        "log": log_uniform(1e-6, 1e-2),
        "linear": uniform(0, 1),
        "whole": integer(1, 9),
        "pick": choice("a", "b"),
        "fixed": Fixed(3),
    }
    assert middle(space) == {"log": 1e-4, "linear": 0.5, "whole": 5, "pick": "a", "fixed": 3}
    assert list(searched(space)) == ["log", "linear", "whole"]


@given(st.floats(-1e300, 1e300))
def test_a_written_number_reads_back_to_four_digits(value):
    assert float(number(value)) == pytest.approx(value, rel=6e-4, abs=5e-324)


def test_a_misspelt_name_gets_a_hint_and_a_strange_one_the_list():
    assert closest("learning_rat", ["l2", "learning_rate"]) == "did you mean 'learning_rate'?"
    assert "l2" in closest("zzz", ["l2", "learning_rate"])


def test_ranges_speak_for_themselves():
    assert str(log_uniform(1e-6, 1e-3)) == "log-uniform 1e-6 to 1e-3"
    assert str(integer(8, 64, log=True)) == "integers 8 to 64, log scale"
    assert str(Choice((32, 64))) == "one of 32, 64"
    assert Numeric(1, 2).scale == "linear"
