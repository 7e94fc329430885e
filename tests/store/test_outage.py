"""A server that goes away in mid-run and comes back: nothing finished is lost, nothing dies of it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import babysit
from babysit.errors import StoreError
from babysit.records import State
from babysit.session.jobs.job import Job, open_job
from babysit.session.jobs.search import Hooks, run_search
from babysit.store import outage, queries
from babysit.store.reader import Reader
from babysit.store.writer import FLUSH_READINGS, Writer
from babysit.tuning.settings import SearchSettings
from store.conftest import begin
from store.postgres import Server, fresh
from store.records import complete, details, epoch_costs, feed, reading, same, trial


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    yield fresh(server.url, f"s{abs(hash(request.node.name))}")
    if not server.is_up:
        server.start()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_what_is_buffered_is_written_when_the_server_is_back(
    server: Server, url: str, how: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "babysit.store")
    with Writer(url) as writer:
        study = begin(writer)
        writer.epoch(study, trial(0), reading(1), *epoch_costs(1))
        writer.flush()
        server.stop(how)
        writer.epoch(study, trial(0), reading(2), *epoch_costs(2))
        writer.details(study, trial(0), details(2))
        until(lambda: writer._outage.is_on)
        for epoch in range(3, FLUSH_READINGS + 10):  # more than are ever buffered while the server is there
            writer.epoch(study, trial(0), reading(epoch), [epoch * 100], [1.0])
        server.start()
        until(lambda: not writer._outage.is_on)
        with Reader(url) as reader:
            run = queries.results(reader, study)[0].run
            assert [one.epoch for one in run.readings] == list(range(1, FLUSH_READINGS + 10))
            assert len(queries.costs(reader, study, (0, 0))[0]) == 200 + FLUSH_READINGS + 7
            assert list(queries.histograms(reader, study, (0, 0))) == ["activations/1"]
    away, back = [record.getMessage() for record in caplog.records]
    assert "cannot be reached" in away
    assert "is back after" in back


def test_a_finished_trial_waits_for_the_server(server: Server, url: str) -> None:
    with Writer(url) as writer:
        study = begin(writer)
        feed(writer, study, complete(0))
        server.stop(signal.SIGQUIT)

        def finish() -> None:
            writer.finish_trials(study, [complete(0), complete(1)])
            writer.finish_study(study, State.COMPLETE, {"best": 1})

        finishing = threading.Thread(target=finish)
        finishing.start()
        until(lambda: writer._outage.is_on)
        assert finishing.is_alive()
        server.start()
        finishing.join(60)
        with Reader(url) as reader:
            assert same(queries.results(reader, study), [complete(0), complete(1)])
            assert len(queries.costs(reader, study, (0, 0))[0]) == 300
            assert queries.study(reader, study).state is State.COMPLETE


def test_a_study_whose_commit_was_not_answered_is_begun_once(
    url: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer(url) as writer, Reader(url) as reader:
        attempt, lost = writer._attempt, []

        def lose_the_first_answer(body: Callable[..., object]) -> object:
            answer = attempt(body)
            if not lost:
                lost.append(answer)
                raise outage.OutageError("the answer was lost")
            return answer

        monkeypatch.setattr(writer, "_attempt", lose_the_first_answer)
        assert [begin(writer)] == lost
        assert len(queries.studies(reader)) == 1


def test_what_waits_is_bounded_and_no_reading_is_dropped(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outage, "MOST_WAITING_POINTS", 250)
    with Writer(url) as writer:
        study = begin(writer)
        writer.begin_trials(study, [trial(0)])
        server.stop()
        writer.costs(study, trial(0), [1], [2.5])
        until(lambda: writer._outage.is_on)
        for epoch in range(1, 5):
            writer.epoch(study, trial(0), reading(epoch), *(epoch_costs(epoch)[0] + 1, epoch_costs(epoch)[1]))
        server.start()
        writer.flush()
        with Reader(url) as reader:
            assert len(queries.results(reader, study)[0].run.readings) == 4
            np.testing.assert_array_equal(queries.costs(reader, study, (0, 0))[0], np.arange(1, 202))
    assert "200 points were too many to keep" in caplog.records[-1].getMessage()


def test_patience_has_an_end(server: Server, url: str) -> None:
    with Writer(url, patience_seconds=0.3) as writer:
        study = begin(writer)
        server.stop()
        with pytest.raises(StoreError, match=r"cannot be reached[\s\S]*finished trial is kept"):
            writer.finish_trials(study, [complete(0)])


@pytest.mark.slow
def test_a_search_goes_on_over_a_restart_and_ends_as_if_undisturbed(
    server: Server, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = SearchSettings(stages="coarse:8x2,fine:6x2,final:1x2", population=4)

    def results(store: str, hooks: Hooks) -> list[object]:
        job = Job("digits", store=store, folder=tmp_path)
        study = run_search(job, open_job(job), settings, hooks=hooks).study
        with Reader(store) as reader:
            runs = [(one.trial, one.run.state, one.run.readings) for one in queries.results(reader, study)]
            return [*runs, queries.study(reader, study).outcome["best"], queries.study(reader, study).state]

    back: list[threading.Timer] = []

    def restart(_: object) -> None:
        if not back:
            server.stop(signal.SIGQUIT)
            back.append(threading.Timer(1.5, server.start))
            back[0].start()

    disturbed = results(url, Hooks(stage=restart))
    back[0].join()
    assert any("is back after" in record.getMessage() for record in caplog.records)
    assert same(disturbed, results(str(tmp_path / "runs.db"), Hooks()))


def test_a_watched_loop_goes_on_over_an_outage_and_is_written_whole(server: Server, url: str) -> None:
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.arange(12.0).reshape(4, 3) / 12
    with babysit.watch(model, optimizer, name="line", store=url) as watch:
        for step in range(90):
            if step == 30:
                server.stop(signal.SIGQUIT)
            if step == 60:
                watch.epoch(val_accuracy=0.5)
                server.start()
            optimizer.zero_grad()
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
            loss.backward()
            optimizer.step()
            watch.step(loss)
    assert not any("watch" in finding.rule for finding in watch.report().findings)
    with Reader(url) as reader:
        (study,) = queries.studies(reader)
        assert study.state is State.COMPLETE
        (result,) = queries.results(reader, study.id)
        assert (result.run.steps, len(result.run.readings)) == (90, 1)
        assert len(queries.costs(reader, study.id, (0, 0))[0]) == 90
