from __future__ import annotations

import math

import pytest

from babysit.recipe.parse import parse
from babysit.records import Stage
from babysit.views.data.hyperparameters import knobs
from views.studies import LOG_RATE


def stage(index, **box):
    return Stage(index, f"stage{index}", box, 9, 3)


def test_only_what_was_searched_has_an_axis():
    fixed = {"kind": "fixed", "value": 50}
    assert [knob.name for knob in knobs([stage(0, learning_rate=LOG_RATE, hidden=fixed)], [])] == [
        "learning_rate"
    ]


def test_an_axis_spans_all_stages_and_shows_the_box_of_each():
    wider = {**LOG_RATE, "low": 1e-4, "high": 1e-1}
    [knob] = knobs([stage(0, learning_rate=LOG_RATE), stage(1, learning_rate=wider), stage(2)], [])
    first, second, third = knob.boxes
    assert first == (pytest.approx(knob.place(1e-6)), pytest.approx(knob.place(1e-3)))
    assert second[1] == pytest.approx(knob.place(1e-1))
    assert third is None
    assert 0 < first[0] < second[0] < first[1] < second[1] < 1


def test_a_choice_has_its_options_in_order():
    update = {"kind": "choice", "choices": ["sgd", "momentum", "adam"]}
    [knob] = knobs([stage(0, update=update)], [])
    assert [tick.label for tick in knob.ticks] == ["sgd", "momentum", "adam"]
    places = [knob.place(name) for name in ("sgd", "momentum", "adam")]
    assert places == sorted(places)
    assert math.isnan(knob.place("unheard of"))
    assert math.isnan(knob.place(None))


TYPED = (
    "log_uniform(1e-6, 1e-3)",
    "uniform(0.1, 0.5)",
    "uniform(0.0, 0.5, step=0.1)",
    "integer(32, 256, step=32)",
    "integer(8, 512, log=True)",
)


@pytest.mark.parametrize("typed", TYPED)
def test_what_a_maker_writes_the_command_line_reads(typed):
    """The range that was searched, written anew with its own bounds, is that range."""
    found = parse("x", typed)
    [knob] = knobs([stage(0, x=found.as_data())], [])
    assert parse("x", knob.maker.format(found.low, found.high)) == found


def test_without_a_search_what_differs_has_an_axis():
    found = knobs([], [{"l2": 0.1, "seed": 1, "name": "a"}, {"l2": 0.2, "seed": 1, "name": "b"}])
    assert [(knob.name, knob.axis is None) for knob in found] == [("l2", False), ("name", True)]
    assert knobs([], [{"l2": 0.1}]) == []


def test_log_values_always_have_an_exponent():
    [knob] = knobs([stage(0, learning_rate={**LOG_RATE, "high": 1.0})], [])
    assert [knob.text(value) for value in (0.5, 1e-4, None)] == ["5e-1", "1e-4", "–"]
