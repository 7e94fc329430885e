"""The rows of commands: requests and answers within a transaction.

A transaction that changes a command takes the next version first. So writers take turns on every database,
and no request arrives between the end of a study and the answer to its open requests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update

from babysit.errors import InputError, StoreError
from babysit.records import Command, CommandKind, CommandState, State, TrialKey
from babysit.store.active import next_versions
from babysit.store.clock import now
from babysit.store.rows import command_from
from babysit.store.schema import commands, run_summary, studies, trials

RETRAINING = "retraining"
"""The key in an unfinished study's outcome of finished trials that train once more, as [stage, number]."""

RESTARTED = "; the run restarted since, without it"

OPEN = [state.value for state in CommandState if state.is_open]


def commands_where(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Commands with the stage and number of their trials, oldest first."""
    columns = select(commands, trials.c.stage, trials.c.number)
    return columns.outerjoin_from(commands, trials).where(*conditions).order_by(commands.c.id)


def insert_command(
    connection: Connection,
    study: int,
    key: TrialKey | None,
    kind: CommandKind,
    argument: float,
    by: str,
) -> Command:
    """Writes a request to a live run.

    Raises:
        InputError: the study or the trial has ended.
        StoreError: there is no such study or trial.
    """
    version = take_turn(connection)
    found = connection.execute(
        select(studies.c.state, studies.c.outcome).where(studies.c.id == study)
    ).first()
    if found is None:
        raise StoreError(f"there is no study {study} in the store", fix="`babysit runs` lists them")
    if State(found.state) is not State.RUNNING:
        raise InputError(
            f"study {study} is {found.state}: no process receives a request to it",
            fix="only running studies can be changed; the same command with --resume resumes a stopped "
            "search, and with more trials extends a complete one",
        )
    again = found.outcome.get(RETRAINING) or ()
    row = None if key is None else _live_trial(connection, study, key, again)
    values = {
        "study": study,
        "trial": row,
        "kind": kind.value,
        "argument": argument,
        "asked_by": by,
        "asked": now(connection),
        "state": CommandState.ASKED.value,
        "step": 0,
        "detail": "",
        "answered": math.nan,
        "version": version,
    }
    made = connection.execute(insert(commands).values(values)).inserted_primary_key
    number = 0 if made is None else int(made[0])
    return command_from(connection.execute(commands_where(commands.c.id == number)).one())


def _live_trial(connection: Connection, study: int, key: TrialKey, again: Sequence[Sequence[int]]) -> int:
    mine = (trials.c.study == study) & (trials.c.stage == key[0]) & (trials.c.number == key[1])
    found = connection.execute(select(trials.c.id, run_summary.c.state).join(run_summary).where(mine)).first()
    if found is None:
        raise StoreError(
            f"study {study} has no trial {key[0]}/{key[1]}", fix=f"`babysit show {study}` lists its trials"
        )
    if State(found.state) not in (State.RUNNING, State.WAITING) and list(key) not in again:
        raise InputError(
            f"trial {study}/{key[0]}/{key[1]} is {found.state}: it can no longer be changed",
            fix=f"name a running trial; `babysit show {study}` lists them",
        )
    return int(found.id)


def take_turn(connection: Connection) -> int:
    """Takes the next version; every other writer waits until this transaction has ended."""
    return next(iter(next_versions(connection, 1)))


def answer(
    connection: Connection,
    wanted: ColumnElement[bool],
    state: CommandState,
    *,
    detail: str,
    step: int | None = None,
) -> int:
    """Moves the commands that fulfil a condition to their next state.

    Returns:
        The number of changed commands.
    """
    values: dict[str, Any] = {"state": state.value, "detail": detail, "version": take_turn(connection)}
    values |= {} if step is None else {"step": step}
    values |= {} if state.is_open else {"answered": now(connection)}
    return connection.execute(update(commands).where(wanted).values(values)).rowcount


def expire_open(connection: Connection, mine: ColumnElement[bool], detail: str) -> int:
    """Expires the open commands of a study or of trials that no process will answer; often none.

    Args:
        connection: in a transaction that has taken its turn.
        mine: the condition of the commands.
        detail: why they are not answered.

    Returns:
        The number of expired commands.
    """
    some = mine & commands.c.state.in_(OPEN)
    if connection.execute(select(commands.c.id).where(some).limit(1)).first() is None:
        return 0
    return answer(connection, some, CommandState.EXPIRED, detail=detail)


def note_restart(connection: Connection, rows: Sequence[int]) -> None:
    """Notes in the applied commands of some runs that these runs restarted since."""
    mine = commands.c.trial.in_(rows) & (commands.c.state == CommandState.APPLIED.value)
    values = {"detail": commands.c.detail + RESTARTED, "version": take_turn(connection)}
    once = mine & ~commands.c.detail.endswith(RESTARTED, autoescape=True)
    connection.execute(update(commands).where(once).values(values))
