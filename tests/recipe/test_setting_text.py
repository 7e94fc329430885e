"""Settings as texts of a command line: they read back as the same values and ranges."""

from __future__ import annotations

import pytest

from babysit.recipe.loading import apply_settings, load_recipe, parse_settings
from babysit.recipe.parse import parse_points
from babysit.recipe.setting_text import point_text, setting_texts
from babysit.recipe.space import Fixed, as_range, choice, integer, log_uniform, uniform, when

NUMBERS = [0.001, 1e-20, 50, True, False]
TEXTS = ["50", "1e-3", "true", "nan", "relu", "it's", 'say "no"', "a(b)", "", " "]
RANGES = [
    log_uniform(1e-6, 1e-2),
    log_uniform(1e-6, 1e-2, natural_limit="upper"),
    uniform(0, 1, step=0.1),
    integer(32, 256, step=32),
    integer(32, 256, log=True),
    choice("relu", "50", 50, 0.5, True, "a b"),
    when("update", "adam", uniform(0.5, 0.99)),
    when("update", ["adam", "sgd"], choice(1, "1")),
]


@pytest.mark.parametrize("value", [*NUMBERS, *TEXTS, *RANGES], ids=repr)
def test_a_setting_reads_back_as_itself(value):
    (text,) = setting_texts({"hidden": value})
    (found,) = parse_settings([text]).values()
    assert found == as_range("hidden", value)
    if isinstance(found, Fixed):
        assert type(found.value) is type(value)


@pytest.mark.parametrize("name", ["initialization", "preprocessing"])
def test_a_name_with_options_needs_no_quotes(name):
    value = "small_random(scale=1e-4)"
    assert setting_texts({name: value}) == [f"{name}={value}"]
    assert parse_settings([f"{name}={value}"]) == {name: Fixed(value)}


def test_texts_stay_as_they_are():
    assert setting_texts(("l2=1e-3", "hidden=choice(5, 7)")) == ["l2=1e-3", "hidden=choice(5, 7)"]


def test_a_point_reads_back_as_itself():
    point = {"learning_rate": 0.01, "hidden": "50", "update": "adam", "nesterov": True}
    assert parse_points([point_text(point)]) == [point]


def test_settings_and_points_of_python_are_not_read_as_texts():
    found = apply_settings(load_recipe("digits"), {"hidden": choice("50", "7")}, enqueue=[{"hidden": "7"}])
    assert found.space["hidden"] == choice("50", "7")
    assert found.enqueue[0]["hidden"] == "7"


def test_numbers_of_numpy_become_those_of_python():
    np = pytest.importorskip("numpy")
    found = apply_settings(load_recipe("digits"), {"hidden": np.int64(50)}, enqueue=[{"l2": np.float32(0.5)}])
    assert type(found.space["hidden"].value) is int
    assert type(found.enqueue[0]["l2"]) is float
