"""Pruning, patience and deadlines: the rules against Optuna's, and what both engines make of them."""

from __future__ import annotations

import contextlib
import itertools
import math
import multiprocessing
import time

import numpy as np
import pytest

from babysit.errors import InputError
from babysit.recipe.building import prepare
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.records import Explosion, Reading, Result, Run, State, Trial
from babysit.tuning.engines import early_stop
from babysit.tuning.engines.early_stop import EarlyStop
from babysit.tuning.engines.events import EpochDone, TrialDone
from babysit.tuning.engines.local import InProcess, Processes
from babysit.tuning.pruning import Halving, Median, StagePruner, check_pruner, parse_seconds
from babysit.tuning.search import StagedSearch
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import Budget, draw_trials, ranked

SETTINGS = ("learning_rate=log_uniform(1e-5, 3)", "hidden=choice(10, 20)")


@pytest.fixture(scope="module")
def prepared():
    return prepare(apply_settings(load_recipe("digits"), SETTINGS), seed=3)


def scores_of(seed, count, ties=False):
    drawn = np.random.default_rng(seed).random(count)
    return {(0, n): float(round(value, 1) if ties else value) for n, value in enumerate(drawn)}


@pytest.mark.parametrize(("count", "ties"), list(itertools.product([2, 4, 5, 6, 31], [False, True])))
def test_the_median_is_that_of_optunas_pruner(count, ties):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scores = scores_of(count, count, ties)
    study = optuna.create_study(direction="maximize")
    for value in scores.values():
        study.add_trial(optuna.trial.create_trial(value=value, intermediate_values={1: value}))
    pruner = optuna.pruners.MedianPruner()
    theirs = []
    for key, value in scores.items():
        one = optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, intermediate_values={1: value})
        theirs += [key] if pruner.prune(study, one) else []
    assert list(Median().reasons(scores, [])) == theirs
    assert bool(theirs) == (count >= 5)


@pytest.mark.parametrize(("count", "ties"), list(itertools.product([2, 3, 8, 27, 31], [False, True])))
def test_the_halving_is_that_of_optunas_pruner_where_the_whole_rung_has_reported(count, ties):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scores = scores_of(count, count, ties)
    theirs = []
    for key, value in scores.items():
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        for other in [score for name, score in scores.items() if name != key] + [value]:
            last = study.ask()
            last.report(other, 1)
            verdict = last.should_prune()  # the last one is judged beside all others
        theirs += [key] if verdict else []
    assert list(Halving().reasons(scores, [])) == theirs
    assert len(theirs) >= len(scores) / 2 or ties


def test_rungs():
    assert StagePruner("median", 4).rungs == (1, 2, 3)
    assert StagePruner("asha", 9).rungs == (1, 3)
    assert StagePruner("asha", 1).rungs == StagePruner("none", 9).rungs == ()


def course(number, accuracies, state=State.COMPLETE):
    readings = tuple(Reading(e, e, 1.0, a, a, 0.1, 1.0) for e, a in enumerate(accuracies, 1))
    explosion = Explosion(9, len(readings) + 1, 99.0, 2.3) if state is State.EXPLODED else None
    return Result(Trial(0, number, {}), Run(state, readings, 2.3, explosion))


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_judge_of_results_decides_as_one_that_saw_them_come(pruner):
    courses = [course(n, [0.1 * n, 0.9 - 0.05 * n, 0.5]) for n in range(9)]
    courses += [course(9, [0.95], State.EXPLODED), course(10, [0.05], State.PRUNED), course(11, [0.9, 0.1])]
    saw, told = StagePruner(pruner, 4), StagePruner(pruner, 4)
    for result in courses[5:]:
        told.ended(result)
    for number, result in enumerate(courses):
        for reading in result.run.readings[:1]:
            saw.epoch_done(result.trial.key, reading)
            if number < 5:
                told.epoch_done(result.trial.key, reading)
    first = saw(1)
    assert {key: reason for key, reason in first.items() if key[1] < 5} == told(1)
    assert told(1)


def test_who_left_counts_in_the_median_with_what_it_had_and_an_explosion_does_not():
    judge = StagePruner("median", 9)
    for number, accuracy in enumerate([0.1, 0.2, 0.3]):
        judge.ended(course(number, [accuracy], State.PRUNED))
    judge.ended(course(3, [0.99], State.EXPLODED))
    for number, accuracy in [(4, 0.5), (5, 0.6), (6, 0.25)]:
        for reading in course(number, [accuracy] * 2).run.readings:
            judge.epoch_done((0, number), reading)
    verdicts = judge(2)
    assert list(verdicts) == [(0, 6)]
    assert verdicts[0, 6] == (
        "pruned after epoch 2: validation accuracy 0.25 is worse than the median of 6 trials, 0.275"
    )


def test_a_trial_is_judged_by_its_best_epoch_so_far():
    judge = StagePruner("asha", 9)
    for number, accuracies in enumerate([[0.9, 0.1, 0.1], [0.1, 0.5, 0.6], [0.1, 0.2, 0.3]]):
        for reading in course(number, accuracies).run.readings:
            judge.epoch_done((0, number), reading)
    assert set(judge(3)) == {(0, 1), (0, 2)}


def ended(engine, trials, epochs, ending, judge):
    """The results by key and the readings; every trial ends exactly once."""
    results, readings = {}, {}
    with contextlib.closing(engine):
        for event in engine.train(trials, epochs, ending, judge):
            assert event.trial.key not in results
            if isinstance(event, EpochDone):
                readings.setdefault(event.trial.key, []).append(event.reading)
                judge.epoch_done(event.trial.key, event.reading)
            else:
                assert isinstance(event, TrialDone)
                results[event.trial.key] = event.result
                judge.ended(event.result)
    assert set(results) == {trial.key for trial in trials}
    return results, readings


def trials_of(prepared, count=14):
    return draw_trials(prepared.recipe.full_space(), stage=0, count=count, seed=3)


def pruned(prepared, engine, pruner="asha", epochs=4, **options):
    judge = StagePruner(pruner, epochs)
    return ended(engine, trials_of(prepared), epochs, EarlyStop(rungs=judge.rungs, **options), judge)


def fates(results):
    return {key: (result.run.state, len(result.run.readings)) for key, result in results.items()}


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_the_pruned_end_at_rungs_with_a_reason_and_the_others_are_as_without(prepared, pruner):
    results, readings = pruned(prepared, InProcess(prepared, population=4), pruner)
    whole, _ = pruned(prepared, InProcess(prepared, population=4), "none")
    states = [result.run.state for result in results.values()]
    assert {State.PRUNED, State.COMPLETE, State.EXPLODED} == set(states)
    for key, result in results.items():
        run = result.run
        assert list(run.readings) == readings.get(key, [])
        if run.state is State.PRUNED:
            assert len(run.readings) in StagePruner(pruner, 4).rungs
            assert run.message.startswith(f"pruned after epoch {len(run.readings)}: validation accuracy")
            assert run.steps == run.last.step
        else:
            assert run.message == ""
            assert run.state is whole[key].run.state
        for mine, theirs in zip(run.readings, whole[key].run.readings, strict=False):
            assert mine.cost == pytest.approx(theirs.cost, rel=2e-3)
    best = max(whole.values(), key=lambda result: result.score)
    assert max(result.score for result in results.values() if result.run.state is State.COMPLETE) >= (
        best.score - 0.05
    )
    assert sum(r.run.steps for r in results.values()) < 0.8 * sum(r.run.steps for r in whole.values())


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_who_is_pruned_does_not_depend_on_the_population(prepared, pruner):
    found = [fates(pruned(prepared, InProcess(prepared, population=p), pruner)[0]) for p in (1, 5, 14)]
    assert found[0] == found[1] == found[2]


@pytest.mark.usefixtures("forked_workers")
def test_workers_prune_whom_this_process_prunes(prepared):
    alone, _ = pruned(prepared, InProcess(prepared, population=3))
    shared, _ = pruned(prepared, Processes(prepared, "digits", SETTINGS, 2, population=3))
    assert fates(alone) == fates(shared)
    assert {key: result.run.message for key, result in alone.items()} == {
        key: result.run.message for key, result in shared.items()
    }
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_patience_completes_a_trial_at_its_best(prepared):
    judge = StagePruner("none", 9)
    trials = trials_of(prepared)
    results, _ = ended(InProcess(prepared, population=5), trials, 9, EarlyStop(patience=2), judge)
    whole, _ = ended(InProcess(prepared, population=5), trials, 9, EarlyStop(), StagePruner("none", 9))
    shorter = 0
    for key, result in results.items():
        run = result.run
        assert run.state is whole[key].run.state or run.state is State.COMPLETE
        if run.state is State.COMPLETE and len(run.readings) < 9:
            assert run.last.epoch - run.best.epoch == 2
            shorter += 1
    assert shorter
    assert any(len(result.run.readings) == 9 for result in results.values())


def test_a_deadline_lets_the_epoch_finish_and_stops_the_rest(prepared, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(early_stop.time, "time", lambda: float(next(clock)))
    # The clock is read once before each population, and after each of its epochs.
    results, _ = ended(
        InProcess(prepared, population=7),
        trials_of(prepared),
        3,
        EarlyStop(deadline=1.5),
        StagePruner("none", 3),
    )
    epochs = [len(r.run.readings) for r in results.values() if r.run.state is State.STOPPED]
    assert 0 in epochs
    assert 2 in epochs
    assert {r.run.state for r in results.values()} <= {State.STOPPED, State.EXPLODED}
    assert State.COMPLETE not in {result.run.state for result in results.values()}


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("workers", [0, 2])
def test_after_the_deadline_nothing_begins(prepared, workers):
    engine = Processes(prepared, "digits", SETTINGS, 2) if workers else InProcess(prepared)
    results, readings = pruned(prepared, engine, deadline=time.time() - 1)
    assert set(fates(results).values()) == {(State.STOPPED, 0)}
    assert readings == {}


class Recorder:
    def __init__(self):
        self.finished, self.stages = {}, []

    def begin_stage(self, study, stage):
        self.stages.append(stage.name)

    def begin_trials(self, study, trials):
        pass

    def observed(self, study, trial, looks):
        pass

    def epoch(self, study, trial, reading, steps, costs):
        pass

    def finish_trials(self, study, results, costs):
        for result in results:
            self.finished[result.trial.key] = result


BUDGETS = [Budget("coarse", 12, 3), Budget("fine", 6, 3)]


def searched(prepared, finished=None, budgets=BUDGETS, deadline=math.inf, **settings):
    recorder = Recorder()
    search = StagedSearch(
        study=1,
        space=prepared.recipe.full_space(),
        budgets=budgets,
        settings=SearchSettings(**settings),
        seed=3,
        examples=180,
        engine=InProcess(prepared, population=4),
        recorder=recorder,
        finished=finished or {},
        deadline=deadline,
    )
    return search.run(), recorder


def essence(outcome):
    return [(r.trial.key, dict(r.trial.hyperparameters), *fate(r)) for r in outcome.results]


def fate(result):
    return result.run.state, len(result.run.readings), result.run.message


@pytest.mark.parametrize(
    "options", [{"pruner": "median"}, {"pruner": "asha", "sampler": "tpe", "round_size": 5}]
)
def test_a_search_that_goes_on_after_a_kill_ends_alike(prepared, options):
    if "sampler" in options:
        pytest.importorskip("optuna")
    whole, recorder = searched(prepared, **options)
    assert whole.states()["pruned"] >= 3
    assert whole.best.run.state is State.COMPLETE
    # What a kill leaves: any trials of those that ended, in the order in which they did.
    kept = dict(list(recorder.finished.items())[:8])
    resumed, again = searched(prepared, finished=kept, **options)
    assert essence(resumed) == essence(whole)
    assert not set(again.finished) & set(kept)


def test_results_are_told_round_by_round(prepared):
    pytest.importorskip("optuna")
    budgets = [Budget("only", 15, 1)]
    learnt = [searched(prepared, sampler="tpe", round_size=size, budgets=budgets)[0] for size in (5, 5, 15)]
    first, again, at_once = map(essence, learnt)
    assert first == again
    assert first[:5] == at_once[:5]
    assert first[10:] != at_once[10:]


def test_a_search_whose_time_is_up_begins_no_round_and_no_stage(prepared):
    outcome, recorder = searched(prepared, deadline=time.time() - 1, round_size=4)
    assert recorder.stages == ["coarse"]
    assert outcome.states() == {"stopped": 4}
    assert outcome.best is None


def test_where_nothing_is_complete_what_was_stopped_is_the_best():
    stopped = [course(n, [0.1 * n], State.STOPPED) for n in range(3)]
    assert [result.trial.number for result in ranked(stopped)] == [2, 1, 0]
    assert ranked([*stopped, course(7, [0.01])])[0].trial.number == 7
    assert ranked([course(1, [], State.STOPPED), course(2, [0.9], State.PRUNED)]) == []


def test_an_unknown_pruner_is_refused():
    with pytest.raises(InputError, match="did you mean 'asha'"):
        check_pruner("ahsa")


@pytest.mark.parametrize("text", ["", "soon", "20 x", "0", "-5", "5d", "nan", "1m2"])
def test_a_time_that_cannot_be_read_is_refused(text):
    with pytest.raises(InputError, match="cannot read the time"):
        parse_seconds(text)


def test_a_time_in_words():
    assert parse_seconds(" 1H30m10s ") == 5410
    assert math.isclose(parse_seconds("0.5m"), 30)
