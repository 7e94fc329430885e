from __future__ import annotations

import pytest

from babysit.recipe.space import Fixed, choice, integer, log_uniform, uniform, when
from babysit.records import Trial
from babysit.search.edges import edge_alarms
from babysit.search.stages import ranked


@pytest.fixture
def alarms(make):
    def found(name, value, space):
        return edge_alarms(make.completed(Trial(0, 0, {name: value}), 0.5), {name: space})

    return found


def test_the_lectures_worrying_result_is_alarmed(fine, fine_box):
    best = ranked(fine)[0]
    (edge,) = edge_alarms(best, fine_box)
    assert (edge.name, edge.side, edge.scale) == ("learning_rate", "upper", "log")
    assert edge.position == pytest.approx(0.976, abs=5e-4)
    assert (edge.low, edge.high) == (1e-4, 1e-3)
    assert edge.new_low < 9.471549e-4 < edge.new_high
    assert edge.new_high > 1e-3
    assert "learning_rate" in edge.message
    assert "upper edge" in edge.message


def test_the_proposed_range_is_as_wide_as_the_old_and_has_the_best_in_its_middle(fine, fine_box):
    (edge,) = edge_alarms(ranked(fine)[0], fine_box)
    proposed = log_uniform(edge.new_low, edge.new_high)
    assert edge.new_high / edge.new_low == pytest.approx(10, rel=0.02)
    assert proposed.position(edge.value) == pytest.approx(0.5, abs=0.01)


def test_the_lectures_runner_up_would_raise_no_alarm(fine, fine_box):
    assert edge_alarms(ranked(fine)[1], fine_box) == []


def test_the_scale_decides_what_is_near(alarms):
    assert alarms("l2", 0.5, log_uniform(1e-5, 1e5)) == []
    assert [edge.side for edge in alarms("l2", 0.5, uniform(0.4, 1e5))] == ["lower"]


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_an_alarm_begins_a_twentieth_from_the_edge(alarms, side):
    space = log_uniform(1e-4, 1e-2)
    near, far = (0.04, 0.06) if side == "lower" else (0.96, 0.94)
    assert [edge.side for edge in alarms("learning_rate", space.at(near), space)] == [side]
    assert alarms("learning_rate", space.at(far), space) == []


@pytest.mark.parametrize(
    ("name", "value", "space"),
    [
        ("dropout", 0.0, uniform(0, 0.5)),
        ("hidden", 1, integer(1, 100)),
        ("layers", 1, integer(1, 8, log=True)),
        ("warm_up_epochs", 0.001, uniform(0, 1)),
        ("momentum", 0.99, uniform(0.5, 0.99)),
        ("learning_rate_decay", 1.0, uniform(0.5, 1)),
    ],
)
def test_a_natural_limit_raises_no_alarm(alarms, name, value, space):
    assert alarms(name, value, space) == []


def test_the_other_end_of_a_range_with_a_natural_limit_is_watched(alarms):
    (edge,) = alarms("dropout", 0.5, uniform(0, 0.5))
    assert edge.side == "upper"
    (edge,) = alarms("momentum", 0.9, uniform(0.5, 0.9))
    assert edge.new_high < 1
    (edge,) = alarms("hidden", 100, integer(10, 100))
    assert edge.new_high > 100


def test_a_proposal_never_leaves_what_makes_sense(alarms):
    (edge,) = alarms("l2", 0.11, uniform(0.1, 5))
    assert edge.new_low == 0
    (edge,) = alarms("hidden", 2, integer(2, 50))
    assert edge.new_low >= 1


def test_what_is_not_searched_has_no_edges(alarms):
    assert alarms("hidden", 50, Fixed(50)) == []
    assert alarms("act", "relu", choice("relu", "tanh")) == []


@pytest.mark.parametrize(
    ("value", "limit", "sides"),
    [
        (1.1e-4, "", ["lower"]),
        (1.1e-4, "lower", []),
        (1.1e-4, "both", []),
        (1.1e-4, "upper", ["lower"]),
        (0.9, "", ["upper"]),
        (0.9, "upper", []),
        (0.9, "lower", ["upper"]),
    ],
)
def test_a_range_may_call_an_edge_natural(alarms, value, limit, sides):
    found = alarms("l2", value, log_uniform(1e-4, 1, natural_limit=limit))
    assert [edge.side for edge in found] == sides
    for edge in found:
        assert edge.new_high > 1 if edge.side == "upper" else edge.new_low < 1e-4


def test_a_conditional_range_is_watched_only_where_it_exists(make):
    box = {"update": choice("sgd", "momentum"), "momentum": when("update", "momentum", uniform(0.5, 0.9))}
    with_it = make.completed(Trial(0, 0, {"update": "momentum", "momentum": 0.899}), 0.5)
    without = make.completed(Trial(0, 1, {"update": "sgd"}), 0.5)
    assert [(edge.name, edge.side) for edge in edge_alarms(with_it, box)] == [("momentum", "upper")]
    assert edge_alarms(without, box) == []
