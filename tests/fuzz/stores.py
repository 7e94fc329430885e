"""Stores and storages: SQLite files damaged, cut, of other programs, or with cells that nobody wrote."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hypothesis import strategies as st
from starlette.testclient import TestClient

from babysit.errors import InputError
from babysit.records import CommandKind, State
from babysit.store.commands import Commands
from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import RequestRules
from babysit.views.dashboard.state import OpenStore, Serving
from browser.stores import write_search

from .command import attempted
from .damage import damaged
from .harness import Surface


@functools.cache
def whole_store() -> bytes:
    """A store with a finished and a running search, and requests to the running one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.sqlite"
        with Writer(str(path)) as writer:
            writer.finish_study(write_search(writer), State.COMPLETE, {})
            running = write_search(writer, "my net", running=2)
        with Commands(str(path)) as commands:
            commands.ask(running, CommandKind.STOP_STUDY)
        return _one_file(path)


def _one_file(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("pragma journal_mode = delete")
    return path.read_bytes()


@functools.cache
def _foreign() -> list[bytes]:
    """What is no store: another program's database, an empty one, text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "other.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table studies (id text, name blob)")
            connection.execute("create table meta (key, value)")
            connection.execute("insert into meta values ('schema_version', 'new')")
            connection.commit()
        return [
            path.read_bytes(),
            b"",
            b"SQLite format 3\0",
            b"SQLite format 3\0" + bytes(4096),
            b"a,b\n1,2\n",
        ]


_READING = [
    ["runs"],
    ["runs", "--json"],
    ["show", "1"],
    ["show", "2/fine/3"],
    ["show", "1/best", "--json"],
    ["commands", "2"],
    ["commands", "2", "--json"],
    ["store", "verify"],
    ["report", "1"],
    ["export", "1", "--to", "t.csv"],
    ["export", "2", "--to", "t.json"],
    ["export", "1", "--to", "t.parquet"],
    ["compare", "1", "2"],
    ["live", "2", "--once"],
]


def _read_only(words: list[str], path: Path, folder: Path) -> None:
    """Whatever a reading command says, the file stays as it is."""
    before = path.read_bytes()
    try:
        attempted([*words, "--store", str(path)], folder)
    finally:
        assert path.read_bytes() == before, "a command that only reads has changed the file"


class Damaged(NamedTuple):
    """A file and what is asked of it."""

    content: bytes
    words: list[str]


store_files = st.builds(
    Damaged,
    st.one_of(
        st.deferred(lambda: damaged([whole_store()], 6)),
        st.deferred(lambda: damaged([whole_store()], 1)),
        st.deferred(lambda: st.sampled_from(_foreign())),
        st.deferred(lambda: damaged(_foreign())),
    ),
    st.sampled_from(_READING),
)


def _damaged_store(case: Damaged, folder: Path) -> None:
    path = folder / "runs.sqlite"
    path.write_bytes(case.content)
    _read_only(case.words, path, folder)


class Cell(NamedTuple):
    """A value that is put into a column of one row."""

    table: str
    column: str
    row: int
    value: Any


@functools.cache
def _columns(whole: Any) -> list[tuple[str, str]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(whole())
        file.flush()
        with closing(sqlite3.connect(file.name)) as connection:
            tables = [
                name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
            ]
            return [
                (table, row[1])
                for table in tables
                for row in connection.execute(f"pragma table_info({table})")
                if connection.execute(f"select count(*) from {table}").fetchone()[0]
            ]


_VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=9),
    st.sampled_from(
        [
            "{}",
            "[]",
            "null",
            "1",
            '{"a": 1}',
            "[1]",
            "[[]]",
            '"x"',
            "{",
            '{"a":' * 1500,
            "COMPLETE",
            "running",
            "complete",
            0,
            -1,
            1,
            2**62,
            float("inf"),
            '{"name": "x", "choices": []}',
            "\0",
            "é" * 300,
        ]
    ),
)


def _cells(whole: Any) -> st.SearchStrategy[Cell]:
    return st.deferred(
        lambda: st.builds(
            lambda place, row, value: Cell(*place, row, value),
            st.sampled_from(_columns(whole)),
            st.integers(0, 12),
            _VALUES,
        )
    )


def _with_cells(content: bytes, cells: list[Cell], path: Path) -> None:
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as connection:
        for cell in cells:
            rows = f"select rowid from {cell.table} limit 1 offset {cell.row}"
            try:
                connection.execute(
                    f"update or ignore {cell.table} set {cell.column} = ? where rowid in ({rows})",
                    [cell.value],
                )
            except (sqlite3.Error, UnicodeEncodeError):
                continue  # a value that SQLite itself refuses
        connection.commit()


_PAGES = [
    "/",
    "/s/1",
    "/s/2",
    "/s/1/curves",
    "/s/2/curves",
    "/r/1/0/3",
    "/r/2/1/2",
    "/r/1/1/0",
    "/changes?study=2&since=0",
    "/compare?r=1/0/1&r=1/0/2",
    "/changes?study=1&since=3",
]
changed_stores = st.tuples(st.lists(_cells(whole_store), min_size=1, max_size=2), st.sampled_from(_READING))

shown_stores = st.tuples(st.lists(_cells(whole_store), min_size=1, max_size=2), st.sampled_from(_PAGES))


def _changed_store(case: tuple[list[Cell], list[str]], folder: Path) -> None:
    path = folder / "runs.sqlite"
    _with_cells(whole_store(), case[0], path)
    _read_only(case[1], path, folder)


def _shown_store(case: tuple[list[Cell], str], folder: Path) -> None:
    """A page on a store with cells that nobody wrote: shown, or a message, but no fault of the server's."""
    path = folder / "runs.sqlite"
    _with_cells(whole_store(), case[0], path)
    serving = Serving(OpenStore(str(path)), RequestRules())
    try:
        client = TestClient(create_app(serving), base_url="http://localhost", follow_redirects=False)
        answer = client.get(case[1])
    finally:
        serving.store.close()
        serving.lab.close()
    assert answer.status_code < 500
    if answer.status_code >= 400:
        raise InputError(f"answered with {answer.status_code}", fix=answer.text[:80])


# Optuna's storages


@functools.cache
def whole_storage() -> bytes:
    """A storage with one study of a few trials of every state."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optuna.db"
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(storage=f"sqlite:///{path}", study_name="theirs", direction="maximize")
        kinds = optuna.distributions
        ranges = {
            "lr": kinds.FloatDistribution(1e-4, 1e-1, log=True),
            "hidden": kinds.IntDistribution(1, 100),
            "update": kinds.CategoricalDistribution(["sgd", "adam", None, True]),
        }
        for number, state in enumerate(("COMPLETE", "COMPLETE", "PRUNED", "FAIL", "WAITING")):
            params = {"lr": 0.01, "hidden": 10 + number, "update": "sgd"}
            study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState[state],
                    value=0.5 + number / 10 if state == "COMPLETE" else None,
                    params=params,
                    distributions=ranges,
                    intermediate_values={0: 0.1, 1: 0.2} if state != "WAITING" else {},
                )
            )
        optuna.logging.set_verbosity(verbosity)
        study._storage.remove_session()
        study._storage._backend.engine.dispose()
        return _one_file(path)


imports = st.one_of(
    st.lists(_cells(whole_storage), min_size=1, max_size=2),
    st.deferred(lambda: damaged([whole_storage()], 3)),
    st.deferred(lambda: st.sampled_from([*_foreign(), whole_store()])),
)


def _imported(case: list[Cell] | bytes, folder: Path) -> None:
    """A storage is copied whole or not at all, into a store that stays whole."""
    path, store = folder / "optuna.db", folder / "mine.sqlite"
    store.unlink(missing_ok=True)
    if isinstance(case, bytes):
        path.write_bytes(case)
    else:
        _with_cells(whole_storage(), case, path)
    before = path.read_bytes()
    try:
        attempted(["import", f"optuna:sqlite:///{path}", "--store", str(store)], folder)
    finally:
        assert path.read_bytes() == before, "an import has changed what it reads"
        if store.exists():
            verified = attempted(["store", "verify", "--store", str(store)], folder)
            assert verified.code == 0, verified.out
    for words in (["show", "1"], ["report", "1"], ["export", "1", "--to", "t.csv"]):
        attempted([*words, "--store", str(store)], folder)


SURFACES = (
    Surface("stores: damaged files", store_files, _damaged_store, 15),
    Surface("stores: changed cells", changed_stores, _changed_store, 15),
    Surface("stores: changed cells, in a browser", shown_stores, _shown_store, 10),
    Surface("stores: imported studies", imports, _imported, 4),
)
