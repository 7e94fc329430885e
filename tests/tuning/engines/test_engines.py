"""Both engines tell the same story: in this process, and with worker processes that leave nobody behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import textwrap
import time
from collections import Counter

import numpy as np
import pytest
import torch

from babysit.errors import InputError, WorkerError
from babysit.recipe.building import prepare
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.records import State, Trial
from babysit.training.trainer import Trainer
from babysit.tuning.engines import local
from babysit.tuning.engines.events import EpochDone, TrialDone
from babysit.tuning.engines.grouping import grouped
from babysit.tuning.engines.local import InProcess, Processes
from babysit.tuning.stages import draw_trials

pytestmark = pytest.mark.usefixtures("forked_workers")

FILE = """
    import babysit as bs
    from torch import nn

    def data():
        return bs.data.digits(preprocess=[bs.data.MeanImage()])

    def model(hp):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, hp.hidden), nn.ReLU(), nn.Dropout(hp.dropout),
            nn.Linear(hp.hidden, 10),
        )

    recipe = bs.Recipe(
        data, model, update="momentum", batch_size=100,
        space=dict(
            learning_rate=bs.log_uniform(1e-4, 3.0), l2=bs.log_uniform(1e-5, 1e-1),
            hidden=bs.choice(10, 20), dropout=bs.uniform(0, 0.5),
        ),
    )
"""
SLOW = """
    import os, time
    from pathlib import Path
    import babysit as bs
    from torch import nn

    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(64, 10)

        def forward(self, x):
            Path({folder!r}, str(os.getpid())).touch()
            time.sleep(0.05)
            return self.inner(x.flatten(1))

    recipe = bs.Recipe(
        bs.data.digits, lambda hp: Slow(), space=dict(learning_rate=bs.log_uniform(1e-4, 1e-2))
    )
"""
RAISES = """
    import multiprocessing
    import babysit as bs
    from torch import nn

    def data():
        if multiprocessing.parent_process() is not None:
            raise OSError("the disk is not there")
        return bs.data.digits()

    recipe = bs.Recipe(data, lambda hp: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
                       space=dict(learning_rate=bs.log_uniform(1e-4, 1e-2)))
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        file = tmp_path / "mine.py"
        file.write_text(textwrap.dedent(text))
        return str(file)

    return write


@pytest.fixture(autouse=True)
def no_child_is_left():
    assert multiprocessing.active_children() == []
    yield
    assert multiprocessing.active_children() == []


def source_of(recipe, *settings, seed=3):
    return (recipe, settings), prepare(apply_settings(load_recipe(recipe), settings), seed=seed)


def trials_of(prepared, count, seed=3):
    return draw_trials(prepared.recipe.full_space(), stage=0, count=count, seed=seed)


def collected(engine, trials, epochs):
    """(results, readings, costs) by key; fails where a trial ends twice or reads out of order."""
    results, readings, costs = {}, {}, {}
    with contextlib.closing(engine):
        events = list(engine.train(trials, epochs))
    for event in events:
        if isinstance(event, TrialDone):
            assert event.result.trial.key not in results
            results[event.result.trial.key] = event.result
            key = event.result.trial.key
        else:
            assert isinstance(event, EpochDone)
            key = event.trial.key
            assert key not in results
            readings.setdefault(key, []).append(event.reading)
            assert [reading.epoch for reading in readings[key]] == list(range(1, len(readings[key]) + 1))
        costs.setdefault(key, []).extend(zip(event.steps.tolist(), event.costs.tolist(), strict=True))
    return results, readings, costs


def only(parts, key):
    return tuple({key: part[key]} if key in part else {} for part in parts)


def assert_alike(first, second):
    (results, _, costs), (others, _, other_costs) = first, second
    assert results.keys() == others.keys()
    for key, result in results.items():
        other = others[key]
        assert dict(result.trial.hyperparameters) == dict(other.trial.hyperparameters)
        assert result.run.state is other.run.state
        assert result.run.first_cost == pytest.approx(other.run.first_cost, rel=1e-5)
        assert len(result.run.readings) == len(other.run.readings)
        if result.run.state is State.COMPLETE:
            np.testing.assert_allclose(
                [c for _, c in costs[key]], [c for _, c in other_costs[key]], rtol=2e-3, atol=1e-4
            )
            assert result.run.last.val_loss == pytest.approx(other.run.last.val_loss, rel=2e-3)
            assert result.score == pytest.approx(other.score, abs=0.012)  # two of 180 images
        else:
            assert result.run.explosion.step == other.run.explosion.step


def test_workers_find_what_this_process_finds():
    source, prepared = source_of("digits", "learning_rate=log_uniform(1e-4, 3)")
    trials = trials_of(prepared, 12)
    alone = collected(InProcess(prepared), trials, 2)
    assert_alike(alone, collected(Processes(prepared, *source, 2), trials, 2))
    assert set(alone[0]) == {trial.key for trial in trials}
    assert {result.run.state for result in alone[0].values()} == {State.COMPLETE, State.EXPLODED}


def test_workers_find_the_same_for_a_recipe_file_with_several_architectures(written):
    source, prepared = source_of(written(FILE))
    trials = trials_of(prepared, 10)
    assert len({trial.hyperparameters["hidden"] for trial in trials}) == 2
    alone = collected(InProcess(prepared), trials, 2)
    assert_alike(alone, collected(Processes(prepared, *source, 2), trials, 2))
    # Each as if it were the only one: nobody's neighbours matter.
    for trial in trials[:3]:
        assert_alike(collected(InProcess(prepared), [trial], 2), only(alone, trial.key))


def test_every_step_of_a_trial_is_told_once():
    _, prepared = source_of("digits", "learning_rate=log_uniform(1e-3, 10)")
    results, readings, costs = collected(InProcess(prepared), trials_of(prepared, 8), 2)
    states = Counter(result.run.state for result in results.values())
    assert states[State.EXPLODED]
    assert states[State.COMPLETE]
    for key, result in results.items():
        assert [step for step, _ in costs[key]] == list(range(1, result.run.steps + 1))
        assert tuple(readings.get(key, ())) == result.run.readings
        assert costs[key][0][1] == pytest.approx(result.run.first_cost, rel=1e-6)


def test_the_callers_arithmetic_is_left_as_it_was():
    _, prepared = source_of("digits")
    smallest = np.array([1e-310, 1e-310])
    collected(InProcess(prepared), trials_of(prepared, 1), 1)
    assert (smallest * 0.5 > 0).all()
    events = InProcess(prepared).train(trials_of(prepared, 1), 5)
    next(events)
    events.close()
    assert (smallest * 0.5 > 0).all()
    torch.set_flush_denormal(True)
    try:
        collected(InProcess(prepared), trials_of(prepared, 1), 1)
        assert (smallest * 0.5 == 0).all()
    finally:
        torch.set_flush_denormal(False)


def test_settings_of_the_command_line_reach_the_workers():
    source, prepared = source_of("digits", "hidden=7", "update=sgd", "learning_rate=1e-3", "l2=0")
    trials = trials_of(prepared, 2)
    assert trials[0].hyperparameters["hidden"] == 7
    assert_alike(
        collected(InProcess(prepared), trials, 1), collected(Processes(prepared, *source, 2), trials, 1)
    )


def test_more_workers_than_trials_are_no_trouble():
    source, prepared = source_of("digits")
    results, _, _ = collected(Processes(prepared, *source, 3), trials_of(prepared, 1), 1)
    assert list(results) == [(0, 0)]


def test_no_trials_start_no_worker():
    source, prepared = source_of("digits")
    assert list(Processes(prepared, *source, 2).train([], 1)) == []


def test_a_killed_worker_is_an_error_at_once_and_not_a_hang(written, tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    source, prepared = source_of(written(SLOW.format(folder=str(folder))))
    events = Processes(prepared, *source, 2).train(trials_of(prepared, 4), 1000)
    first = next(events)  # an epoch is told: both workers train
    assert isinstance(first, EpochDone)
    children = {child.pid for child in multiprocessing.active_children()}
    (victim, *_) = [int(file.name) for file in folder.iterdir() if int(file.name) in children]
    os.kill(victim, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        list(events)
    assert time.monotonic() - started < 20
    assert "-9" in str(caught.value)
    assert "--resume" in str(caught.value)


def test_what_a_recipe_raises_in_a_worker_comes_back_as_it_is(written):
    source, prepared = source_of(written(RAISES))
    with pytest.raises(InputError, match="the disk is not there") as caught:
        list(Processes(prepared, *source, 2).train(trials_of(prepared, 4), 1))
    assert "mine.py:8" in str(caught.value)
    assert caught.value.fix


def test_the_error_of_a_worker_that_ended_meanwhile_is_found_by_the_next_message():
    ours, theirs = multiprocessing.Pipe()
    ours.send("a message that is never read")
    theirs.send(InputError("the disk is not there"))
    theirs.close()
    with pytest.raises(InputError, match="the disk is not there"):
        local._send(local._Worker(multiprocessing.Process(), ours, ours), None)


def test_whoever_stops_listening_ends_the_workers():
    source, prepared = source_of("digits")
    events = Processes(prepared, *source, 2).train(trials_of(prepared, 4), 1000)
    next(events)
    assert len(multiprocessing.active_children()) == 2
    events.close()
    assert multiprocessing.active_children() == []


def test_the_same_workers_train_the_next_stage():
    source, prepared = source_of("digits")
    trials = trials_of(prepared, 8)
    with contextlib.closing(Processes(prepared, *source, 2)) as engine:
        first = [event for event in engine.train(trials[:4], 2) if isinstance(event, TrialDone)]
        workers = {child.pid for child in multiprocessing.active_children()}
        second = [event for event in engine.train(trials[4:], 3) if isinstance(event, TrialDone)]
        assert {child.pid for child in multiprocessing.active_children()} == workers
    assert len(workers) == 2
    assert {event.result.trial.key for event in [*first, *second]} == {trial.key for trial in trials}
    assert {len(event.result.run.readings) for event in second} == {3}


def trials_with(*hidden):
    return [Trial(0, n, {"hidden": width, "l2": n / 7}) for n, width in enumerate(hidden)]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33, 100])
def test_groups_are_small_even_and_complete(count, workers):
    trials = trials_with(*[50] * count)
    groups = grouped(trials, lambda _: 16, workers=workers)
    assert sorted(trial.number for group in groups for trial in group) == list(range(count))
    sizes = [len(group) for group in groups]
    assert max(sizes) <= 16
    assert len(groups) >= min(count, workers)


def test_groups_hold_one_width_each():
    groups = grouped(trials_with(20, 30, 20, 30, 30), lambda _: 16, workers=1)
    assert sorted(len({t.hyperparameters["hidden"] for t in group}) for group in groups) == [1, 1]


def test_few_trials_are_not_worth_a_measurement():
    def never(_):
        raise AssertionError("measured")

    assert [len(group) for group in grouped(trials_with(*[50] * 14), never, workers=2)] == [7, 7]


@pytest.mark.parametrize("population", [1, 3, 16])
def test_the_size_of_the_populations_changes_no_result(population):
    _, prepared = source_of("digits", "learning_rate=log_uniform(1e-3, 10)")
    trials = trials_of(prepared, 12)
    expected = collected(InProcess(prepared, population=12), trials, 3)
    assert_alike(collected(InProcess(prepared, population=population), trials, 3), expected)


def test_thin_populations_join_and_nobody_notices(monkeypatch):
    """Of each group of four most explode in the first epoch; the rest go on together."""
    _, prepared = source_of("digits", "learning_rate=log_uniform(1e-3, 1e3)")
    trials = trials_of(prepared, 16)
    expected = collected(InProcess(prepared, population=16), trials, 4)
    sizes = []
    absorb = Trainer.absorb

    def watched(self, other):
        numbers = absorb(self, other)
        sizes.append((len(self.alive), self.epoch))
        return numbers

    monkeypatch.setattr(Trainer, "absorb", watched)
    assert_alike(collected(InProcess(prepared, population=4), trials, 4), expected)
    assert sizes
    assert all(0 < epoch < 4 for _, epoch in sizes)


def test_errors_survive_the_way_between_processes():
    error = pickle.loads(pickle.dumps(InputError("what", fix="do this")))
    assert (error.problem, error.fix, str(error)) == ("what", "do this", "what\n  fix: do this")


MIXED = (
    "update=choice(sgd, momentum, adam)",
    "schedule=choice(constant, cosine)",
    "preprocessing=choice(mean_image, standardize)",
    "momentum=when(update, momentum, uniform(0.5, 0.95))",
    "learning_rate=log_uniform(1e-4, 1e-2)",
    "hidden=10",
)


@pytest.mark.slow
def test_trials_of_several_rules_and_preprocessings_train_as_if_each_were_alone():
    _, prepared = source_of("digits", *MIXED)
    trials = trials_of(prepared, 10)
    for name in ("update", "schedule", "preprocessing"):
        assert len({trial.hyperparameters[name] for trial in trials}) > 1
    together = collected(InProcess(prepared, population=16), trials, 2)
    assert_alike(collected(InProcess(prepared, population=3), trials, 2), together)
    for trial in trials[:2]:
        fixed = [f"{name}={trial.hyperparameters[name]}" for name in ("update", "schedule", "preprocessing")]
        _, alone = source_of("digits", *MIXED[3:], *fixed)
        assert_alike(collected(InProcess(alone), [trial], 2), only(together, trial.key))


def test_workers_know_the_rules_that_a_space_names():
    source, prepared = source_of("digits", *MIXED)
    trials = trials_of(prepared, 4)
    with_workers = collected(Processes(prepared, *source, 2), trials, 1)
    assert_alike(collected(InProcess(prepared), trials, 1), with_workers)
