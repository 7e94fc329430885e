"""The plain rows say what the records say."""

from __future__ import annotations

import math

import pytest

from babysit.store import overview, queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from browser.stores import write_epochs, write_search


@pytest.fixture
def path(tmp_path):
    made = str(tmp_path / "runs.db")
    with Writer(made) as writer:
        write_search(writer)
        write_search(writer, "another", running=3)
    return made


def same(plain, number):
    return (math.isnan(number) and plain is None) or plain == number


def test_lines_are_the_summaries(path):
    with Reader(path) as reader:
        for study in (1, 2):
            lines, summaries = overview.lines(reader, study), queries.run_summaries(reader, study)
            assert [line.key for line in lines] == [one.key for one in summaries]
            for line, one, choice in zip(lines, summaries, overview.choices(lines), strict=True):
                assert (line.study, line.state, line.epochs, line.steps) == (
                    study,
                    one.state,
                    one.epochs,
                    one.steps,
                )
                assert choice == one.hyperparameters
                assert line.spark == one.spark.astype("<f4").tobytes()
                for name in ("cost", "first_cost", "val_accuracy", "best_score", "learning_rate"):
                    assert same(getattr(line, name), getattr(one, name))
                assert (line.explosion_step is None) == (one.explosion is None)


def test_newer_lines_are_the_changes(path):
    with Writer(path) as writer, Reader(path) as reader:
        before = overview.cursor(reader)
        assert overview.newer_lines(reader, before) == []
        trials = {result.trial.key: result.trial for result in queries.results(reader, 2)}
        write_epochs(writer, 2, trials[1, 6], 0.4, [2])
        writer.flush()
        assert [line.key for line in overview.newer_lines(reader, before)] == [(1, 6)]
        told = queries.changes(reader, before)
        assert [line.version for line in overview.newer_lines(reader, before)] == [
            one.version for one in told.summaries
        ]
        assert overview.cursor(reader) == told.cursor


def test_counts_are_those_of_the_records(path):
    with Reader(path) as reader:
        found = queries.verdicts(reader, 1)
        rows = {line.row: line.key for line in overview.lines(reader, 1)}
        counted = {rows[row]: sum(each.values()) for row, each in overview.cause_counts(reader, 1).items()}
        assert counted == {key: len(each.causes) for key, each in found.items() if each.causes}
        assert overview.newer_cause_counts(reader, 0).keys() >= overview.cause_counts(reader, 1).keys()
        states = {(one.study, one.state): one.trials for one in overview.state_counts(reader)}
        assert states == {
            (1, "complete"): 18,
            (1, "exploded"): 2,
            (2, "complete"): 16,
            (2, "exploded"): 1,
            (2, "running"): 3,
        }
