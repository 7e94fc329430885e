"""The standing of a search: the best trial, and which trial may raise an edge alarm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from babysit.recipe.space import log_uniform
from babysit.records import CommandKind, Reading, Result, Run, State, Touch, Trial
from babysit.tuning.edges import edge_alarms, fruitless_widenings
from babysit.tuning.ranking import Round, best, best_first, ranked
from babysit.tuning.standing import standing

BOX = {"learning_rate": log_uniform(1e-6, 1e-3)}
AT_EDGE, INSIDE = 9.7e-4, 3e-5
SCALED = Touch(CommandKind.SCALE_LEARNING_RATE, 100, 0.5)


def result(number, accuracy, state=State.COMPLETE, rate=INSIDE, touches=(), stage=0):
    readings = (Reading(1, 10, 1.0, accuracy, accuracy, rate),)
    return Result(Trial(stage, number, {"learning_rate": rate}), Run(state, readings, touches=touches))


def judged(*results, ended=True):
    return standing([Round(BOX, results)], ["coarse"], 1000, ended=ended)


NOT_JUDGED = {
    "stopped": {"state": State.STOPPED},
    "stopped by the user": {"state": State.STOPPED, "touches": (Touch(CommandKind.STOP, 100),)},
    "pruned": {"state": State.PRUNED},
    "failed": {"state": State.FAILED},
    "changed": {"touches": (SCALED,)},
}


@pytest.mark.parametrize("kind", NOT_JUDGED)
def test_a_trial_that_did_not_train_as_drawn_raises_no_alarm(kind):
    odd = result(0, 0.9, rate=AT_EDGE, **NOT_JUDGED[kind])
    assert edge_alarms(odd, BOX) == []
    beside = judged(odd, result(1, 0.5))
    assert (beside.best.trial.key, beside.edges, beside.no_alarms) == ((0, 1), (), "")
    alone = judged(odd)
    assert (alone.best, alone.edges, alone.silenced) == (odd, (), ())
    assert alone.no_alarms.startswith("no edge alarm: no trial is complete with unchanged hyperparameters")
    assert fruitless_widenings([Round(BOX, [odd]), Round(BOX, [result(0, 0.1, stage=1)])], 1000) == []


def test_an_exploded_trial_is_never_the_best():
    odd = result(0, 0.9, State.EXPLODED, AT_EDGE)
    assert best([odd]) is None
    assert (judged(odd).edges, judged(odd).no_alarms) == ((), "")


def test_a_stopped_trial_at_an_edge_raises_no_alarm_beside_a_running_best():
    stopped = result(1, 0.439, State.STOPPED, AT_EDGE, (Touch(CommandKind.STOP, 100),))
    found = judged(result(0, 0.994, State.RUNNING), stopped, ended=False)
    assert found.best.trial.key == (0, 0)
    assert (found.edges, found.ties) == ((), ())
    assert found.no_alarms == "no edge alarm yet: the best trial is still running"


def test_the_alarm_comes_once_the_running_best_is_complete():
    running = result(0, 0.994, State.RUNNING, AT_EDGE)
    assert judged(running, result(1, 0.5), ended=False).edges == ()
    (edge,) = judged(replace(running, run=replace(running.run, state=State.COMPLETE)), result(1, 0.5)).edges
    assert (edge.name, edge.side) == ("learning_rate", "upper")


def test_the_best_is_complete_or_running_then_changed_then_stopped_then_failed():
    order = [
        result(0, 0.3, State.RUNNING),
        result(1, 0.2),
        result(2, 0.4, touches=(SCALED,)),
        result(3, 0.5, State.STOPPED),
        result(4, 0.6, State.PRUNED),
        result(5, 0.9, State.FAILED),
    ]
    assert [best(order[index:]).trial.number for index in range(6)] == [0, 1, 2, 4, 4, 5]
    assert best([]) is None
    assert [one.trial.number for one in best_first(order)] == [0, 5, 4, 3, 1, 2]


def test_of_equal_scores_the_first_drawn_is_the_best():
    assert best([result(2, 0.5), result(1, 0.5)]).trial.number == 1


def test_what_is_ranked_first_is_the_best_once_all_have_ended():
    for state in (State.COMPLETE, State.STOPPED):
        results = [result(n, 0.1 * n, state, touches=(SCALED,) if n > 3 else ()) for n in range(1, 6)]
        assert ranked(results)[0] is best(results)


def test_a_widening_is_not_fruitless_while_its_trials_run():
    before = Round(BOX, [result(0, 0.5, rate=AT_EDGE)])
    wider = {"learning_rate": log_uniform(1e-6, 1e-2)}
    beyond = result(0, 0.4, State.RUNNING, 5e-3, stage=1)
    assert fruitless_widenings([before, Round(wider, [beyond])], 1000) == []
    ended = replace(beyond, run=replace(beyond.run, state=State.PRUNED))
    (found,) = fruitless_widenings([before, Round(wider, [ended])], 1000)
    assert found.reason == "the trial beyond 1e-3 did not complete"
