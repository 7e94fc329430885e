"""The checks of a store: the promises of a database, and those of the tables to each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Column, Row, Select, Table, exists, func, inspect, select, text

from babysit.records import State, score
from babysit.store.points import CHUNK_POINTS, from_chunks
from babysit.store.reader import Reader
from babysit.store.rows import reading_from
from babysit.store.schema import (
    commands,
    findings,
    meta,
    metadata,
    readings,
    run_summary,
    series,
    studies,
    trials,
    verdicts,
)
from babysit.store.trial_rows import FINAL_STATES

_MOST = 20
"""The most faults of one kind that are listed."""


def verify(reader: Reader) -> list[str]:
    """Lists the faults of a store in words; empty when it is whole.

    Args:
        reader: the store; nothing is written. At most 20 faults of each kind are listed.

    Example:
        >>> import tempfile
        >>> from babysit.store.writer import Writer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Writer(f"{folder}/runs.db").close()
        ...     with Reader(f"{folder}/runs.db") as reader:
        ...         verify(reader)
        []
    """
    damage = list(_damage(reader))
    if damage:  # nothing else in a damaged file can be trusted
        return damage
    faults = list(_missing_columns(reader))
    if faults:
        return faults
    for find in (_orphans, _versions, _states, _summaries, _series, _symptoms):
        found = list(islice(find(reader), _MOST + 1))
        faults += found[:_MOST] + (["... and more of the same kind"] if len(found) > _MOST else [])
    return faults


def counts(reader: Reader) -> dict[str, int]:
    """Counts the studies, trials, readings and per-step points of a store."""
    points = select(func.coalesce(func.sum(series.c.count), 0))
    counted = {table.name: select(func.count()).select_from(table) for table in (studies, trials, readings)}
    return {name: int(reader.rows(one)[0][0]) for name, one in {**counted, "points": points}.items()}


def _damage(reader: Reader) -> Iterator[str]:
    """Yields the faults that SQLite finds in its own file; a server checks its own."""
    with reader.connect() as connection:
        if connection.dialect.name == "sqlite":
            for (message,) in connection.execute(text(f"PRAGMA integrity_check({_MOST})")):
                if message != "ok":
                    yield f"the file is damaged: {message}"


def tables_of(reader: Reader) -> list[Table]:
    """Lists the tables that a store of its version has."""
    return [table for table in metadata.sorted_tables if reader.has(table)]


def _missing_columns(reader: Reader) -> Iterator[str]:
    with reader.connect() as connection:
        inspected = inspect(connection)
        names = set(inspected.get_table_names())
        for table in tables_of(reader):
            if table.name not in names:
                yield f"the table {table.name} is missing"
                continue
            present = {column["name"] for column in inspected.get_columns(table.name)}
            for column in reader.columns(table):
                if column.name not in present:
                    yield f"the table {table.name} has no column {column.name}"


def orphans_of(column: Column[Any]) -> Any:
    """Builds the condition that a row's reference leads nowhere."""
    (key,) = column.foreign_keys
    return column.is_not(None) & ~exists().where(key.column == column)


def references(reader: Reader) -> Iterator[Column[Any]]:
    """Yields every column of a store that refers to another table."""
    for table in tables_of(reader):
        yield from (column for column in table.columns if column.foreign_keys)


def _orphans(reader: Reader) -> Iterator[str]:
    for column in references(reader):
        counted = select(func.count()).select_from(column.table).where(orphans_of(column))
        (row,) = reader.rows(counted)
        if row[0]:
            (key,) = column.foreign_keys
            of = key.column.table.name.removesuffix("s").replace("studie", "study")
            yield f"{row[0]} rows of {column.table.name} belong to a {of} that is not there"
    without = select(trials).where(~exists().where(run_summary.c.trial == trials.c.id))
    for row in reader.rows(without):
        yield f"trial {_name(row)} has no summary"


def _name(row: Row[Any]) -> str:
    return f"{row.study}/{row.stage}/{row.number}"


def _versions(reader: Reader) -> Iterator[str]:
    """Finds versions that were not given out yet: if given again, readers would miss a change."""
    # The largest ones first: a running search gives out more between two queries.
    largest: dict[str, int] = {}
    for table in (run_summary, commands):
        if reader.has(table):
            (row,) = reader.rows(select(func.max(table.c.version)))
            largest[table.name] = int(row[0] or 0)
    counted = select(meta.c.value).where(meta.c.name == "last_version")
    last = max((row.value for row in reader.rows(counted)), default=None)
    if last is None:
        yield "the number of the last version is missing"
        return
    for name, version in largest.items():
        if version > last:
            yield f"{name} has version {version}, but only {last} were given out"
    twice = select(run_summary.c.version).group_by(run_summary.c.version).having(func.count() > 1)
    for row in reader.rows(twice):
        yield f"version {row.version} was given to more than one summary"


def _states(reader: Reader) -> Iterator[str]:
    known = [state.value for state in State]
    for row in reader.rows(select(studies.c.id, studies.c.state).where(studies.c.state.not_in(known))):
        yield f"study {row.id} has a state that does not exist: {row.state!r}"
    of_trials = _summaries_where(run_summary.c.state.not_in(known))
    for row in reader.rows(of_trials):
        yield f"trial {_name(row)} has a state that does not exist: {row.state!r}"


def _summaries_where(condition: Any) -> Select[Any]:
    names = select(trials.c.study, trials.c.stage, trials.c.number, run_summary)
    ordered = names.join(run_summary).where(condition)
    return ordered.order_by(trials.c.study, trials.c.stage, trials.c.number)


def _summaries(reader: Reader) -> Iterator[str]:
    """Finds finished runs whose summary contradicts their readings."""
    finished = {
        row.trial: row for row in reader.rows(_summaries_where(run_summary.c.state.in_(FINAL_STATES)))
    }
    compared: set[int] = set()
    ordered = select(readings).order_by(readings.c.trial, readings.c.epoch)
    for trial, rows in groupby(_streamed(reader, ordered), lambda row: int(row.trial)):
        mine = [reading_from(row) for row in rows]
        if trial in finished:
            compared.add(trial)
            yield from _contradiction(finished[trial], mine[-1].epoch, max(map(score, mine)))
    for trial in finished.keys() - compared:
        yield from _contradiction(finished[trial], 0, -math.inf)


def _contradiction(row: Row[Any], epochs: int, best: float) -> Iterator[str]:
    if row.epochs != epochs:
        yield f"trial {_name(row)} is {row.state} after {row.epochs} epochs, but its last reading is {epochs}"
    elif row.state == State.COMPLETE.value and row.best_score != best:
        yield f"trial {_name(row)} has the best score {row.best_score:g}, but its readings' is {best:g}"


def _series(reader: Reader) -> Iterator[str]:
    """Finds series that are not chunks 0, 1, 2, ..., all but the last full, their steps ascending."""
    size = series.c.count.label("size")  # a row has a method count
    places = select(trials.c.study, trials.c.stage, trials.c.number, series, size).join(series)
    ordered = places.order_by(series.c.trial, series.c.name, series.c.chunk)
    for (_, name), chunks in groupby(_streamed(reader, ordered), lambda row: (row.trial, row.name)):
        found = list(chunks)
        if fault := _broken(found):
            yield f"the series {name} of trial {_name(found[0])} is broken: {fault}"


def _symptoms(reader: Reader) -> Iterator[str]:
    """Finds symptoms without a cause in their own trial."""
    if not reader.has(verdicts):
        return
    causes = findings.alias()
    mine = (causes.c.trial == findings.c.trial) & (causes.c.position == findings.c.cause)
    there = exists().where(mine & causes.c.cause.is_(None))
    lost = select(trials.c.study, trials.c.stage, trials.c.number, findings.c.rule).join(findings)
    for row in reader.rows(lost.where(findings.c.cause.is_not(None) & ~there)):
        yield f"the finding {row.rule} of trial {_name(row)} is a symptom of a cause that is not there"


def _streamed(reader: Reader, statement: Select[Any]) -> Iterator[Row[Any]]:
    """Streams the rows of a table that may be larger than memory."""
    with reader.connect() as connection:
        yield from connection.execute(statement.execution_options(yield_per=500))


def _broken(chunks: list[Row[Any]]) -> str:
    """Describes the first fault of a series; empty without one."""
    if [chunk.chunk for chunk in chunks] != list(range(len(chunks))):
        return "a piece of it is missing"
    before = -1
    for chunk in chunks:
        if len(chunk.points) != 8 * chunk.size or chunk.size < 1:
            return f"piece {chunk.chunk} holds {len(chunk.points)} bytes for {chunk.size} points"
        if chunk is not chunks[-1] and chunk.size != CHUNK_POINTS:
            return f"piece {chunk.chunk} is short"
        steps, _ = from_chunks([chunk.points])
        if (int(steps[0]), int(steps[-1])) != (chunk.first_step, chunk.last_step):
            return f"piece {chunk.chunk} has other steps than it says"
        if int(steps[0]) <= before or (steps[1:] <= steps[:-1]).any():
            return f"the steps of piece {chunk.chunk} do not ascend"
        before = int(steps[-1])
    return ""
