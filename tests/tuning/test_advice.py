from __future__ import annotations

import pytest

from babysit.recipe.space import log_uniform
from babysit.records import Reading, Result, Run, State, Trial
from babysit.tuning.importance import importances
from babysit.tuning.ranking import Round
from babysit.tuning.standing import standing

SPACE = {"learning_rate": log_uniform(1e-5, 1e-1), "l2": log_uniform(1e-5, 1)}


def result(number, accuracies, rate=1e-3, l2=1e-2, stage=0):
    readings = tuple(Reading(e, 10 * e, 1.0, a, a, rate, 1.0) for e, a in enumerate(accuracies, 1))
    return Result(Trial(stage, number, {"learning_rate": rate, "l2": l2}), Run(State.COMPLETE, readings))


def advice(*rounds, examples=1000):
    return list(standing(rounds, [f"s{n}" for n in range(len(rounds))], examples).advice)


def test_the_lecturers_answers_to_his_tables(coarse, coarse_box, fine, fine_box):
    rounds = [Round(coarse_box, coarse), Round(fine_box, fine)]
    found = standing(rounds, ["coarse", "fine"], 1000)
    (edge,) = found.edges
    assert (edge.name, edge.side, edge.near, edge.top) == ("learning_rate", "upper", 2, 5)
    assert edge.position == pytest.approx(0.976, abs=5e-4)
    assert found.silenced == ()
    assert [r.score for r in found.ties] == [0.531, 0.530, 0.527, 0.522, 0.516]
    assert [importances(each, fanova=False)[0].name for each in rounds] == ["learning_rate"] * 2
    assert "5 trials lie within one standard error (0.0158)" in found.advice[0]
    assert found.advice[1] == "more trials with learning_rate beyond its upper edge"


def test_the_lecturers_coarse_table_raises_no_alarm_and_has_a_winner(coarse, coarse_box):
    found = standing([Round(coarse_box, coarse)], ["coarse"], 1000)
    assert found.edges == ()
    assert len(found.ties) == 1
    assert "more trials round the best" in found.advice[0]


def test_without_a_complete_trial_the_advice_is_a_lower_rate(make):
    burst = [make.exploded(Trial(0, n, {"learning_rate": 0.1, "l2": 1.0})) for n in range(5)]
    (told,) = advice(Round(SPACE, burst))
    assert "no trial completed" in told
    assert advice(Round(SPACE, [])) == [told]


def test_explosions_above_a_rate_ask_for_a_lower_bound(make):
    fine = [result(n, [0.5 - n / 100], rate=1e-3 * 10 ** (-n / 10)) for n in range(12)]
    burst = [
        make.exploded(Trial(0, 20 + n, {"learning_rate": 2e-3 + n / 100, "l2": 10 ** (-n / 2)}))
        for n in range(8)
    ]
    told = next(line for line in advice(Round(SPACE, [*fine, *burst])) if "waste" in line)
    assert told == (
        "the ranges of stage s0 waste 40% of its trials on explosions (8 of 20): lower the upper bound of "
        "learning_rate from 0.1 to 1e-3; above it 8 of 8 trials exploded"
    )


def test_a_bound_is_never_lowered_below_one_of_the_best(make):
    fine = [result(n, [0.5 - n / 100], rate=1e-2 if n == 0 else 1e-4) for n in range(12)]
    burst = [make.exploded(Trial(0, 20 + n, {"learning_rate": 5e-3 + n / 1e3, "l2": 1e-3})) for n in range(9)]
    told = next(line for line in advice(Round(SPACE, [*fine, *burst])) if "waste" in line)
    assert "no single bound" in told


@pytest.mark.parametrize("count", [0, 2])
def test_a_few_explosions_are_no_waste(make, count):
    fine = [result(n, [0.5 - n / 100]) for n in range(12)]
    burst = [make.exploded(Trial(0, 20 + n, {"learning_rate": 0.1, "l2": 1.0})) for n in range(count)]
    assert not any("waste" in line for line in advice(Round(SPACE, [*fine, *burst])))


def test_the_best_that_still_improve_ask_for_more_epochs():
    rising = [result(n, [0.1, 0.2, 0.3, 0.4, 0.5 - n / 1e3]) for n in range(8)]
    told = advice(Round(SPACE, rising))[-1]
    assert told.startswith("more epochs before more trials: 8 of the 8 best were still improving")
    assert "over the last 2 of 5 epochs" in told
    level = [result(n, [0.1, 0.4, 0.5, 0.5, 0.5 - n / 1e3]) for n in range(8)]
    assert not any("epochs before" in line for line in advice(Round(SPACE, level)))
    short = [result(n, [0.1, 0.5 - n / 1e3]) for n in range(8)]
    assert not any("epochs before" in line for line in advice(Round(SPACE, short)))


def test_the_best_that_are_level_at_an_edge_ask_for_trials_beyond_it():
    level = [result(n, [0.5, 0.6, 0.6 - n / 50], rate=0.09 * 10 ** (-n / 9)) for n in range(8)]
    told = advice(Round(SPACE, level))[-1]
    assert told.startswith("more trials with learning_rate beyond its upper edge; the best have levelled off")


def test_a_stage_that_brought_nothing_more_is_the_last():
    first, second = ([result(n, [0.5 - n / 100], stage=stage) for n in range(8)] for stage in (0, 1))
    told = advice(Round(SPACE, first), Round(SPACE, second))[-1]
    assert told.startswith("stop here: the last stage brought no more than one standard error")


def test_a_flat_top_asks_for_another_question():
    flat = [result(n, [0.5], rate=10 ** (-4 + n / 10)) for n in range(12)]
    assert "the top is flat: 12 of 12 trials are equals" in advice(Round(SPACE, flat))[-1]


def test_the_best_that_lie_anywhere_ask_for_more_trials():
    places = [(2e-5, 2e-5), (5e-2, 0.5), (1e-3, 1e-2), (3e-5, 0.3), (4e-2, 3e-5)]
    top = [result(n, [0.6 - n / 1e3], rate, l2) for n, (rate, l2) in enumerate(places)]
    rest = [result(10 + n, [0.3 - n / 100]) for n in range(19)]
    assert "scattered over them as if at random" in advice(Round(SPACE, [*top, *rest]))[-1]
    close = [result(n, [0.6 - n / 1e3], 1e-3 * (1 + n / 10), 1e-2) for n in range(5)]
    assert not any("scattered" in line for line in advice(Round(SPACE, [*close, *rest])))


def test_a_silenced_alarm_is_told_apart_from_those_that_ring():
    before = [result(0, [0.5], rate=0.095)]
    after = [result(0, [0.4], rate=0.5, stage=1), result(1, [0.5], rate=0.05, stage=1)]
    wider = {**SPACE, "learning_rate": log_uniform(1e-5, 1)}
    found = standing([Round(SPACE, before), Round(wider, after)], ["coarse", "fine"], 1000)
    assert found.edges == ()
    (edge,) = found.silenced
    assert edge.name == "learning_rate"
    assert "beyond 0.1" in edge.silenced


def test_losses_are_judged_too():
    def loss(number, value, rate):
        nan = float("nan")
        reading = Reading(1, 10, 1.0, nan, nan, rate, val_loss=value)
        return Result(Trial(0, number, {"learning_rate": rate, "l2": 0.1}), Run(State.COMPLETE, (reading,)))

    results = [loss(n, 1.0 + n / 2, 10 ** (-2 - n / 10)) for n in range(12)]
    found = standing([Round(SPACE, results)], ["coarse"], 1000)
    assert len(found.ties) == 1
    assert "the next one is at 1.5, farther off than 1% of the loss" in found.advice[-1]
