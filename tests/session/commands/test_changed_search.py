"""A search in this process, touched between its epochs: by a hook that asks and waits until it was heard."""

from __future__ import annotations

import math
import time

import pytest

from babysit.data.sources import digits
from babysit.errors import InputError
from babysit.nn.networks import two_layer
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import log_uniform
from babysit.records import CommandKind, CommandState, State, Touch
from babysit.session.commands import poll
from babysit.session.commands.handler import StudyStopped
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import Hooks, run_search
from babysit.session.jobs.train import train
from babysit.store import queries
from babysit.store.commands import Commands, commands_of
from babysit.store.reader import Reader
from babysit.tuning.settings import SearchSettings

STOP, SCALE = CommandKind.STOP, CommandKind.SCALE_LEARNING_RATE
STOP_STUDY, EXTEND = CommandKind.STOP_STUDY, CommandKind.EXTEND_STUDY
SPACE = {"learning_rate": log_uniform(1e-4, 1e-2), "l2": log_uniform(1e-4, 1e-2), "hidden": 5}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(poll, "POLL_SECONDS", 0.005)


@pytest.fixture(scope="module")
def prepared():
    return prepare(Recipe(digits, lambda hp: two_layer(64, hp.hidden), space=SPACE, name="mine"), seed=0)


class Asker:
    """Asks once, after so many events, and waits until everything was seen or answered."""

    def __init__(self, url, *wanted, after=1):
        self.url, self.wanted, self.after, self.events = url, wanted, after, 0

    def __call__(self, *_):
        self.events += 1
        if self.events == self.after:
            self.ask()

    def ask(self):
        with Commands(self.url) as commands:
            made = [
                commands.ask(1, kind, trial=key, argument=argument) for kind, key, argument in self.wanted
            ]
            until = time.monotonic() + 20
            while any(commands.find(one.id).state is CommandState.ASKED for one in made):
                assert time.monotonic() < until
                time.sleep(0.005)
        time.sleep(0.05)  # from seen to the inbox


def run(folder, prepared, stages, *wanted, when="stage", after=1, resume=False, **options):
    """The results by key, the commands, and the outcome."""
    job = Job("mine", folder=folder)
    asker = Asker(job.store_url, *wanted, after=after)
    settings = SearchSettings(stages=stages, population=options.pop("population", 3), **options)
    hooks = Hooks(**({when: asker} if wanted else {}))
    found = run_search(job, prepared, settings, resume=resume, hooks=hooks)
    with Reader(job.store_url) as reader:
        results = {result.trial.key: result for result in queries.results(reader, found.study)}
        return results, commands_of(reader, found.study), found.outcome


NAN = math.nan


@pytest.fixture(scope="module")
def untouched(prepared, tmp_path_factory):
    return run(tmp_path_factory.mktemp("untouched"), prepared, "coarse:9x4,fine:3x2")


def test_the_others_come_out_bit_for_bit_the_same(tmp_path, prepared, untouched):
    wanted = (SCALE, (0, 1), 0.5), (STOP, (0, 2), NAN), (STOP, (0, 7), NAN)
    found, commands, _ = run(tmp_path, prepared, "coarse:9x4,fine:3x2", *wanted)
    for key in ((0, 0), (0, 3), (0, 4), (0, 5), (0, 6), (0, 8)):
        assert found[key].run.readings == untouched[0][key].run.readings
        assert found[key].run.state is State.COMPLETE
    assert [command.state for command in commands] == 3 * [CommandState.APPLIED]
    steps = found[0, 0].run.readings[0].step
    assert found[0, 1].run.touches == (Touch(SCALE, steps, 0.5),)
    assert found[0, 2].run.message == f"stopped by user at step {steps}"
    # In the next population, which had not begun: nothing was trained at all.
    assert (found[0, 7].run.state, found[0, 7].run.steps) == (State.STOPPED, 0)
    assert commands[2].detail == "stopped before the first step"


def test_a_touched_trial_moves_no_box_and_is_not_the_best(tmp_path, prepared, untouched):
    """The best of all is touched: what follows is what would have followed without it."""
    best = max(
        (r for r in untouched[0].values() if r.trial.stage == 0), key=lambda result: result.score
    ).trial.key
    found, _, outcome = run(tmp_path, prepared, "coarse:9x4,fine:3x2", (SCALE, best, 1.01), population=9)
    assert found[best].run.state is State.COMPLETE
    assert found[best].run.is_touched
    assert found[best].score > -math.inf
    assert outcome["best"]["number"] != best[1] or outcome["best"]["stage"] != 0
    assert list(best) not in outcome["ties"]
    trials = [found[1, number].trial for number in range(3)]
    assert trials != [untouched[0][1, number].trial for number in range(3)]
    again, _, _ = run(tmp_path / "b", prepared, "coarse:9x4,fine:3x2", (STOP, best, NAN), population=9)
    assert trials == [again[1, number].trial for number in range(3)]


def test_a_touched_trial_counts_where_there_is_no_other(tmp_path, prepared):
    _, _, outcome = run(tmp_path, prepared, "coarse:1x3", (SCALE, (0, 0), 0.5))
    assert (outcome["best"]["stage"], outcome["best"]["number"]) == (0, 0)


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_extended_while_it_runs_is_the_larger_search(tmp_path, prepared, sampler):
    if sampler == "tpe":
        pytest.importorskip("optuna")
    options = {"sampler": sampler, "round_size": 3 if sampler == "tpe" else 0}
    found, [command], _ = run(
        tmp_path / "a", prepared, "coarse:3x2,fine:3x1,final:1x1", (EXTEND, None, 6), **options
    )
    assert (command.state, command.detail) == (CommandState.APPLIED, "the last stage now has 6 trials")
    whole, _, _ = run(tmp_path / "b", prepared, "coarse:3x2,fine:6x1,final:1x1", **options)
    assert {key: result.trial for key, result in found.items()} == {
        key: result.trial for key, result in whole.items()
    }
    for key, result in found.items():
        assert result.score == pytest.approx(whole[key].score, abs=0.012)


def test_an_extended_search_goes_on_as_the_larger_command(tmp_path, prepared):
    run(tmp_path, prepared, "coarse:3x2", (EXTEND, None, 5))
    found, _, _ = run(tmp_path, prepared, "coarse:5x2", resume=True)
    assert len(found) == 5
    with Reader(Job("mine", folder=tmp_path).store_url) as reader:
        assert len(queries.studies(reader)) == 1
        assert queries.stages(reader, 1)[0].trials == 5


@pytest.mark.parametrize(
    ("trials", "when", "options", "reason"),
    [
        (3, "stage", {}, "it has 3 trials already"),
        (9, "final", {}, "its trials are done"),
        (9, "stage", {"sampler": "grid"}, "another grid"),
        (9, "stage", {"until_stable": 1}, "repetitions"),
    ],
)
def test_what_cannot_be_extended_says_why(tmp_path, prepared, trials, when, options, reason):
    _, [command], _ = run(
        tmp_path, prepared, "coarse:3x1,final:1x1", (EXTEND, None, trials), when=when, **options
    )
    assert command.state is CommandState.REFUSED
    assert reason in command.detail


def test_a_search_that_was_extended_and_stopped_says_what_to_add(tmp_path, prepared):
    with pytest.raises(StudyStopped) as stopped:
        run(tmp_path, prepared, "coarse:3x2", (EXTEND, None, 5), (STOP_STUDY, None, NAN))
    assert stopped.value.trials == 5
    found, _, _ = run(tmp_path, prepared, "coarse:3x2", resume=True, trials=5)
    assert list(found) == [(0, number) for number in range(5)]


def test_a_study_is_stopped_at_the_end_of_its_epoch(tmp_path, prepared):
    with pytest.raises(StudyStopped):
        run(tmp_path, prepared, "coarse:9x4", (STOP_STUDY, None, NAN))
    with Reader(Job("mine", folder=tmp_path).store_url) as reader:
        assert queries.study(reader, 1).state is State.STOPPED
        [command] = commands_of(reader, 1)
        readings = [len(result.run.readings) for result in queries.results(reader, 1)]
    assert (command.state, command.detail) == (CommandState.APPLIED, "stopped; --resume continues from there")
    assert readings == [1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_what_is_trained_once_more_can_be_touched_too(tmp_path, prepared):
    found, _, outcome = run_final(tmp_path, prepared)
    assert outcome["final"]["finalists"][0]["states"] == 2 * ["stopped"]
    assert [touch["kind"] for touch in outcome["final"]["finalists"][0]["touches"]] == [SCALE, STOP]
    rates = [reading["learning_rate"] for reading in outcome["final"]["readings"]]
    assert len(rates) == 2
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert found[0, 0].run.state is State.COMPLETE


def run_final(folder, prepared):
    """Halves the finalist's rate after its first epoch, stops it after the second."""
    job = Job("mine", folder=folder)
    first = Asker(job.store_url, (SCALE, (0, 0), 0.5))
    second = Asker(job.store_url, (STOP, (0, 0), NAN), after=2)

    def final(*_):
        first()
        second()

    settings = SearchSettings(stages="coarse:1x2,final:1x5", population=3, seeds=2)
    found = run_search(job, prepared, settings, hooks=Hooks(final=final))
    with Reader(job.store_url) as reader:
        results = {result.trial.key: result for result in queries.results(reader, found.study)}
        return results, commands_of(reader, found.study), found.outcome


def test_the_retraining_is_stopped_with_its_study(tmp_path, prepared):
    with pytest.raises(StudyStopped):
        run(tmp_path, prepared, "coarse:2x1,final:1x4", (STOP_STUDY, None, NAN), when="final")


def test_folds_are_touched_as_one_trial(tmp_path, prepared):
    found, commands, _ = run(
        tmp_path, prepared, "coarse:3x3", (SCALE, (0, 0), 0.5), (STOP, (0, 1), NAN), folds=3
    )
    assert [command.state for command in commands] == 2 * [CommandState.APPLIED]
    assert found[0, 0].run.is_touched
    assert (found[0, 1].run.state, len(found[0, 1].run.readings)) == (State.STOPPED, 1)


@pytest.mark.slow
def test_a_touched_trial_is_neither_pruned_nor_compared_with(tmp_path, prepared):
    plain, _, _ = run(tmp_path / "a", prepared, "coarse:6x4", pruner="asha", population=9)
    pruned = sorted(key for key, result in plain.items() if result.run.state is State.PRUNED)
    found, _, _ = run(
        tmp_path / "b", prepared, "coarse:6x4", (SCALE, pruned[0], 1.0001), pruner="asha", population=9
    )
    assert found[pruned[0]].run.state is State.COMPLETE


def test_what_was_stopped_by_user_is_not_trained_again(tmp_path, prepared):
    before, _, _ = run(tmp_path, prepared, "coarse:3x3", (STOP, (0, 1), NAN), (SCALE, (0, 2), 0.5))
    after, commands, outcome = run(tmp_path, prepared, "coarse:3x3", resume=True)
    assert after == before
    assert [command.state for command in commands] == 2 * [CommandState.APPLIED]
    assert outcome["best"]["number"] == 0


def test_a_stopped_training_keeps_its_best_weights(tmp_path, prepared):
    job = Job("mine", ("epochs=6",), folder=tmp_path)
    asker = Asker(job.store_url, (STOP, (0, 0), NAN), after=2)
    trained = train(job, prepared, show=asker)
    assert (trained.run.state, len(trained.run.readings)) == (State.STOPPED, 2)
    assert trained.weights is not None
    assert trained.weights.exists()
    with Reader(job.store_url) as reader:
        assert queries.study(reader, 1).state is State.STOPPED
    assert list(tmp_path.glob("*.checkpoint.safetensors"))


def test_a_finished_study_is_not_touched(tmp_path, prepared):
    run(tmp_path, prepared, "coarse:2x1")
    with Commands(Job("mine", folder=tmp_path).store_url) as commands:
        with pytest.raises(InputError, match="is complete"):
            commands.ask(1, STOP_STUDY)
        assert commands.silence(1) < 60
