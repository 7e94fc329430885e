from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

import babysit
from babysit.errors import SpaceError
from babysit.recipe.parse import FOREIGN, MAKERS, parse, parse_points
from babysit.recipe.space import Fixed, choice, integer, log_uniform, uniform, when
from babysit.tuning.stages import draw_trials


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("powers_of_ten(-6, -3)", log_uniform(1e-6, 1e-3)),
        ("integer(32, 256, step=32)", integer(32, 256, step=32)),
        ("uniform(0, 1, step=0.1)", uniform(0, 1, step=0.1)),
        ("log_uniform(1e-6, 1, natural_limit=upper)", log_uniform(1e-6, 1, natural_limit="upper")),
        ("choice(relu, tanh)", choice("relu", "tanh")),
        ("choice([relu, tanh])", choice("relu", "tanh")),
        ("choice(true, False)", choice(True, False)),
        ("choice(1, 0.5, 'a, b')", choice(1, 0.5, "a, b")),
        ("when(update, momentum, uniform(0.5,0.99))", when("update", "momentum", uniform(0.5, 0.99))),
        ("when('update', 'momentum', 0.9)", when("update", "momentum", 0.9)),
        ("when(update, [sgd, momentum], 0.9)", when("update", ["sgd", "momentum"], 0.9)),
        ("when(batch_norm, true, choice(0.9, 0.99))", when("batch_norm", True, choice(0.9, 0.99))),
        ("when(depth, 3, integer(1, 4))", when("depth", 3, integer(1, 4))),
    ],
)
def test_a_range_reads_on_the_command_line_as_in_a_recipe(text, expected):
    assert parse("name", text) == expected


def test_names_with_options_can_be_chosen_from():
    found = parse("initialization", "choice(he, small_random(scale=0.01))", schemes=True)
    assert found == choice("he", "small_random(scale=0.01)")


@pytest.mark.parametrize(
    "text",
    [
        "when(update)",
        "when(update, momentum)",
        "when(update, momentum, normal(0, 1))",
        "when(update, momentum, when(a, 1, 2))",
        "choice(small_random(scale=0.01))",
        "uniform(uniform(0, 1), 2)",
        "integer(1, 9, step=two)",
        "uniform(0, 1, natural_limit=middle)",
    ],
)
def test_what_cannot_be_read_names_the_setting_and_a_fix(text):
    with pytest.raises(SpaceError) as caught:
        parse("weird_name", text)
    assert "weird_name" in caught.value.problem
    assert caught.value.fix


@pytest.mark.parametrize("foreign", FOREIGN)
def test_the_spelling_of_another_tool_gets_ours(foreign):
    for text in (f"{foreign}(1, 2)", f"when(update, sgd, {foreign}(1, 2))"):
        with pytest.raises(SpaceError) as caught:
            parse("l2", text)
        assert FOREIGN[foreign] in caught.value.fix


def test_points_are_read_with_their_kinds():
    assert parse_points(["learning_rate=1e-3, l2=0.1,hidden=50,act=relu,batch_norm=true"]) == [
        {"learning_rate": 1e-3, "l2": 0.1, "hidden": 50, "act": "relu", "batch_norm": True}
    ]
    assert parse_points(["a=f(x=1,y=2),b=3"]) == [{"a": "f(x=1,y=2)", "b": 3}]
    assert parse_points([]) == []


@pytest.mark.parametrize("text", ["", "learning_rate", "=3", "a=", "a=1,,b=2", "a=1,b"])
def test_a_point_that_cannot_be_read_says_how_to_write_it(text):
    with pytest.raises(SpaceError) as caught:
        parse_points([text])
    assert "name=value" in caught.value.fix


PAGE = (Path(__file__).parents[2] / "docs" / "space.md").read_text()
SPELLINGS = re.findall(r"`((?:log_uniform|powers_of_ten|uniform|integer|choice|when)\(.*?\))`(?=[ ,|])", PAGE)


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_documented_spelling_reads(text):
    found = parse("name", text)
    assert found == eval(text, {maker.__name__: maker for maker in MAKERS.values()})
    assert not isinstance(found, Fixed)


def test_the_page_documents_every_kind_of_range():
    assert {text.partition("(")[0] for text in SPELLINGS} == set(MAKERS)


def test_the_documented_recipe_can_be_written_as_it_stands():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {"bs": babysit, "data": babysit.data.digits}
    exec(block, names)
    trials = draw_trials(names["recipe"].full_space(), stage=0, count=30, seed=0)
    for trial in trials:
        hp = trial.hyperparameters
        assert ("momentum" in hp) == (hp["update"] == "momentum")
        assert ("step_every" in hp) == (hp["schedule"] == "step")
        assert sum(isinstance(layer, nn.Linear) for layer in names["recipe"].model(hp)) == hp["depth"] + 1
