"""Figure data: where things are drawn, compared as numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.records import Result, Run, State, Trial
from babysit.tuning.ranking import best_first, ties
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.ranked_trials import trial_table
from babysit.views.data.scatter import range_strip, scatter, scatter_names
from babysit.views.data.series import loss_curves, run_costs, run_scores, shade_of, shade_range, spark
from views.studies import EDGE, NAN, complete, costs_of, exploded, regression, search, view_of


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1e-6, 1e-3, ["1e-6", "1e-5", "1e-4", "1e-3"]),
        (1e-5, 1e5, ["1e-5", "1e-3", "1e-1", "1e1", "1e3", "1e5"]),
        (1.0, 20.0, ["1", "2", "5", "10", "20"]),
        (1.2e-4, 7e-4, ["2e-4", "5e-4"]),
    ],
)
def test_log_ticks_are_powers(low: float, high: float, labels: list[str]) -> None:
    ticks = Axis(low, high, True, "").ticks
    assert [tick.label for tick in ticks] == labels


def test_linear_ticks_are_round_and_inside() -> None:
    assert [tick.label for tick in Axis(0.0, 1.0, False, "").ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [tick.label for tick in Axis(0.999, 3.001, False, "epoch", whole=True).ticks] == ["1", "2", "3"]


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=9), log=st.booleans())
def test_an_axis_is_made_of_anything(values: list[float], log: bool) -> None:
    kept = [value for value in values if abs(value) < 1e100 and (value == 0 or abs(value) > 1e-100)]
    axis = make_axis([*kept, NAN, math.inf], "x", log=log)
    assert axis.low < axis.high
    assert len(axis.ticks) < 20
    for value in kept:
        place = axis.place(value)
        assert math.isnan(place) or -1e-9 <= place <= 1 + 1e-9


def test_a_log_axis_shows_no_zero() -> None:
    assert math.isnan(make_axis([0.0, 1.0, 10.0], "x", log=True).place(0.0))


def test_a_spike_survives_in_a_spark() -> None:
    costs = np.ones(10_000)
    costs[777] = 5.0
    heights = [y for _, y in spark(costs).points]
    assert max(heights) == 1.0
    assert heights.count(1.0) == 1


def test_a_spark_of_nothing_and_of_one_value() -> None:
    assert spark([]).points == ()
    assert spark([NAN, NAN]).points == ()
    assert spark([2.0]).points == ((0.0, 0.0),)
    assert spark([2.0, 2.0, 2.0]).points == ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0))


def test_an_exploding_spark_stops_at_nan_and_is_clipped() -> None:
    drawn = spark([1.0, 2.0, 100.0, NAN], exploded=True)
    assert drawn == (((0.0, 0.0), (1 / 3, 0.5), (2 / 3, 1.0)), True)


def test_summary_sparks_are_drawn_as_they_are() -> None:
    shrunk = np.array([[1.0, 3.0, 1.0], [1.0, 1.0, 1.0]])
    assert spark(shrunk).points == ((0.0, 1.0), (0.0, 0.0), (1.0, 0.0))


def test_diverged_runs_do_not_set_the_axis() -> None:
    calm, wild = complete(0, 0.5), exploded(1, cost=1e30)
    drawn, alone = loss_curves(view_of([calm, wild])), loss_curves(view_of([calm]))
    assert drawn is not None
    assert alone is not None
    assert drawn.y == alone.y
    assert [curve.diverged for curve in drawn.curves] == [True, False]
    assert drawn.curves[-1].best
    assert (drawn.diverged, drawn.above) == (1, 0)
    assert drawn.y.place(2.3) == drawn.first_cost
    assert all(0 <= x <= 1 and 0 <= y <= 1 for curve in drawn.curves for x, y in curve.points)
    assert drawn.curves[0].points[-1][1] == 1.0


def test_runs_above_the_axis_are_counted_not_drawn() -> None:
    results = [complete(number, 0.5) for number in range(4)]
    view = view_of(results)
    steps, costs = costs_of(results[0])
    high = {**view.costs, (0, 0): (steps, costs + 500)}
    drawn = loss_curves(view_of(results, costs=high))
    assert drawn is not None
    assert drawn.above == 1
    assert [curve.key for curve in drawn.curves if curve.key == (0, 0)] == []


def test_curves_look_the_same_every_time() -> None:
    assert repr(loss_curves(search())) == repr(loss_curves(search()))


def test_no_costs_make_no_curves() -> None:
    assert loss_curves(view_of([complete(0, 0.5)], costs={})) is None
    assert loss_curves(view_of([])) is None
    assert run_costs(Run(State.WAITING), (np.empty(0, dtype="i4"), np.empty(0, dtype="f4"))) is None
    assert run_scores([]) is None


def test_a_run_keeps_its_extremes_and_its_explosion() -> None:
    wild = exploded(0)
    drawn = run_costs(wild.run, costs_of(wild))
    assert drawn is not None
    assert drawn.exploded_at == 1.0
    assert drawn.y.high < 10
    calm = complete(0, 0.5)
    drawn = run_costs(calm.run, costs_of(calm))
    assert drawn is not None
    assert math.isnan(drawn.exploded_at)
    assert len(drawn.points) == calm.run.steps


def test_scores_show_the_gap() -> None:
    drawn = run_scores(complete(0, 0.6).run.readings)
    assert drawn is not None
    assert drawn.accuracy
    assert drawn.gap == pytest.approx(0.05)
    assert len(drawn.train) == len(drawn.val) == 3
    assert all(train[1] > val[1] for train, val in zip(drawn.train, drawn.val, strict=True))


def test_regression_shows_the_validation_loss() -> None:
    drawn = run_scores(regression(0, 1.0).run.readings)
    assert drawn is not None
    assert (drawn.accuracy, drawn.train, drawn.y.label) == (False, (), "validation loss")
    assert math.isnan(drawn.gap)
    plane = scatter(view_of([regression(0, 1.0), regression(1, 2.0)]))
    assert plane is not None
    assert not plane.accuracy
    assert plane.points[-1].key == (0, 0)


def test_the_scatter_has_log_axes_boxes_and_marks() -> None:
    drawn = scatter(search())
    assert drawn is not None
    assert (drawn.x.label, drawn.y.label, drawn.x.log, drawn.y.log) == ("learning_rate", "l2", True, True)
    box = drawn.boxes[0]
    assert box.left == pytest.approx(drawn.x.place(1e-6))
    assert box.top == pytest.approx(drawn.y.place(1e5))
    assert [point.exploded for point in drawn.points].count(True) == 2
    assert drawn.points[-1].best
    assert drawn.points[-1].shade == 1.0
    assert all(math.isnan(point.shade) for point in drawn.points if point.exploded)


def test_reversed_ranges_make_the_same_box() -> None:
    view = search()
    box = {
        **view.stages[0].box,
        "learning_rate": {"kind": "log_uniform", "low": 1e-3, "high": 1e-6, "log": True},
    }
    stage = type(view.stages[0])(0, "coarse", box, 6, 3)
    first, second = scatter(view), scatter(view_of(list(view.results), stages=(stage,)))
    assert first is not None
    assert second is not None
    assert first.boxes == second.boxes


def test_one_hyperparameter_is_drawn_against_the_score() -> None:
    results = [complete(number, 0.1 * number, 10.0 ** -(2 + number)) for number in range(4)]
    view = view_of([*results, exploded(9)], stages=())
    drawn = scatter(view, ["learning_rate"])
    assert drawn is not None
    assert drawn.y.label == "validation accuracy"
    assert drawn.boxes == ()
    assert [point.y for point in drawn.points if point.exploded] == [0.0]


def test_no_number_makes_no_scatter() -> None:
    results = [
        Result(Trial(0, number, {"update": name}), complete(0, 0.4).run) for number, name in enumerate("ab")
    ]
    view = view_of(results, stages=())
    assert scatter_names(view) == []
    assert scatter(view) is None


def test_the_strip_shows_both_ranges() -> None:
    drawn = range_strip(EDGE)
    assert drawn is not None
    assert drawn.searched[0] < drawn.proposed[0] < drawn.best < drawn.searched[1] < drawn.proposed[1]
    assert range_strip(replace(EDGE, new_low=NAN)) is None


def test_the_table_is_best_first_and_marks_ties() -> None:
    table = trial_table(search(), {(0, 4), (0, 5)})
    assert table.names == ("learning_rate", "l2")
    assert [row.key for row in table.rows][:2] == [(0, 5), (0, 4)]
    assert [(row.best, row.tied) for row in table.rows][:3] == [(True, False), (False, True), (False, False)]
    assert [row.state for row in table.rows][-2:] == [State.EXPLODED] * 2
    assert table.rows[-1].note == "exploded at step 60: cost nan"
    assert table.rows[0].gap == pytest.approx(0.05)
    assert math.isnan(table.rows[-1].val_accuracy)


def test_the_table_of_nothing() -> None:
    assert trial_table(view_of([], stages=())) == ((), (), True)


def test_ties_are_within_one_standard_error() -> None:
    results = [
        complete(number, accuracy) for number, accuracy in enumerate((0.531, 0.530, 0.516, 0.515, 0.2))
    ]
    assert [result.trial.key for result in ties(results, 1000)] == [(0, 0), (0, 1), (0, 2)]
    assert ties([exploded(0)], 1000) == []
    assert [result.trial.number for result in best_first([exploded(0), *results[1:]])][-1] == 0


def test_one_hopeless_trial_does_not_paint_the_others_alike() -> None:
    results = [regression(number, loss) for number, loss in enumerate((1.0, 1.2, 1.4, 900.0))]
    low, high = shade_range(results)
    assert high == pytest.approx(-4 / 3)
    assert low == pytest.approx(-4 / 3 - 3 * 0.3)
    assert shade_of(results[3].score, (low, high)) < 0
    assert shade_range([]) == (0.0, 1.0)
    assert shade_of(0.5, shade_range([complete(0, 0.5)])) == 1.0
