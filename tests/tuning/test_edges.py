from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from babysit.recipe.space import Fixed, choice, integer, log_uniform, uniform, when
from babysit.records import Reading, Result, Run, State, Trial
from babysit.tuning.edges import alarms_of, edge_alarms, fruitless_widenings, silence
from babysit.tuning.ranking import Round
from babysit.tuning.stages import next_box, ranked


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


def test_of_the_lectures_five_best_two_lie_in_the_last_tenth(fine, fine_box):
    (edge,) = alarms_of([Round(fine_box, fine)], 1000)
    assert (edge.near, edge.top) == (2, 5)
    assert "2 of the 5 best lie in the last 10% of its log range" in edge.message
    assert edge.silenced == ""


def test_a_best_value_that_sits_at_the_edge_alone_may_be_there_by_chance(make):
    space = {"l2": log_uniform(1e-4, 1)}
    results = [make.completed(Trial(0, n, {"l2": v}), 0.9 - n / 100) for n, v in enumerate((0.9, 1e-2, 1e-3))]
    (edge,) = alarms_of([Round(space, results)], 1000)
    assert (edge.near, edge.top) == (1, 3)
    assert "which may be chance" in edge.message


def scored(make, stage, *rows):
    return [make.completed(Trial(stage, n, {"l2": value}), score) for n, (value, score) in enumerate(rows)]


BOX = {"l2": log_uniform(1e-4, 1)}
WIDER = {"l2": log_uniform(1e-2, 10)}
AT_THE_EDGE = ((0.95, 0.5), (0.1, 0.4))


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (((5.0, 0.505), (0.5, 0.5)), "a stage that went beyond 1 came to 0.505 against 0.5"),
        (((5.0, 0.2), (0.5, 0.5)), "no better by more than one standard error (0.0158)"),
        # It trained longer, so all of it is better, but those beyond the edge no more than the rest.
        (((5.0, 0.605), (0.5, 0.6)), "the trial beyond 1 came to 0.605 against 0.6"),
        (((5.0, 0.7), (0.5, 0.5)), ""),
        (((0.9, 0.5), (0.5, 0.5)), ""),  # nobody looked
    ],
)
def test_an_alarm_is_silenced_by_a_widening_that_brought_nothing(make, later, said):
    rounds = [Round(BOX, scored(make, 0, *AT_THE_EDGE)), Round(WIDER, scored(make, 1, *later))]
    found = fruitless_widenings(rounds, 1000)
    assert len(found) == bool(said)
    assert all(said in vain.reason for vain in found)


def test_an_edge_beyond_which_everything_explodes_is_silenced(make):
    burst = [make.exploded(Trial(1, n, {"l2": 3.0 + n})) for n in range(4)]
    rounds = [Round(BOX, scored(make, 0, *AT_THE_EDGE)), Round(WIDER, burst)]
    (edge,) = alarms_of(rounds, 1000)
    assert edge.silenced == "the 4 trials beyond 1 did not complete"


def test_silence_holds_at_that_edge_and_farther_out_but_not_farther_in(make):
    (vain,) = fruitless_widenings(
        [Round(BOX, scored(make, 0, *AT_THE_EDGE)), Round(WIDER, scored(make, 1, (5.0, 0.2), (0.5, 0.5)))],
        1000,
    )

    def at(high, value):
        return edge_alarms(scored(make, 2, (value, 0.5))[0], {"l2": log_uniform(1e-4, high)})

    assert [edge.silenced != "" for edge in silence(at(1, 0.95), [vain])] == [True]
    assert [edge.silenced != "" for edge in silence(at(10, 9.5), [vain])] == [True]
    assert [edge.silenced != "" for edge in silence(at(0.1, 0.095), [vain])] == [False]
    assert [edge.silenced != "" for edge in silence(at(1, 1.05e-4), [vain])] == [False]


POSITIONS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def results_at(space, positions, scores):
    readings = [(Reading(1, 1, 1.0, score, score, 1e-3, 1.0),) for score in scores]
    return [
        Result(Trial(0, n, {"x": space.at(position)}), Run(State.COMPLETE, reading))
        for n, (position, reading) in enumerate(zip(positions, readings, strict=False))
    ]


@given(POSITIONS, st.randoms(use_true_random=False))
def test_alarms_of_a_mirrored_range_are_mirrored(positions, random):
    # Away from the thresholds, where the last bit decides.
    assume(all(abs(p - t) > 1e-6 for p in positions for t in (0.05, 0.1, 0.9, 0.95)))
    scores = [random.randint(0, 100) / 100 for _ in positions]
    space, mirror = log_uniform(1e-4, 1e4), {"lower": "upper", "upper": "lower"}
    there, back = (
        alarms_of([Round({"x": space}, results_at(space, each, scores))], 1000)
        for each in (positions, [1 - position for position in positions])
    )
    assert [(mirror[e.side], e.near, e.top) for e in there] == [(e.side, e.near, e.top) for e in back]
    for one, other in zip(there, back, strict=True):
        assert other.new_low == pytest.approx(1 / one.new_high, rel=0.02)


@given(POSITIONS, st.randoms(use_true_random=False))
def test_alarms_do_not_depend_on_the_order_of_results_or_on_the_spelling_of_bounds(positions, random):
    scores = random.sample(range(100), len(positions))
    space = log_uniform(1e4, 1e-4)
    results = results_at(space, positions, [score / 100 for score in scores])
    shuffled = random.sample(results, len(results))
    boxes = {"x": space}, {"x": log_uniform(1e-4, 1e4)}
    assert alarms_of([Round(boxes[0], results)], 1000) == alarms_of([Round(boxes[1], shuffled)], 1000)


@given(
    st.floats(0.951, 1), st.floats(0, 0.5), st.lists(st.floats(0, 0.5), min_size=1, max_size=9), st.booleans()
)
def test_after_a_vain_widening_neither_this_edge_nor_the_wider_one_rings(place, score, later, upper):
    space, wider = log_uniform(1e-4, 1), log_uniform(*((1e-4, 10) if upper else (1e-5, 1)))
    side = (lambda position: position) if upper else (lambda position: 1 - position)
    before = Round({"x": space}, results_at(space, [side(place)], [score]))
    assume(edge_alarms(before.results[0], before.box))
    after = Round({"x": wider}, results_at(wider, [side(0.99)] * len(later), [min(x, score) for x in later]))
    assert all(edge.silenced for edge in alarms_of([before, after], 1000))
    vain = fruitless_widenings([before, after], 1000)
    (again,) = next_box(after.results, after.box, 1000, vain)[0].values()
    assert again.high <= wider.high if upper else again.low >= wider.low
