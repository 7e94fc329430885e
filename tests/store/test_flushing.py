"""The thread that commits buffered epochs must never undo what a finished trial has written."""

from __future__ import annotations

import time

import pytest

from babysit.records import State
from babysit.store import active, queries, writer
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from store.conftest import begin
from store.records import complete, feed


def test_a_finished_trial_never_turns_running_again(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "FLUSH_SECONDS", 1e-4)
    unhurried = writer.save_finished

    def save_slowly(*arguments):
        unhurried(*arguments)
        time.sleep(2e-3)  # long enough for the flushing thread to be waiting for the lock

    monkeypatch.setattr(writer, "save_finished", save_slowly)
    with Writer(str(tmp_path / "runs.db")) as store:
        study = begin(store)
        for number in range(60):
            feed(store, study, complete(number))
            store.finish_trials(study, [complete(number)])
    with Reader(str(tmp_path / "runs.db")) as reader:
        states = {result.run.state for result in queries.results(reader, study)}
    assert states == {State.COMPLETE}


def test_costs_without_a_reading_reach_the_series(tmp_path):
    run = active.ActiveRun(1)
    run.add_costs([1, 2], [2.3, 7.5])
    assert run.first_cost == pytest.approx(2.3)
    assert not run.pending
    (chunk,) = run.chunk_values()
    assert chunk["count"] == 2
