from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from babysit.errors import SpaceError
from babysit.recipe.space import Choice, Fixed, Numeric, choice, integer, log_uniform, uniform, when
from babysit.records import Reading, Result, Run, State, Trial
from babysit.tuning.edges import EDGE_SHARE, fruitless_widenings
from babysit.tuning.ranking import Round, grouped, noise
from babysit.tuning.stages import (
    Budget,
    chance_of_coming_late,
    draw_trials,
    following_box,
    next_box,
    parse_stages,
    planned,
    ranked,
    repetition_reason,
    standard_error,
    ties,
)

SPACE = {
    "act": choice("relu", "tanh", "elu"),
    "hidden": integer(10, 99),
    "l2": log_uniform(1e-5, 1e5),
    "learning_rate": log_uniform(1e-6, 1e-3),
}


def test_stages_are_read_with_or_without_spaces():
    expected = [Budget("coarse", 100, 5), Budget("fine-2", 50, 10), Budget("final", 1, 30)]
    assert parse_stages("coarse:100x5,fine-2:50x10,final:1x30") == expected
    assert parse_stages(" coarse : 100 x 5 , fine-2:50x10,final:1x30 ") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "coarse",
        "coarse:100",
        "coarse:100x",
        "coarse:x5",
        "coarse:0x5",
        "coarse:5x0",
        "coarse:-5x5",
        "coarse:1.5x5",
        "coarse:5*5",
        "coarse:5x5,",
        ",coarse:5x5",
        "coarse:5x5;fine:5x5",
        "5x5",
        ":5x5",
        "1st:5x5",
        "final:1x30",
        "final:1x30,coarse:5x5",
        "coarse:5x5,final:1x9,fine:5x5",
        "coarse:5x5,final:1x9,final:1x9",
    ],
)
def test_stages_that_make_no_sense_are_refused_with_a_fix(text):
    with pytest.raises(SpaceError) as caught:
        parse_stages(text)
    assert caught.value.fix


@given(st.integers(0, 2**40), st.integers(0, 5), st.integers(1, 20), st.integers(1, 20))
def test_a_trial_does_not_depend_on_how_many_are_drawn(seed, stage, few, more):
    first = draw_trials(SPACE, stage=stage, count=few, seed=seed)
    second = draw_trials(SPACE, stage=stage, count=few + more, seed=seed)
    assert second[:few] == first
    assert [trial.key for trial in second] == [(stage, number) for number in range(few + more)]


def test_ten_thousand_trials_are_uniform_in_the_logarithm_and_independent():
    """Each trial has a generator of its own, so this is another question than that of one generator."""
    space = {
        "learning_rate": log_uniform(1e-6, 1e-3),
        "l2": log_uniform(1e-5, 1e5),
        "dropout": uniform(0, 0.5),
    }
    drawn = [trial.hyperparameters for trial in draw_trials(space, stage=0, count=10_000, seed=0)]
    rates, penalties = (np.log10([values[name] for values in drawn]) for name in ("learning_rate", "l2"))
    shares = [values["dropout"] for values in drawn]
    assert stats.kstest(rates, stats.uniform(-6, 3).cdf).pvalue > 0.01
    assert stats.kstest(penalties, stats.uniform(-5, 10).cdf).pvalue > 0.01
    assert stats.kstest(shares, stats.uniform(0, 0.5).cdf).pvalue > 0.01
    # Two independent columns have a correlation of 0.01 in the mean, three times that once in 400.
    assert np.abs(np.corrcoef([rates, penalties, shares]) - np.eye(3)).max() < 0.03
    assert np.abs(np.corrcoef(rates[:-1], rates[1:])[0, 1]) < 0.03


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**4)), min_size=1, max_size=6))
def test_stages_are_read_as_they_are_written(sizes):
    budgets = [Budget(f"stage-{place}", *size) for place, size in enumerate(sizes)]
    assert parse_stages(",".join(f"{name}:{trials}x{epochs}" for name, trials, epochs in budgets)) == budgets


def test_trials_of_other_stages_and_seeds_are_others():
    def values(stage, seed):
        return [t.hyperparameters["l2"] for t in draw_trials(SPACE, stage=stage, count=5, seed=seed)]

    drawn = values(0, 0) + values(1, 0) + values(0, 1)
    assert len(set(drawn)) == 15


def test_trials_do_not_depend_on_the_order_of_the_names():
    turned = dict(reversed(SPACE.items()))
    first, second = (draw_trials(s, stage=0, count=9, seed=3) for s in (SPACE, turned))
    assert [dict(t.hyperparameters) for t in first] == [dict(t.hyperparameters) for t in second]


def test_the_best_comes_first_and_equals_stay_in_order(make):
    results = [make.completed(Trial(0, n, {}), score) for n, score in enumerate((0.3, 0.5, 0.5, 0.4))]
    assert [result.trial.number for result in ranked(reversed(results))] == [1, 2, 3, 0]


@pytest.mark.parametrize("state", [s for s in State if s is not State.COMPLETE])
def test_only_complete_trials_are_ranked(make, state):
    readings = (Reading(1, 10, 1.0, 0.9, 0.9, 1e-3, 1.0),)
    best = make.completed(Trial(0, 0, {}), 0.2)
    assert ranked([Result(Trial(0, 1, {}), Run(state, readings)), best]) == [best]


def test_an_explosion_that_read_well_before_is_never_best(make):
    assert ranked([make.exploded(Trial(0, 0, {}))]) == []
    assert make.exploded(Trial(0, 0, {})).score == -math.inf


def test_a_reading_that_is_no_number_loses_to_any_number(make):
    nothing = make.completed(Trial(0, 0, {}), math.nan)
    lost = Result(
        nothing.trial, Run(State.COMPLETE, (Reading(1, 1, 1.0, math.nan, math.nan, 1e-3, math.nan),))
    )
    worst = make.completed(Trial(0, 1, {}), 0.0)
    assert ranked([lost, worst])[0] is worst


def test_regression_ranks_by_the_lowest_validation_loss():
    def result(number, loss):
        reading = Reading(1, 10, 1.0, math.nan, math.nan, 1e-3, val_loss=loss)
        return Result(Trial(0, number, {}), Run(State.COMPLETE, (reading,)))

    assert [r.trial.number for r in ranked([result(0, 4.0), result(1, 0.5), result(2, 9.0)])] == [1, 0, 2]


def test_the_lectures_best_fine_result_is_a_tie_of_five(fine):
    tied = ties(fine, 1000)
    assert sorted(round(result.score, 3) for result in tied) == [0.516, 0.522, 0.527, 0.530, 0.531]
    assert standard_error(0.531, 1000) == pytest.approx(0.01578, abs=1e-5)


def test_more_examples_make_fewer_ties(fine):
    assert len(ties(fine, 100)) > len(ties(fine, 1000)) > len(ties(fine, 10**6)) == 1


def test_the_lectures_coarse_rows_lead_near_the_lecturers_box(coarse, coarse_box):
    box, reason = next_box(coarse, coarse_box, 1000)
    rate, l2 = box["learning_rate"], box["l2"]
    # The lecturer chose 1e-4 to 1e-3 and 1e-4 to 1.
    assert rate.log
    assert l2.log
    assert 3e-5 <= rate.low <= 2e-4
    assert 4.3e-4 <= rate.high <= 1.01e-3
    assert l2.low <= 2e-4
    assert l2.high >= 0.66
    assert l2.high < 10
    assert "3 best of 11" in reason
    assert "widened" not in reason


def test_the_lectures_fine_rows_widen_the_learning_rate_upwards(fine, fine_box):
    box, reason = next_box(fine, fine_box, 1000)
    assert box["learning_rate"].high > 1e-3
    assert box["learning_rate"].low > 1e-4
    assert box["l2"].high <= 1
    assert box["l2"].low >= 1e-4
    assert "learning_rate beyond its upper edge" in reason
    assert "l2" not in reason


def test_exploded_trials_do_not_shape_the_next_box(coarse, coarse_box, make):
    wild = [make.exploded(Trial(0, 50 + n, {"learning_rate": 1e-3, "l2": 1e5})) for n in range(30)]
    assert next_box(coarse + wild, coarse_box, 1000)[0] == next_box(coarse, coarse_box, 1000)[0]


@pytest.mark.parametrize("count", [0, 3])
def test_without_a_complete_trial_the_box_stays(coarse_box, make, count):
    results = [make.exploded(Trial(0, n, {"learning_rate": 1e-3, "l2": 1.0})) for n in range(count)]
    box, reason = next_box(results, coarse_box, 1000)
    assert box == coarse_box
    assert "no trial completed" in reason


def test_a_single_result_gives_a_box_around_it(make):
    space = {"l2": log_uniform(1e-4, 1e4)}
    box, _ = next_box([make.completed(Trial(0, 0, {"l2": 1.0}), 0.5)], space, 100)
    assert box["l2"].low < 1 < box["l2"].high
    assert box["l2"].high / box["l2"].low < 100


def test_of_a_choice_only_the_options_of_the_best_remain_in_their_order(make):
    space = {"act": choice("elu", "relu", "tanh"), "fixed": Fixed(3)}
    options = ["tanh", "elu", "tanh", "elu", "elu", *["relu"] * 5]
    results = [
        make.completed(Trial(0, n, {"act": option, "fixed": 3}), 0.9 - 0.1 * n if n < 5 else 0.1)
        for n, option in enumerate(options)
    ]
    box, _ = next_box(results, space, 10**6)
    assert box == {"act": Choice(("elu", "tanh")), "fixed": Fixed(3)}


def test_momentum_is_never_widened_to_one_or_more(make):
    space = {"momentum": uniform(0.0, 0.95)}
    results = [make.completed(Trial(0, n, {"momentum": 0.94 - 0.1 * n}), 0.9 - n / 10) for n in range(6)]
    found = next_box(results, space, 1000)[0]["momentum"]
    assert 0.95 < found.high < 1


def test_dropout_is_never_widened_below_zero_or_to_one(make):
    space = {"dropout": uniform(0.1, 0.9)}
    for best in (0.11, 0.89):
        results = [make.completed(Trial(0, n, {"dropout": best}), 0.5) for n in range(5)]
        found = next_box(results, space, 1000)[0]["dropout"]
        assert 0 <= found.low < found.high < 1


def test_whole_numbers_stay_whole_and_above_zero(make):
    space = {"hidden": integer(2, 40)}
    results = [make.completed(Trial(0, n, {"hidden": 2 + n}), 0.9 - n / 100) for n in range(5)]
    found = next_box(results, space, 1000)[0]["hidden"]
    assert found.whole
    assert found.low >= 1
    assert found.low == int(found.low)
    assert found.high == int(found.high)


RANGES = st.one_of(
    st.builds(log_uniform, st.floats(1e-9, 1), st.floats(1.001, 1e9)),
    st.builds(uniform, st.floats(-1e3, 0), st.floats(1e-3, 1e3)),
    st.builds(uniform, st.floats(1.0, 1.0001), st.floats(1.0002, 1.0003)),
    st.builds(integer, st.integers(-9, 12_000), st.integers(12_001, 99_999)),
    st.builds(integer, st.integers(1, 9), st.integers(10, 99), log=st.booleans()),
)


@given(RANGES, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_next_box_stays_in_the_old_one_except_beyond_an_alarmed_edge(found, scored):
    results = []
    for number, (position, accuracy) in enumerate(scored):
        reading = Reading(1, 10, 1.0, accuracy, accuracy, 1e-3, 1.0)
        trial = Trial(0, number, {"x": found.at(position)})
        results.append(Result(trial, Run(State.COMPLETE, (reading,))))
    (new,) = next_box(results, {"x": found}, 100)[0].values()
    best = ranked(results)[0].trial.hyperparameters["x"]
    low, high = (new.low, new.high) if isinstance(new, Numeric) else (new.value, new.value)
    slack = 1e-9 * max(abs(found.low), abs(found.high))
    if found.position(best) >= EDGE_SHARE:
        assert low >= found.low - slack
    if found.position(best) <= 1 - EDGE_SHARE:
        assert high <= found.high + slack
    width = 0.02 * abs(found.high - found.low) + slack
    assert low - width <= best <= high + width  # the best one is never lost


CONDITIONAL = {
    "update": choice("sgd", "momentum", "adam"),
    "momentum": when("update", "momentum", uniform(0.5, 0.9)),
    "width": integer(32, 256, step=32),
}


def conditional_results(make, *rows):
    """One result for each (update, momentum or None, width), the best first."""
    results = []
    for number, (update, momentum, width) in enumerate(rows):
        known = {} if momentum is None else {"momentum": momentum}
        trial = Trial(0, number, {"update": update, **known, "width": width})
        results.append(make.completed(trial, 0.9 - number / 10))
    return results


def test_a_conditional_range_narrows_round_the_best_that_have_it(make):
    rows = [
        ("momentum", 0.7, 128),
        ("adam", None, 96),
        ("momentum", 0.72, 128),
        ("adam", None, 160),
        ("momentum", 0.71, 128),
    ]
    box = next_box(conditional_results(make, *rows, *[("sgd", None, 256)] * 8), CONDITIONAL, 1000)[0]
    assert box["update"] == choice("momentum", "adam")
    assert box["momentum"].values == ("momentum",)
    assert 0.5 < box["momentum"].range.low < 0.7
    assert 0.72 < box["momentum"].range.high < 0.9
    drawn = draw_trials(box, stage=1, count=40, seed=0)
    assert {trial.hyperparameters["update"] for trial in drawn} == {"momentum", "adam"}
    for trial in drawn:
        assert ("momentum" in trial.hyperparameters) == (trial.hyperparameters["update"] == "momentum")
        assert trial.hyperparameters["width"] % 32 == 0


def test_a_conditional_range_that_none_of_the_best_has_stays_as_it_is(make):
    updates = ["sgd"] * 8 + ["momentum", "adam"] * 6
    results = [
        make.completed(
            Trial(0, n, {"update": u, **({"momentum": 0.7} if u == "momentum" else {}), "width": 64}), s
        )
        for n, (u, s) in enumerate(zip(updates, np.linspace(0.9, 0.3, 20), strict=True))
    ]
    box, reason = next_box(results, CONDITIONAL, 10**6)
    assert box["update"] == choice("sgd")
    assert reason.endswith("dropped: update momentum and adam")
    assert box["momentum"] == CONDITIONAL["momentum"]
    assert all("momentum" not in t.hyperparameters for t in draw_trials(box, stage=1, count=20, seed=0))


def test_the_edge_of_a_conditional_range_is_widened_within_its_condition(make):
    rows = [("momentum", 0.899 - n / 100, 128) for n in range(5)]
    box, reason = next_box(conditional_results(make, *rows), CONDITIONAL, 1000)
    assert "momentum beyond its upper edge" in reason
    assert 0.9 < box["momentum"].range.high < 1


@pytest.mark.parametrize("best", [32, 64, 224, 256])
def test_steps_stay_on_their_grid_when_a_box_is_narrowed_or_widened(make, best):
    rows = [("sgd", None, best)] * 5
    found = next_box(conditional_results(make, *rows), CONDITIONAL, 1000)[0]["width"]
    assert found.step == 32
    assert found.low % 32 == found.high % 32 == 0
    assert found.low <= best <= found.high


@pytest.mark.parametrize("side", ["lower", "upper", "both"])
def test_a_box_is_never_widened_beyond_a_natural_limit(make, side):
    space = {"l2": log_uniform(1e-4, 1, natural_limit=side)}
    for best in (1.1e-4, 0.9):
        results = [make.completed(Trial(0, n, {"l2": best}), 0.5) for n in range(5)]
        found = next_box(results, space, 1000)[0]["l2"]
        assert found.natural_limit == side
        assert found.low >= 1e-4 or side == "upper"
        assert found.high <= 1 or side == "lower"


def test_enqueued_points_come_first_and_change_no_other_trial():
    points = [{"update": "momentum", "momentum": 0.6}, {"width": 64}]
    plain = draw_trials(CONDITIONAL, stage=0, count=8, seed=5)
    found = draw_trials(CONDITIONAL, stage=0, count=8, seed=5, enqueue=points)
    assert found[2:] == plain[2:]
    assert (found[0].hyperparameters["update"], found[0].hyperparameters["momentum"]) == ("momentum", 0.6)
    assert found[0].hyperparameters["width"] == plain[0].hyperparameters["width"]
    assert {**plain[1].hyperparameters, "width": 64} == found[1].hyperparameters
    assert draw_trials(CONDITIONAL, stage=0, count=3, seed=5, enqueue=points) == found[:3]
    assert draw_trials(CONDITIONAL, stage=0, count=1, seed=5, enqueue=points) == found[:1]


@given(st.integers(0, 2**31), st.integers(0, 9), st.integers(1, 12), st.integers(1, 12))
def test_a_conditional_trial_does_not_depend_on_how_many_are_drawn(seed, stage, few, more):
    first = draw_trials(CONDITIONAL, stage=stage, count=few, seed=seed)
    second = draw_trials(CONDITIONAL, stage=stage, count=few + more, seed=seed)
    assert second[:few] == first


EARLIER = [
    {"learning_rate": 2.049947016567755e-05, "hidden": 16, "act": "elu"},
    {"learning_rate": 5.166993327039385e-05, "hidden": 73, "act": "relu"},
]


def test_the_trials_of_spaces_from_before_there_were_conditions_are_what_they_were():
    """Written down from the first version that searched: seeds in documents must go on meaning the same."""
    space = {
        "learning_rate": log_uniform(1e-6, 1e-3),
        "hidden": integer(10, 100),
        "act": choice("relu", "elu"),
    }
    found = draw_trials(space, stage=0, count=2, seed=0)
    assert [dict(trial.hyperparameters) for trial in found] == EARLIER


def of_options(make, *options):
    """One result for each option, the best first."""
    scores = np.linspace(0.9, 0.1, len(options))
    return [
        make.completed(Trial(0, n, {"act": o}), s)
        for n, (o, s) in enumerate(zip(options, scores, strict=True))
    ]


def test_an_option_stays_until_there_is_evidence_against_it(make):
    space = {"act": choice("relu", "tanh", "elu")}
    # Two trials of an option, neither among the five best of 22: that happens in two searches of three.
    few = of_options(make, *["relu"] * 10, "tanh", "tanh", *["relu"] * 10)
    assert next_box(few, space, 10**6)[0] == space  # and elu, which nobody tried, stays too
    many = of_options(make, *["relu"] * 10, *["tanh"] * 6, *["relu"] * 6)
    box, reason = next_box(many, space, 10**6)
    assert box == {"act": choice("relu", "elu")}
    assert reason.endswith("; dropped: act tanh")


def test_an_option_whose_trials_all_explode_goes(make):
    space = {"act": choice("relu", "tanh")}
    burst = [make.exploded(Trial(0, 50 + n, {"act": "tanh"})) for n in range(6)]
    assert next_box([*of_options(make, *["relu"] * 8), *burst], space, 1000)[0] == {"act": Choice(("relu",))}


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5))
def test_the_chance_of_coming_late_counts_the_orders(own, others, before):
    before = min(before, others)
    order = ["b"] * before + ["a"] * own + ["b"] * (others - before)
    count = own + others
    expected = math.comb(count - own, before) / math.comb(count, before)
    assert chance_of_coming_late("a", order, order) == pytest.approx(expected)


@pytest.mark.parametrize("space", [integer(1, 4), integer(1, 64, log=True), integer(8, 32, step=8)])
def test_the_neighbours_of_a_whole_number_stay(make, space):
    best = space.middle()
    step = space.step or 1
    results = [make.completed(Trial(0, n, {"layers": best}), 0.5) for n in range(5)]
    found = next_box(results, {"layers": space}, 1000)[0]["layers"]
    assert found.low <= best - step
    assert found.high >= best + step


def test_a_conditional_range_that_one_of_the_best_has_narrows_round_the_best_three_that_have_it(make):
    space = {"update": choice("sgd", "momentum"), "momentum": when("update", "momentum", uniform(0.1, 0.9))}
    rows = [("sgd", None)] * 4 + [("momentum", 0.4), ("momentum", 0.6), ("momentum", 0.5), ("momentum", 0.8)]
    results = [
        make.completed(Trial(0, n, {"update": u, **({} if m is None else {"momentum": m})}), 0.9 - n / 50)
        for n, (u, m) in enumerate([*rows, *[("sgd", None)] * 14])
    ]
    found = next_box(results, space, 10**6)[0]["momentum"].range
    assert 0.2 < found.low < 0.4
    assert 0.6 < found.high < 0.8


@given(RANGES, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_next_box_holds_the_best_exactly_and_something_to_draw(found, scored):
    results = []
    for number, (position, accuracy) in enumerate(scored):
        reading = Reading(1, 10, 1.0, accuracy, accuracy, 1e-3, 1.0)
        results.append(Result(Trial(0, number, {"x": found.at(position)}), Run(State.COMPLETE, (reading,))))
    box, _ = next_box(results, {"x": found}, 100)
    best = ranked(results)[0].trial.hyperparameters["x"]
    assert box["x"].holds(best)
    assert all(box["x"].holds(t.hyperparameters["x"]) for t in draw_trials(box, stage=1, count=3, seed=0))


LIMITED = st.sampled_from(["", "lower", "upper", "both"])


@given(st.floats(1e-6, 1e-2), st.floats(1.5, 1e6), LIMITED, st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_next_box_keeps_to_natural_limits(low, factor, limit, positions):
    found = log_uniform(low, low * factor, natural_limit=limit)
    readings = (Reading(1, 10, 1.0, 0.5, 0.5, 1e-3, 1.0),)
    results = [
        Result(Trial(0, n, {"x": found.at(position)}), Run(State.COMPLETE, readings))
        for n, position in enumerate(positions)
    ]
    new = next_box(results, {"x": found}, 100)[0]["x"]
    assert 0 < new.low < new.high
    assert new.low >= found.low or limit in ("", "upper")
    assert new.high <= found.high or limit in ("", "lower")


def one(make, stage, score, value=1e-2):
    return Round({"l2": log_uniform(1e-4, 1)}, [make.completed(Trial(stage, 0, {"l2": value}), score)])


def test_a_search_is_at_rest_when_nothing_rises_and_nothing_lies_at_an_edge(make):
    assert "one stage alone" in repetition_reason([one(make, 0, 0.5)], 1000)
    assert repetition_reason([one(make, 0, 0.5), one(make, 1, 0.51)], 1000) == ""
    assert "the best went from 0.5 to 0.52" in repetition_reason(
        [one(make, 0, 0.5), one(make, 1, 0.52)], 1000
    )
    at_the_edge = repetition_reason([one(make, 0, 0.5), one(make, 1, 0.5, 0.9)], 1000)
    assert at_the_edge == "the best l2 lies at its upper edge"
    burst = Round(one(make, 1, 0.5).box, [make.exploded(Trial(1, 0, {"l2": 1e-2}))])
    assert repetition_reason([one(make, 0, 0.5), burst], 1000) == ""


def test_further_stages_repeat_the_last_budget_and_end(make):
    rounds = []
    budgets = [Budget("coarse", 9, 2), Budget("fine", 5, 3), Budget("final", 1, 9)]
    found = []
    for budget, why in planned(budgets, lambda: rounds, 1000, 3):
        found.append((budget, bool(why)))
        rounds.append(one(make, len(rounds), 0.3 + 0.1 * len(rounds)))
    assert found == [
        (Budget("coarse", 9, 2), False),
        (Budget("fine", 5, 3), False),
        *((Budget(f"fine+{n}", 5, 3), True) for n in (1, 2, 3)),
    ]


def test_the_reason_of_a_box_tells_what_is_not_widened_again(make):
    before, box = one(make, 0, 0.5, 0.9), {"l2": log_uniform(1e-4, 10)}
    after = Round(box, [make.completed(Trial(1, 0, {"l2": 9.0}), 0.5)])
    vain = fruitless_widenings([before, after], 1000)
    found, reason = next_box(after.results, box, 1000, vain)
    assert found["l2"].high == 10
    assert "l2 not widened again: a stage that went beyond 1 came to 0.5 against 0.5" in reason
    assert next_box(after.results, box, 1000)[0]["l2"].high > 10


def test_a_loss_counts_as_better_by_a_hundredth():
    assert noise(-2.0, 1000) == pytest.approx(0.02)


def test_repetitions_of_a_stage_are_judged_as_one(make):
    rounds = [one(make, 0, 0.3), one(make, 1, 0.5, 0.9), one(make, 2, 0.6, 5.0), one(make, 3, 0.4, 0.1)]
    boxes = [log_uniform(1e-6, 1e3), log_uniform(1e-4, 1), log_uniform(1e-2, 10), log_uniform(1e-3, 2)]
    rounds = [Round({"l2": box}, each.results) for box, each in zip(boxes, rounds, strict=True)]
    assert grouped(rounds) == rounds
    assert grouped(rounds, 4) == rounds
    first, joined = grouped(rounds, 2)
    assert first == rounds[0]
    assert joined.box == {"l2": log_uniform(1e-4, 10)}
    assert [result.score for result in joined.results] == [0.5, 0.6, 0.4]
    box, _ = following_box(rounds, 1000, 2)
    assert box["l2"].holds(5.0)  # the best of all repetitions, not of the last alone
    assert not following_box(rounds, 1000)[0]["l2"].holds(5.0)


def test_joined_ranges_keep_their_conditions_and_what_was_fixed_on_the_way(make):
    first = {"momentum": when("update", "momentum", uniform(0.5, 0.9)), "act": choice("relu", "tanh")}
    second = {"momentum": when("update", "momentum", Fixed(0.95)), "act": choice("relu")}
    third = {"momentum": when("update", "momentum", uniform(0.7, 0.99)), "act": choice("relu")}
    (joined,) = grouped([Round(box, []) for box in (first, second, third)], 1)
    assert joined.box == {"momentum": when("update", "momentum", uniform(0.5, 0.99)), "act": first["act"]}
