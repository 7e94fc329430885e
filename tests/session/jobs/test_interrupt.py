"""Ctrl-C: once ends the running epoch, twice stops now; what was there before is put back."""

from __future__ import annotations

import signal
import threading

import pytest

from babysit.data.sources import digits
from babysit.nn.networks import two_layer
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import log_uniform
from babysit.records import State
from babysit.session.jobs.interrupt import Interruption
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import Hooks, run_search
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.settings import SearchSettings


def press():
    signal.raise_signal(signal.SIGINT)


def test_the_first_is_noted_and_the_second_raises():
    told = []
    with Interruption(lambda: told.append("once")) as interruption:
        assert not interruption.asked()
        press()
        assert interruption.asked()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert told == ["once"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_at_once_the_first_raises_too():
    with Interruption() as interruption:
        interruption.at_once()
        with pytest.raises(KeyboardInterrupt):
            press()
    with Interruption() as interruption:
        press()
        with pytest.raises(KeyboardInterrupt):
            interruption.at_once()


def test_a_programs_own_handler_and_other_threads_are_left_alone():
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append("own"))
    try:
        with Interruption() as interruption:
            press()
        assert seen == ["own"]
        assert not interruption.asked()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    handlers = []

    def elsewhere():
        with Interruption():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


SPACE = {"learning_rate": log_uniform(1e-4, 1e-2), "hidden": 5}


def searched(folder, stages, hooks, resume=False, **options):
    recipe = Recipe(digits, lambda hp: two_layer(64, hp.hidden), space=SPACE, name="mine")
    job, settings = Job("mine", folder=folder), SearchSettings(stages=stages, population=4, **options)
    return run_search(job, prepare(recipe, seed=0), settings, resume=resume, hooks=hooks)


def kept(folder):
    with Reader(f"sqlite:///{folder}/babysit.sqlite") as reader:
        (study,) = queries.studies(reader)
        return study.state, {r.trial.key: r.run for r in queries.results(reader, study.id)}


@pytest.mark.slow
def test_once_keeps_the_whole_epoch_of_every_member_and_resume_ends_as_if_undisturbed(tmp_path):
    pressed = []

    def at_the_first_trial(progress):
        if progress.done == 1 and not pressed:
            pressed.append(True)
            press()  # one of four members has told its end; the others finished the same epoch

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "a", "coarse:8x2", Hooks(at_the_first_trial))
    state, runs = kept(tmp_path / "a")
    finished = {key: run for key, run in runs.items() if run.state is State.COMPLETE}
    assert state is State.STOPPED
    assert len(finished) == 4
    searched(tmp_path / "a", "coarse:8x2", Hooks(), resume=True)
    searched(tmp_path / "b", "coarse:8x2", Hooks())
    (state, ours), (_, whole) = kept(tmp_path / "a"), kept(tmp_path / "b")
    assert state is State.COMPLETE
    assert {key: ours[key] for key in finished} == finished
    assert [ours[key].readings for key in sorted(ours)] == [whole[key].readings for key in sorted(whole)]


def test_while_the_best_is_retrained_once_is_enough(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, "coarse:4x1,final:1x50", Hooks(final=lambda *_: press()))
    state, runs = kept(tmp_path)
    assert state is State.STOPPED
    assert {run.state for run in runs.values()} == {State.COMPLETE}
