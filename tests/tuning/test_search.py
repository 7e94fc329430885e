from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from babysit.recipe.space import log_uniform
from babysit.records import Reading, Result, Run, State
from babysit.tuning.edges import alarms_of
from babysit.tuning.engines.events import EpochDone, TrialDone, failed
from babysit.tuning.ranking import ties
from babysit.tuning.search import StagedSearch
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import Budget

SPACE = {"learning_rate": log_uniform(1e-4, 1e-1), "l2": log_uniform(1e-5, 1e-1)}
BUDGETS = [Budget("coarse", 12, 2), Budget("fine", 6, 3), Budget("final", 1, 9)]
NONE = (np.empty(0, np.int32), np.empty(0, np.float32))


class FakeEngine:
    """Trains nothing: the best accuracy lies at 3e-3, above 3e-2 everything explodes.

    All trials advance together and end in reverse, as an engine may.
    """

    def __init__(self, *, die_after=None):
        self.asked = []
        self.die_after = die_after

    def train(self, trials, epochs, early_stop=None, prune=None):
        for count, event in enumerate(self._events(trials, epochs)):
            if self.die_after is not None and count >= self.die_after:
                raise RuntimeError("the engine broke")
            yield event

    def _events(self, trials, epochs):
        self.asked.append((len(trials), epochs))
        alive = {trial.key: trial for trial in trials}
        histories = {trial.key: [] for trial in trials}
        for epoch in range(1, epochs + 1):
            for key, trial in list(alive.items()):
                rate = trial.hyperparameters["learning_rate"]
                if rate > 3e-2 and epoch == 2:
                    run = Run(State.EXPLODED, tuple(histories[key]), 2.3, steps=13)
                    del alive[key]
                    yield TrialDone(
                        Result(trial, run), np.arange(11, 14, dtype=np.int32), np.ones(3, np.float32)
                    )
                    continue
                accuracy = 1.0 if rate > 3e-2 else 0.9 - 0.2 * abs(np.log10(rate / 3e-3)) + 0.01 * epoch
                reading = Reading(epoch, 10 * epoch, 1.0, accuracy, accuracy, rate, 1.0)
                histories[key].append(reading)
                steps = np.arange(10 * epoch - 9, 10 * epoch + 1, dtype=np.int32)
                yield EpochDone(trial, reading, steps, np.ones(10, np.float32))
        for key, trial in reversed(alive.items()):
            run = Run(State.COMPLETE, tuple(histories[key]), 2.3, steps=10 * epochs)
            yield TrialDone(Result(trial, run), *NONE)


class Recorder:
    def __init__(self):
        self.stages, self.begun, self.finished, self.epochs = [], [], [], Counter()
        self.costs = {}

    def begin_stage(self, study, stage):
        assert study == 7
        self.stages.append(stage)

    def begin_trials(self, study, trials):
        self.begun += [trial.key for trial in trials]

    def epoch(self, study, trial, reading, steps, costs):
        assert trial.key in self.begun
        assert trial.key not in {result.trial.key for result in self.finished}
        assert len(steps) == len(costs)
        self.epochs[trial.key] += 1

    def finish_trials(self, study, results, costs):
        self.finished += results
        self.costs |= {key: len(steps) for key, (steps, _) in costs.items()}


def run(engine=None, recorder=None, *, boxes=None, until_stable=0, **options):
    recorder, shown = recorder or Recorder(), []
    search = StagedSearch(
        study=7,
        settings=SearchSettings(boxes=boxes, until_stable=until_stable),
        engine=engine or FakeEngine(),
        recorder=recorder,
        show=shown.append,
        seed=1,
        **{"space": SPACE, "budgets": BUDGETS, "examples": 1000, **options},
    )
    return search.run(), recorder, shown


def essence(outcome):
    return [(r.trial.key, dict(r.trial.hyperparameters), r.run.state, r.score) for r in outcome.results]


def test_every_trial_reaches_the_recorder_exactly_once():
    outcome, recorder, _ = run()
    keys = [(0, n) for n in range(12)] + [(1, n) for n in range(6)]
    assert recorder.begun == keys
    assert sorted(result.trial.key for result in recorder.finished) == keys
    assert [result.trial.key for result in outcome.results] == keys


def test_every_epoch_reaches_the_recorder():
    outcome, recorder, _ = run()
    for result in outcome.results:
        assert recorder.epochs[result.trial.key] == len(result.run.readings)


def test_the_costs_of_an_unfinished_last_epoch_are_recorded():
    outcome, recorder, _ = run()
    burst = [r.trial.key for r in outcome.results if r.run.state is State.EXPLODED]
    assert burst
    assert {key for key, count in recorder.costs.items() if count} == set(burst)


def test_the_final_stage_is_left_to_the_caller():
    outcome, recorder, _ = run()
    assert [stage.name for stage in outcome.stages] == ["coarse", "fine"]
    assert recorder.stages == outcome.stages


def test_an_exploded_trial_is_never_the_best_however_well_it_read():
    outcome, _, shown = run()
    assert outcome.states()["exploded"] >= 1
    assert outcome.best.run.state is State.COMPLETE
    assert all(p.best is None or p.best.run.state is State.COMPLETE for p in shown)
    assert 1e-3 < outcome.best.trial.hyperparameters["learning_rate"] < 1e-2


def test_the_second_box_comes_from_the_first_stage_alone():
    outcome, _, _ = run()
    first, second = (box["learning_rate"] for box in outcome.boxes)
    assert first == SPACE["learning_rate"]
    assert second.high / second.low < first.high / first.low
    assert second.low < 3e-3 < second.high
    assert outcome.stages[0].reason == "as the recipe says"
    assert "best of 12" in outcome.stages[1].reason


def test_a_prescribed_box_is_taken_as_it_is():
    box = {"learning_rate": log_uniform(1e-3, 2e-3), "l2": log_uniform(1e-5, 1e-4)}
    outcome, _, _ = run(boxes={"fine": box})
    assert outcome.boxes[1] == box
    assert outcome.stages[1].reason == "as asked"
    assert all(1e-3 <= r.trial.hyperparameters["learning_rate"] <= 2e-3 for r in outcome.results[12:])


def test_progress_counts_are_right_after_every_event():
    _, _, shown = run()
    events = [p for p in shown if p.stage.name == "coarse"]
    assert (events[0].done, events[0].epochs_done, events[0].trials, events[0].epochs) == (0, 1, 12, 24)
    assert (events[-1].done, events[-1].epochs_done) == (12, 24)
    for before, after in itertools.pairwise(events):
        assert after.done - before.done in (0, 1)
        assert after.epochs_done - before.epochs_done in (0, 1)
        assert after.exploded >= before.exploded
        assert after.done <= 12
    scores = [p.best.score for p in shown if p.best]
    assert scores == sorted(scores)


def test_the_best_of_an_earlier_stage_is_shown_in_the_next():
    outcome, _, shown = run()
    coarse_best = max(r.score for r in outcome.results[:12] if r.run.state is State.COMPLETE)
    assert next(p for p in shown if p.stage.name == "fine").best.score >= coarse_best


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, 1.0])
def test_a_resumed_search_trains_nothing_twice_and_ends_alike(share):
    whole, _, _ = run()
    kept = whole.results[: round(share * len(whole.results))]
    done = {result.trial.key: result for result in kept}
    engine = FakeEngine()
    resumed, recorder, _ = run(engine, finished=done)
    assert essence(resumed) == essence(whole)
    assert [s.box for s in resumed.stages] == [s.box for s in whole.stages]
    assert not set(recorder.begun) & set(done)
    assert sum(count for count, _ in engine.asked) == 18 - len(done)
    assert resumed.best.trial.key == whole.best.trial.key
    trained = sum(r.run.steps for r in whole.results if r.trial.key not in done)
    assert resumed.trained_steps == trained


def test_a_resumed_search_counts_what_is_done_already():
    whole, _, _ = run()
    done = {result.trial.key: result for result in whole.results[:5]}
    _, _, shown = run(finished=done)
    assert shown[0].done == 5
    assert shown[0].epochs_done == 11
    burst = sum(r.run.state is State.EXPLODED for r in whole.results[:5])
    assert shown[0].exploded == burst


def test_what_finished_before_the_engine_broke_was_recorded():
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="engine broke"):
        run(FakeEngine(die_after=27), recorder)
    saved = {result.trial.key: result for result in recorder.finished}
    assert 0 < len(saved) < 12
    resumed, _, _ = run(finished=saved)
    assert essence(resumed) == essence(run()[0])


class EverythingFails:
    def train(self, trials, epochs, early_stop=None, prune=None):
        for trial in trials:
            yield failed(trial, "no reason")


def test_a_search_in_which_nothing_completes_has_no_best_and_no_alarm():
    outcome, _, shown = run(EverythingFails())
    assert outcome.best is None
    assert alarms_of(outcome.rounds, 1000, outcome.given) == []
    assert ties(outcome.results, 1000) == []
    assert outcome.states() == {"failed": 18}
    assert outcome.boxes[1] == SPACE
    assert shown[-1].best is None


def test_the_alarm_speaks_of_the_box_the_best_was_drawn_from():
    box = {"learning_rate": log_uniform(1e-4, 3.01e-3), "l2": log_uniform(1e-5, 1e-1)}
    outcome, _, _ = run(budgets=[Budget("only", 60, 1)], boxes={"only": box})
    assert ("learning_rate", "upper") in [
        (edge.name, edge.side) for edge in alarms_of(outcome.rounds, 1000, outcome.given)
    ]


def test_the_same_seed_gives_the_same_search():
    assert essence(run()[0]) == essence(run()[0])


EDGY = {"learning_rate": log_uniform(1e-4, 1e-3), "l2": log_uniform(1e-5, 1e-1)}


def stable(most=5, **options):
    budgets = [Budget("coarse", 12, 1), Budget("final", 1, 9)]
    return run(space=EDGY, budgets=budgets, examples=10_000, until_stable=most, **options)


def test_a_search_until_stable_follows_the_edge_to_the_optimum_and_stops():
    outcome, _, _ = stable(9)
    assert 2e-3 < outcome.best.trial.hyperparameters["learning_rate"] < 4.5e-3
    assert [stage.name for stage in outcome.stages][:3] == ["coarse", "coarse+1", "coarse+2"]
    assert len(outcome.stages) < 10
    assert "once more, as the best learning_rate lies at its upper edge" in outcome.stages[2].reason
    assert not [edge for edge in alarms_of(outcome.rounds, 10_000, outcome.given) if not edge.silenced]


def test_a_search_until_stable_ends_after_so_many_stages():
    outcome, _, _ = stable(1)
    assert [stage.name for stage in outcome.stages] == ["coarse", "coarse+1"]


@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_a_resumed_search_until_stable_comes_to_the_same_boxes(share):
    whole, _, _ = stable()
    kept = whole.results[: round(share * len(whole.results))]
    resumed, _, _ = stable(finished={result.trial.key: result for result in kept})
    assert resumed.stages == whole.stages
    assert essence(resumed) == essence(whole)
