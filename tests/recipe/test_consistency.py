from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.errors import SpaceError
from babysit.recipe.consistency import check_conditions, check_point
from babysit.recipe.space import (
    Fixed,
    When,
    as_data,
    choice,
    existing,
    from_data,
    integer,
    middle,
    sample,
    searched,
    uniform,
    variants,
    when,
)

NESTED = {
    "update": choice("sgd", "momentum", "adam"),
    "momentum": when("update", "momentum", uniform(0.5, 0.99)),
    "nesterov": when("update", "momentum", choice(True, False)),
    "look_ahead": when("nesterov", True, integer(1, 5)),
    "l2": uniform(0, 1),
}


def drawn(space, seed, given=None):
    return sample(space, np.random.default_rng(seed), given)


@given(st.integers(0, 2**32 - 1))
def test_a_name_exists_if_and_only_if_its_condition_holds(seed):
    values = drawn(NESTED, seed)
    is_momentum = values["update"] == "momentum"
    assert ("momentum" in values) == ("nesterov" in values) == is_momentum
    assert ("look_ahead" in values) == (is_momentum and values["nesterov"] is True)
    assert all(NESTED[name].holds(value) for name, value in values.items())
    assert list(values) == [name for name in NESTED if name in values]


def test_every_condition_holds_somewhere_and_fails_somewhere():
    seen = [frozenset(drawn(NESTED, seed)) for seed in range(60)]
    assert any("look_ahead" in names for names in seen)
    assert any("momentum" not in names for names in seen)
    assert any("nesterov" in names and "look_ahead" not in names for names in seen)


@given(st.integers(0, 2**32 - 1))
def test_conditions_leave_the_draws_of_all_other_names_alone(seed):
    without = {name: found.range if isinstance(found, When) else found for name, found in NESTED.items()}
    free, conditional = drawn(without, seed), drawn(NESTED, seed)
    assert conditional == {name: free[name] for name in conditional}


@given(st.integers(0, 2**32 - 1))
def test_given_values_decide_the_conditions_and_leave_the_rest_as_drawn(seed):
    values, plain = drawn(NESTED, seed, {"update": "momentum", "nesterov": True}), drawn(NESTED, seed)
    assert (values["update"], values["nesterov"]) == ("momentum", True)
    assert {"momentum", "look_ahead"} <= set(values)
    assert values["l2"] == plain["l2"]


@given(st.integers(0, 2**32 - 1))
def test_a_conditional_space_that_came_back_from_the_store_draws_the_same(seed):
    assert drawn(from_data(as_data(NESTED)), seed) == drawn(NESTED, seed)


def test_the_middle_holds_what_exists_there():
    assert middle(NESTED) == {"update": "sgd", "l2": 0.5}
    turned = {**NESTED, "update": choice("momentum", "sgd")}
    assert set(middle(turned)) == set(NESTED)


def test_the_variants_reach_every_name_of_the_space():
    found = list(variants(NESTED))
    assert {values["update"] for values in found} == {"momentum", "adam"}
    assert {"update": "momentum", "momentum": 0.745, "nesterov": False, "l2": 0.5} in found
    assert set().union(*found) == set(NESTED)


def test_the_edges_of_a_conditional_range_are_those_of_the_range():
    assert searched(NESTED)["momentum"] == uniform(0.5, 0.99)


def test_a_name_whose_parent_does_not_exist_does_not_either():
    assert existing(NESTED, {"update": "sgd", "nesterov": True, "look_ahead": 2}) == {"update": "sgd"}


def test_a_sound_space_passes():
    check_conditions(NESTED)
    check_conditions({"depth": integer(1, 3), "second": when("depth", [2, 3], 50)})


@pytest.mark.parametrize(
    ("space", "names"),
    [
        ({"momentum": when("updaet", "momentum", 0.9), "update": choice("sgd", "momentum")}, "'update'"),
        ({"a": when("b", 1, 2)}, "'b'"),
        ({"a": when("a", 1, 2)}, "a -> a"),
        ({"a": when("b", 1, 2), "b": when("c", 1, 2), "c": when("a", 1, 2)}, "a -> b -> c -> a"),
        ({"a": when("u", "momentun", 2), "u": choice("sgd", "momentum")}, "'momentun'"),
        ({"a": when("d", 7, 2), "d": integer(1, 3)}, "7"),
        ({"a": when("d", 0.5, 2), "d": uniform(0, 1)}, "real numbers"),
    ],
)
def test_a_condition_that_can_never_hold_is_refused(space, names):
    with pytest.raises(SpaceError) as caught:
        check_conditions(space)
    assert names in str(caught.value)
    assert caught.value.fix


def test_fixing_a_parent_is_no_mistake():
    check_conditions({"a": when("u", "momentum", 2), "u": Fixed("sgd")})


def test_a_point_takes_the_kinds_of_its_ranges():
    space = {"hidden": integer(10, 100), "l2": uniform(0, 1), "act": choice("relu", "elu"), "fixed": Fixed(3)}
    found = check_point(space, {"hidden": 50.0, "l2": 1, "act": "elu", "fixed": 3})
    assert found == {"hidden": 50, "l2": 1.0, "act": "elu", "fixed": 3}
    assert [type(value) for value in found.values()] == [int, float, str, int]


@pytest.mark.parametrize(
    "point",
    [
        {"l3": 1},
        {"l2": 2},
        {"l2": "much"},
        {"l2": True},
        {"l2": None},
        {"update": "adma"},
        {"momentum": 0.9},
        {"update": "sgd", "momentum": 0.9},
        {"update": "momentum", "nesterov": False, "look_ahead": 3},
        {"update": "momentum", "nesterov": True, "look_ahead": 2.5},
        "l2=1",
        3,
    ],
)
def test_a_point_that_does_not_lie_in_the_space_is_refused(point):
    with pytest.raises(SpaceError) as caught:
        check_point(NESTED, point)
    assert caught.value.fix


def test_a_conditional_name_may_be_given_with_its_parent():
    point = {"update": "momentum", "momentum": 0.9, "nesterov": True, "look_ahead": 3}
    assert check_point(NESTED, point) == point
    fixed = {"u": Fixed("momentum"), "m": when("u", "momentum", uniform(0, 1))}
    assert check_point(fixed, {"m": 0.5}) == {"m": 0.5}
