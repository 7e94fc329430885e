"""Migrating, verifying and compacting, on a file and on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, text

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.errors import StoreError
from babysit.records import CommandKind, Stage
from babysit.store import overview, queries, run_queries
from babysit.store.commands import Commands
from babysit.store.compacting import compact
from babysit.store.engine import locate, open_engine
from babysit.store.migrating import migrate
from babysit.store.old_names import MISMATCH, MISMATCHES, NEW_NAMES
from babysit.store.reader import Reader
from babysit.store.schema import ADDED, ADDED_COLUMNS, SCHEMA_VERSION, metadata
from babysit.store.tables import scripts
from babysit.store.verifying import counts, verify
from babysit.store.writer import Writer
from babysit.verdicts import Cause, Finding, Severity, Verdict
from store.conftest import begin
from store.records import (
    FINDING,
    VERDICT,
    complete,
    details,
    exploded,
    feed,
    same,
    same_verdict,
    trial,
    verdict,
)

Execute = Callable[..., None]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    found: str = request.getfixturevalue("empty_postgres_url")
    return found


@pytest.fixture
def full(url: str) -> int:
    """A store with one of everything."""
    with Writer(url) as writer:
        study = begin(writer)
        feed(writer, study, complete(0, epochs=7))
        for epoch in (1, 2):
            writer.details(study, complete(0).trial, details(epoch))
        writer.finish_trials(study, [complete(0, epochs=7), exploded(1)], {(0, 0): VERDICT})
        with Commands(url) as commands:
            commands.ask(study, CommandKind.STOP_STUDY)
    return study


@pytest.fixture
def execute(url: str) -> Execute:
    def run(*statements: str) -> None:
        engine: Engine = open_engine(locate(url), read_only=False)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    return run


def without_references(url: str, *statements: str) -> None:
    """Statements that the database would refuse, were it asked to keep references."""
    engine = open_engine(locate(url), read_only=False)
    raw = engine.raw_connection()
    raw.driver_connection.execute("PRAGMA foreign_keys = OFF")
    for statement in statements:
        raw.driver_connection.execute(statement)
    raw.invalidate()
    engine.dispose()


def faults(url: str) -> list[str]:
    with Reader(url) as reader:
        return verify(reader)


def age(execute: Execute, version: int) -> None:
    """Makes a store one that an older babysit wrote."""
    for added, tables in ADDED_COLUMNS.items():
        dropped = [(table, name) for table, names in tables.items() for name in sorted(names)]
        if added > version:
            execute(*(f"ALTER TABLE {table} DROP COLUMN {name}" for table, name in dropped))
    later = [name for added, names in ADDED.items() if added > version for name in sorted(names)]
    execute(*(f"DROP TABLE {name}" for name in later))
    execute(f"UPDATE meta SET value = {version} WHERE name = 'schema_version'")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_migrated_store_has_the_tables_of_a_new_one(
    url: str, full: int, execute: Execute, version: int
) -> None:
    age(execute, version)
    with Reader(url) as reader:
        before = queries.results(reader, full)
    assert faults(url) == []
    done = migrate(url)
    assert (done.before, done.after, len(done.steps)) == (version, SCHEMA_VERSION, SCHEMA_VERSION - version)
    engine = open_engine(locate(url), read_only=True)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    with Reader(url) as reader:
        assert same(queries.results(reader, full), before)
        assert reader.has(metadata.tables["verdicts"])
    assert faults(url) == []
    assert migrate(url) == (SCHEMA_VERSION, SCHEMA_VERSION, [])


def test_there_is_a_script_for_every_version() -> None:
    assert [int(script.revision) for script in scripts()] == list(range(1, SCHEMA_VERSION + 1))


OLD = {
    "rate_too_high": "learning_rate_too_high",
    "graph_cut": "loss_not_connected",
    "plateau": "plateau",
    MISMATCH: "nll_without_log_softmax",
}
"""Old name -> new name, of a message that speaks of bare scores."""


def old_finding(rule: str) -> Finding:
    message = "the negative log-likelihood was given bare scores, and falls without end"
    return Finding(rule, Severity.WARNING, "loss", 7, message, FINDING.evidence, "do", "slides")


def todays(rule: str, unit: str) -> Finding:
    return replace(old_finding(rule), unit=unit, confidence=0.5)


@pytest.fixture
def old(url: str, execute: Execute) -> str:
    """A store of schema 4 with a search and a watched run, whose problems have the names of then."""
    found = verdict(*map(old_finding, OLD))
    with Writer(url) as writer:
        for study in (begin(writer), begin(writer, kind="watch")):
            writer.finish_trials(study, [complete(0), complete(1)], {(0, 0): found})
    age(execute, 4)
    return url


def assert_read_under_new_names(url: str) -> None:
    with Reader(url) as reader:
        for study, unit in ((1, "epoch"), (2, "step")):
            found = queries.verdicts(reader, study)
            assert list(found) == [(0, 0)]
            expected = Verdict(tuple(Cause(todays(rule, unit)) for rule in OLD.values()))
            assert same_verdict(found[0, 0], expected)
            assert same_verdict(run_queries.verdict(reader, study, (0, 0)), expected)
            (counted,) = overview.cause_counts(reader, study).values()
            assert counted == {"warning": len(OLD)}
    assert faults(url) == []


def test_the_findings_of_an_old_store_are_read_under_new_names(old: str) -> None:
    assert_read_under_new_names(old)
    assert_read_under_new_names(old)  # nothing was written
    with Reader(old) as reader:
        assert not reader.has(metadata.tables["verdicts"])


def test_the_findings_of_an_old_store_are_migrated(old: str) -> None:
    assert migrate(old).before == 4
    assert_read_under_new_names(old)


def test_a_writer_migrates_an_old_store_and_goes_on_in_it(old: str) -> None:
    with Writer(old) as writer:
        writer.verdict(1, trial(2), VERDICT)
    with Reader(old) as reader:
        assert same_verdict(run_queries.verdict(reader, 1, (0, 2)), VERDICT)
    assert faults(old) == []


def test_every_old_name_leads_to_a_problem_of_the_catalogue() -> None:
    former = {old: problem.name for problem in CATALOGUE.values() for old in problem.formerly}
    several = {"graph_cut", MISMATCH}
    assert {old: new for old, new in NEW_NAMES.items() if old not in several} == {
        old: new for old, new in former.items() if old not in several
    }
    assert {*NEW_NAMES.values(), *dict(MISMATCHES).values()} <= CATALOGUE.keys()
    # So that the order in which a migration renames does not matter.
    assert NEW_NAMES.keys().isdisjoint({*NEW_NAMES.values(), *dict(MISMATCHES).values()})


MISFED = {
    "a softmax shares 1 among the outputs, and more than one of them is to be 1, or fewer": "bounded_output",
    "a softmax already made probabilities of the scores": "softmax_before_cross_entropy",
    "a sigmoid already squashed the scores": "sigmoid_before_logits_loss",
    "a ReLU cuts off all negative scores before the loss": "activation_before_cross_entropy",
    "the negative log-likelihood was given bare scores": "nll_without_log_softmax",
    "the negative log-likelihood was given probabilities, not their logarithms": "nll_without_log_softmax",
    "12% of the targets are negative, and the output's last activation keeps it above zero": "bounded_output",
    "in other words": "softmax_before_cross_entropy",
}
"""What an older babysit said of a last layer that does not fit its loss -> the problem's name of today."""


def test_a_mismatch_is_named_by_its_message_read_and_migrated(url: str, execute: Execute) -> None:
    found = verdict(*(replace(FINDING, rule=MISMATCH, message=message) for message in MISFED))
    with Writer(url) as writer:
        writer.finish_trials(begin(writer), [complete(0)], {(0, 0): found})
    age(execute, 4)
    for _ in range(2):
        with Reader(url) as reader:
            causes = run_queries.verdict(reader, 1, (0, 0)).causes
        assert {cause.finding.message: cause.rule for cause in causes} == MISFED
        migrate(url)


def test_a_newer_store_is_not_migrated(url: str, full: int, execute: Execute) -> None:
    execute("UPDATE meta SET value = 99 WHERE name = 'schema_version'")
    with pytest.raises(StoreError, match=r"newer babysit[\s\S]*upgrade"):
        migrate(url)


def test_what_is_whole_is_whole(url: str, full: int) -> None:
    assert faults(url) == []
    with Reader(url) as reader:
        # The costs of seven epochs, and four points of what the layers showed, twice.
        assert counts(reader) == {"studies": 1, "trials": 2, "readings": 8, "points": 708}


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM series WHERE name = 'cost' AND chunk = 1", "cost of trial 1/0/0 is broken: a piece"),
        ("UPDATE series SET last_step = 9 WHERE chunk = 0 AND name = 'cost'", "other steps than it says"),
        ("UPDATE series SET count = 9 WHERE chunk = 0 AND name = 'cost'", "2048 bytes for 9 points"),
        ("DELETE FROM readings WHERE epoch = 7", "complete after 7 epochs, but its last reading is 6"),
        ("UPDATE run_summary SET best_score = 2 WHERE trial = 1", "has the best score 2"),
        ("UPDATE run_summary SET state = 'lost' WHERE trial = 1", "state that does not exist: 'lost'"),
        ("UPDATE studies SET state = 'lost'", "study 1 has a state that does not exist: 'lost'"),
        ("UPDATE meta SET value = 1 WHERE name = 'last_version'", "but only 1 were given out"),
        ("UPDATE run_summary SET version = 1", "version 1 was given to more than one"),
        ("DELETE FROM run_summary WHERE trial = 2", "trial 1/0/1 has no summary"),
        ("DELETE FROM meta WHERE name = 'last_version'", "the last version is missing"),
        (
            "UPDATE findings SET cause = 9 WHERE rule = 'plateau'",
            "finding plateau of trial 1/0/0 is a symptom of a cause that is not there",
        ),
        ("ALTER TABLE findings DROP COLUMN distinguish", "the table findings has no column distinguish"),
        ("DROP TABLE verdicts", "the table verdicts is missing"),
        ("DROP TABLE findings", "the table findings is missing"),
    ],
)
def test_what_is_wrong_is_told(url: str, full: int, execute: Execute, statement: str, told: str) -> None:
    execute(statement)
    if statement == "DROP TABLE findings":
        with pytest.raises(StoreError, match="findings"):
            faults(url)
        return
    found = faults(url)
    assert any(told in fault for fault in found), found


class Disturbed(Reader):
    """A reader beside a writer that finishes a trial whenever the reader has looked."""

    def __init__(self, url: str, disturb: Callable[[], None]) -> None:
        self._disturb: Callable[[], None] = lambda: None
        super().__init__(url)
        self._disturb = disturb

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with super().connect() as connection:
            yield connection
        self._disturb()


def test_a_store_that_is_being_written_is_whole(url: str, full: int) -> None:
    numbers = iter(range(10, 1000))
    with Writer(url) as writer:

        def finish_another() -> None:
            result = complete(next(numbers), epochs=3)
            feed(writer, full, result)
            writer.finish_trials(full, [result])

        with Disturbed(url, finish_another) as reader:
            assert verify(reader) == []
    assert next(numbers) > 15


def test_compacting_loses_nothing_and_gives_back_room(url: str, full: int) -> None:
    with Writer(url) as writer:
        writer.begin_stage(full, stage_of_size(400_000))
        writer.begin_stage(full, stage_of_size(1))
    with Reader(url) as reader:
        before = queries.results(reader, full)
    done = compact(url)
    assert done.orphans == 0
    if not url.startswith("postgres"):  # there the room is kept for what comes
        assert done.after < done.before - 300_000
    with Reader(url) as reader:
        assert same(queries.results(reader, full), before)
    assert faults(url) == []


def stage_of_size(size: int) -> Stage:
    return Stage(0, "coarse", {}, 1, 1, "x" * size)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_rows_of_nothing_are_told_and_dropped(url: str, full: int) -> None:
    with Writer(url) as writer:
        writer.finish_trials(begin(writer), [complete(0)])
    without_references(url, "DELETE FROM studies WHERE id = 2")
    assert faults(url) == ["1 rows of trials belong to a study that is not there"]
    assert compact(url).orphans == 1 + 1 + 3  # the trial, its summary, its readings
    assert faults(url) == []
    with Reader(url) as reader:
        assert len(queries.results(reader, full)) == 2


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_damaged_file_is_told(url: str, full: int) -> None:
    with Writer(url) as writer:
        for number in range(2, 30):
            writer.finish_trials(full, [complete(number)])
    compact(url)
    data = bytearray(Path(url).read_bytes())
    page = 4096 * (len(data) // 4096 // 2)
    data[page : page + 200] = b"\xff" * 200
    Path(url).write_bytes(data)
    try:
        found = faults(url)
    except StoreError as error:
        found = [str(error)]
    assert "damaged" in found[0]


def test_nothing_is_compacted_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        compact(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []
