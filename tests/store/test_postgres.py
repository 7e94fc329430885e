"""The contract on a real PostgreSQL server, and what only a server can do or refuse."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy.exc import DBAPIError

from babysit.errors import StoreError
from babysit.records import CommandKind, Result, Run, State
from babysit.store import queries
from babysit.store.commands import Commands, silence
from babysit.store.reader import Reader
from babysit.store.schema import studies
from babysit.store.writer import Writer
from store.conftest import begin
from store.contract import StoreContract
from store.postgres import Server, drop, fresh
from store.records import complete, reading, same, trial
from store.sharing_contract import BEGIN_STUDIES, SharingContract, python
from store.test_exactness import runs

SURROGATE = "file \udcff"


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


class TestPostgres(StoreContract, SharingContract):
    """Every store's tests."""


def test_machines_that_disagree_on_the_time_hear_each_other(
    commands: Commands, reader: Reader, study: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's clock alone counts: this machine is a day ahead, then a day behind."""
    true = time.time()
    for wrong in (true + 86400, true - 86400):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        commands.beat(study)
        asked = commands.ask(study, CommandKind.STOP_STUDY)
        assert abs(asked.asked - true) < 60
        monkeypatch.undo()
        assert 0 <= silence(reader, study) < 60
        assert commands.expire_unanswered(study) == 0
        monkeypatch.setattr(time, "time", lambda wrong=wrong: 2 * true - wrong)
        assert 0 <= silence(reader, study) < 60
        assert commands.expire_unanswered(study) == 0
        commands.refused(asked.id, "no")
        assert abs(commands.find(asked.id).answered - true) < 60
        monkeypatch.undo()


@pytest.mark.slow
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs)
def test_a_run_comes_back_exactly(run: Run, writer: Writer, reader: Reader) -> None:
    study = begin(writer)
    writer.finish_trials(study, [Result(trial(), run)])
    expected = replace(run, message=run.message.replace("\0", "\u2400"))
    assert same(queries.results(reader, study), [Result(trial(), expected)])


def test_text_that_no_database_keeps_is_kept_as_far_as_it_can_be(
    writer: Writer, reader: Reader, study: int
) -> None:
    failed = Result(trial(0), Run(State.FAILED, message=f"a\0b {SURROGATE}"))
    writer.finish_trials(study, [failed])
    assert queries.results(reader, study)[0].run.message == "a\u2400b file ?"
    writer.finish_study(study, State.FAILED, {"error": f"a\0b {SURROGATE}"})
    assert queries.study(reader, study).outcome == {"error": f"a\0b {SURROGATE}"}


def test_numbers_keep_their_width(writer: Writer, reader: Reader, study: int) -> None:
    run = Run(State.COMPLETE, (), 5e-324, seconds=1.7976931348623157e308, steps=2**62)
    writer.finish_trials(study, [Result(trial(), run)])
    found = queries.results(reader, study)[0].run
    assert (found.first_cost, found.seconds, found.steps) == (5e-324, 1.7976931348623157e308, 2**62)
    assert math.isnan(queries.run_summaries(reader, study)[0].cost)


def test_two_processes_make_one_store(empty_postgres_url: str) -> None:
    with python(BEGIN_STUDIES, empty_postgres_url) as process:
        process.communicate(timeout=120)
    assert process.returncode == 0
    with Reader(empty_postgres_url) as reader:
        assert len(queries.studies(reader)) == 20


def test_a_reader_can_write_nothing_and_sees_one_state(writer: Writer, reader: Reader, study: int) -> None:
    with reader.connect() as connection:
        before = connection.execute(studies.select()).all()
        begin(writer)
        assert connection.execute(studies.select()).all() == before
        with pytest.raises(DBAPIError, match="read-only"):
            connection.exec_driver_sql("DELETE FROM meta")
        connection.rollback()
    assert len(queries.studies(reader)) == 2


def test_a_locked_store_says_so(url: str) -> None:
    with Writer(url) as first, Writer(url, busy_seconds=0.1) as second:
        with (
            first._engine.begin(),
            pytest.raises(StoreError, match=r"stayed locked[\s\S]*finished trial is kept"),
        ):
            begin(second)
        begin(second)


def test_stores_in_two_schemas_do_not_wait_for_each_other(url: str, empty_postgres_url: str) -> None:
    with (
        Writer(url) as first,
        Writer(empty_postgres_url, busy_seconds=0.1) as second,
        first._engine.begin(),
    ):
        begin(second)


def test_a_connection_that_is_cut_off_is_made_again(
    writer: Writer, reader: Reader, study: int, database: str
) -> None:
    queries.studies(reader)
    ours = "application_name = 'babysit' AND pid <> pg_backend_pid()"
    execute(database, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    writer.finish_trials(study, [complete(0)])
    assert same(queries.results(reader, study), [complete(0)])


def test_the_plain_address_means_this_driver(url: str) -> None:
    with Writer(url.replace("+psycopg", "")) as writer:
        assert begin(writer) == 1


@pytest.mark.parametrize("opened", [Reader, Writer])
class TestRefused:
    """What is no store of ours."""

    def test_no_server(self, opened: type[Reader] | type[Writer]) -> None:
        with pytest.raises(StoreError, match=r"cannot be reached[\s\S]*start the server"):
            opened("postgresql+psycopg://ann:secret@127.0.0.1:1/runs")

    def test_a_password_is_not_told(self, opened: type[Reader] | type[Writer]) -> None:
        with pytest.raises(StoreError) as told:
            opened("postgresql+psycopg://ann:secret@127.0.0.1:1/runs")
        assert "secret" not in str(told.value)

    def test_no_database(self, opened: type[Reader] | type[Writer], database: str) -> None:
        with pytest.raises(StoreError, match=r"does not exist[\s\S]*createdb"):
            opened(database.replace("/postgres?", "/none?"))

    def test_no_schema(self, opened: type[Reader] | type[Writer], database: str) -> None:
        with pytest.raises(StoreError, match="fix"):
            opened(f"{database}&options=-csearch_path%3Dno_such_schema")

    def test_other_tables(self, opened: type[Reader] | type[Writer], empty_postgres_url: str) -> None:
        execute(empty_postgres_url, "CREATE TABLE mine (a int)")
        with pytest.raises(StoreError, match=r"not a babysit store[\s\S]*database of its own"):
            opened(empty_postgres_url)

    def test_a_newer_store(self, opened: type[Reader] | type[Writer], url: str) -> None:
        execute(url, "UPDATE meta SET value = 99 WHERE name = 'schema_version'")
        try:
            with pytest.raises(StoreError, match=r"newer babysit[\s\S]*upgrade"):
                opened(url)
        finally:
            execute(url, "UPDATE meta SET value = 4 WHERE name = 'schema_version'")

    def test_another_kind_of_server(self, opened: type[Reader] | type[Writer]) -> None:
        with pytest.raises(StoreError, match=r"driver[\s\S]*path"):
            opened("mysql://ann@127.0.0.1/runs")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_keep_every_text(server: Server, encoding: str) -> None:
    how = f"ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    execute(server.url, f"CREATE DATABASE {encoding} {how}")
    with pytest.raises(StoreError, match=rf"keeps text as {encoding}[\s\S]*UTF8"):
        Writer(server.url.replace("/postgres?", f"/{encoding.lower()}?"))


@pytest.fixture
def small_disk(server: Server) -> Iterator[str]:
    """A store whose tables lie on a disk of a few MiB."""
    folder = server.folder / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small filesystem")
    options = "size=6m,uid=nobody,gid=nogroup,mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no one mount a filesystem")
    execute(server.url, f"CREATE TABLESPACE small LOCATION '{folder}'")
    url = fresh(server.url, "small_disk")
    yield f"{url}%20-cdefault_tablespace%3Dsmall"
    drop(server.url, "small_disk")
    execute(server.url, "DROP TABLESPACE small")
    subprocess.run(["umount", str(folder)], check=True)


def write_until_full(writer: Writer, study: int, finished: list[int]) -> None:
    for number in range(1000):
        chance = np.random.default_rng(number).random(20_000)  # which no database packs
        writer.epoch(study, trial(number), reading(1), np.arange(20_000), chance)
        writer.finish_trials(study, [complete(number)])
        finished.append(number)


def test_a_full_disk_of_the_server_keeps_what_had_finished(small_disk: str) -> None:
    finished: list[int] = []
    with Writer(small_disk) as writer, Reader(small_disk) as reader:
        study = begin(writer)
        with pytest.raises(StoreError, match=r"disk of its server is full[\s\S]*finished trial is kept"):
            write_until_full(writer, study, finished)
        assert len(finished) > 3
        states = [result.run.state for result in queries.results(reader, study)]
        assert states.count(State.COMPLETE) == len(finished)
        writer._active.clear()  # what could not be written is not tried again at the end
