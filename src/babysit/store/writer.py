"""Writing a study into a store, in few and large transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy import Connection, delete, insert, select, update

from babysit.errors import StoreError
from babysit.records import Details, Reading, Result, Stage, State, Trial, TrialKey
from babysit.store.active import ActiveRun, save_finished, save_progress
from babysit.store.command_rows import expire_open, note_restart, take_turn
from babysit.store.engine import BUSY_SECONDS, locate, open_engine
from babysit.store.failures import OutageError, store_errors
from babysit.store.outage import PATIENCE_SECONDS, Outage
from babysit.store.rows import Values, check_values, stage_values
from babysit.store.schema import checks, commands, stages, studies, trials
from babysit.store.statements import append, replace
from babysit.store.tables import create_tables
from babysit.store.trial_rows import ensure_trials, start_over, unfinished
from babysit.store.verdict_rows import save_verdicts
from babysit.verdicts import CheckResult, Verdict

FLUSH_SECONDS = 0.5
"""The longest time that a buffered epoch waits for its commit."""

FLUSH_READINGS = 500
"""The most epochs that are buffered."""

T = TypeVar("T")

_NO_VERDICTS: Mapping[TrialKey, Verdict] = MappingProxyType({})
_NO_COSTS: Mapping[TrialKey, tuple[ArrayLike, ArrayLike]] = MappingProxyType({})


class Writer:
    """Writes studies into one store; use it as a context manager, or close it.

    Everything is committed when a method returns, except for :meth:`epoch`: epochs are buffered and
    committed together at most half a second later, by a thread of the writer. :meth:`finish_trials`
    writes a run whole, so a finished trial never depends on that buffer.

    One writer may be used from several threads; several writers, in several processes, take turns.
    An outage of the server during a run ends nothing: buffered epochs wait, and other commits are repeated
    until the server is back or the patience ends.

    Args:
        url: a path, ``sqlite:///path``, or a database server's URL. The file and its folder are created.
        busy_seconds: the time to wait for another writer, in seconds. Default: 30.
        patience_seconds: the time to wait for a server during an outage, in seconds. Default: an hour.

    Raises:
        StoreError: the store cannot be created or opened, or is not a babysit store.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Writer(f"{folder}/runs.db") as writer:
        ...     study = writer.begin_study(
        ...         name="digits", recipe="digits", kind="search", seed=0, fingerprint="f", settings={}
        ...     )
        ...     writer.finish_study(study, State.COMPLETE, {"advice": []})
    """

    def __init__(
        self,
        url: str,
        *,
        busy_seconds: float = BUSY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._location = locate(url)
        self._lock = threading.RLock()
        self._ids: dict[tuple[int, TrialKey], int] = {}
        self._active: dict[int, ActiveRun] = {}
        self._failure: StoreError | None = None
        self._outage = Outage(self._location.text, patience_seconds)
        self._closing = threading.Event()
        with self._errors():
            if self._location.path:
                self._location.path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = open_engine(self._location, read_only=False, busy_seconds=busy_seconds)
        try:
            self._attempt(lambda connection: create_tables(connection, self._location))
        except BaseException:
            self._engine.dispose()
            raise
        self._flusher = threading.Thread(target=self._flush_regularly, name="babysit-store", daemon=True)
        self._flusher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Commits everything buffered and closes the store; a second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._flusher.join()
        try:
            with self._lock:
                self._commit_progress(self._attempt)
        finally:
            self._engine.dispose()

    def flush(self) -> None:
        """Commits everything buffered."""
        with self._lock:
            self._ready()
            self._commit_progress(self._write)

    def begin_study(
        self, *, name: str, recipe: str, kind: str, seed: int, fingerprint: str, settings: Mapping[str, Any]
    ) -> int:
        """Starts a study; it is committed on return.

        Args:
            name: its name for the user.
            recipe: the recipe's name or path.
            kind: "search", "train" or "watch".
            seed: the one seed that everything is derived from.
            fingerprint: equal for the same command, so that an interrupted study can be found again.
            settings: all other settings, as plain data.

        Returns:
            The study's number in this store.
        """
        values = {
            "name": name,
            "recipe": recipe,
            "kind": kind,
            "seed": str(int(seed)),
            "fingerprint": fingerprint,
            "settings": settings,
            "state": State.RUNNING.value,
            "created": time.time(),
            "outcome": {},
        }
        # If the server fails during the commit, the second try finds the row of the first.
        mine = (studies.c.fingerprint == fingerprint) & (studies.c.created == values["created"])

        def write(connection: Connection) -> int:
            written = self._outage.is_on and connection.execute(select(studies.c.id).where(mine)).scalar()
            return int(
                written
                or connection.execute(insert(studies).values(values).returning(studies.c.id)).scalar_one()
            )

        return self._write(write)

    def note_study(self, study: int, outcome: Mapping[str, Any]) -> None:
        """Writes the outcome so far of a running study; its end replaces it.

        Raises:
            StoreError: the store has no such study.
        """
        self._write(lambda connection: self._set_study(connection, study, {"outcome": outcome}))

    def reopen_study(self, study: int) -> None:
        """Resumes an interrupted study.

        Finished trials and those that the user stopped are kept. Other trials lose their readings, series and
        verdicts and wait, since they will restart from their first step. Unanswered requests expire: they
        were meant for the process that is gone.

        Raises:
            StoreError: the store has no such study.
        """

        def write(connection: Connection) -> None:
            take_turn(connection)
            self._set_study(connection, study, {"state": State.RUNNING.value, "outcome": {}})
            mine = list(connection.execute(select(trials.c.id).where(trials.c.study == study)).scalars())
            left = unfinished(connection, mine) if mine else []
            gone = "the process that should have received it had ended"
            expire_open(connection, commands.c.study == study, gone)
            note_restart(connection, left)
            start_over(connection, left, State.WAITING)
            self._drop(left)

        self._write(write)

    def extend_study(self, study: int, fingerprint: str, settings: Mapping[str, Any]) -> None:
        """Writes that a study continues with extended settings.

        Args:
            study: the study's number.
            fingerprint: that of the extended command.
            settings: the extended settings, as plain data.

        Raises:
            StoreError: the store has no such study.
        """
        values = {"fingerprint": fingerprint, "settings": settings}
        self._write(lambda connection: self._set_study(connection, study, values))

    def checks(self, study: int, results: Sequence[CheckResult]) -> None:
        """Writes the results of the checks, and replaces earlier ones."""
        rows = [check_values(study, position, result) for position, result in enumerate(results)]

        def write(connection: Connection) -> None:
            connection.execute(delete(checks).where(checks.c.study == study))
            append(connection, checks, rows)

        self._write(write)

    def begin_stage(self, study: int, stage: Stage) -> None:
        """Writes a stage, and replaces an earlier one of the same index."""
        rows = [stage_values(study, stage)]
        self._write(lambda connection: replace(connection, stages, ("study", "position"), rows))

    def begin_trials(self, study: int, trials: Sequence[Trial]) -> None:
        """Starts trials from their first step; finished trials are unchanged.

        Raises:
            StoreError: the store has one of them with other hyperparameters.
        """
        if not trials:
            return

        def write(connection: Connection) -> None:
            rows = ensure_trials(connection, study, trials)
            started = unfinished(connection, rows.values())
            start_over(connection, started, State.RUNNING)
            self._drop(started)
            self._remember(study, rows)

        self._write(write)

    def epoch(
        self,
        study: int,
        trial: Trial,
        reading: Reading,
        steps: ArrayLike,
        costs: ArrayLike,
    ) -> None:
        """Buffers one epoch of one run; it is committed within half a second.

        Args:
            study: the study's number.
            trial: the trial; it is started if necessary.
            reading: the measurements at the end of the epoch.
            steps: the epoch's step numbers, from 1, ascending.
            costs: the cost at each of them.

        Raises:
            StoreError: an earlier epoch could not be committed; it stays buffered, and is tried again.
        """
        with self._lock:
            self._ready()
            run = self._active_run(study, trial)
            room = self._outage.has_room(len(np.asarray(steps)))
            run.add(reading, *((steps, costs) if room else ((), ())))
            many = sum(len(run.pending) for run in self._active.values()) >= FLUSH_READINGS
            if many and not self._outage.is_on:
                self._commit_progress(self._attempt)

    def costs(self, study: int, trial: Trial, steps: ArrayLike, costs: ArrayLike) -> None:
        """Buffers costs of an unfinished epoch; they are committed within half a second.

        Args:
            study: the study's number.
            trial: the trial; it is started if necessary.
            steps: step numbers, from 1, ascending from call to call.
            costs: the cost at each of them.

        Raises:
            StoreError: earlier data could not be committed; it is still buffered, and will be tried again.
        """
        with self._lock:
            self._ready()
            run = self._active_run(study, trial)
            if self._outage.has_room(len(np.asarray(steps))):
                run.add_costs(steps, costs)

    def details(self, study: int, trial: Trial, details: Details) -> None:
        """Buffers measurements of a run's layers; they are committed within half a second.

        Of histograms and snapshots of one name a bounded number is kept, spread evenly over the run.

        Args:
            study: the study's number.
            trial: the trial; it is started if necessary.
            details: the new ones since the last call; steps ascend from call to call.

        Raises:
            StoreError: earlier data could not be committed; it is still buffered, and will be tried again.
        """
        with self._lock:
            self._ready()
            run = self._active_run(study, trial)
            if self._outage.has_room(sum(len(np.asarray(steps)) for steps, _ in details.series.values())):
                run.add_details(details)

    def _active_run(self, study: int, trial: Trial) -> ActiveRun:
        if (study, trial.key) not in self._ids:
            self.begin_trials(study, [trial])
        row = self._ids[study, trial.key]
        return self._active.setdefault(row, ActiveRun(row))

    def verdict(self, study: int, trial: Trial, verdict: Verdict) -> None:
        """Writes the verdict on an unfinished run, and replaces an earlier one.

        Args:
            study: the study's number.
            trial: the trial.
            verdict: with its causes, the most severe first. During an outage it is dropped: the next one is
                newer.
        """

        def write(connection: Connection) -> None:
            rows = ensure_trials(connection, study, [trial])
            save_verdicts(connection, {rows[trial.key]: verdict})

        if self._outage.is_on:
            return
        try:
            self._attempt(write)
        except OutageError as error:
            self._outage.note(error)

    def finish_trials(
        self,
        study: int,
        results: Sequence[Result],
        verdicts: Mapping[TrialKey, Verdict] = _NO_VERDICTS,
        costs: Mapping[TrialKey, tuple[ArrayLike, ArrayLike]] = _NO_COSTS,
    ) -> None:
        """Writes finished runs, whole and in one transaction; they are committed on return.

        Args:
            study: the study's number.
            results: the trials and their runs.
            verdicts: the key of a trial -> the verdict on its run. Default: none.
            costs: the key of a trial -> steps and costs since its last full epoch. Default: none.
        """
        # One lock for the commit and the removal: in between, the flushing thread would still see the run as
        # active, and write it back as running.
        with self._lock:
            rows = {self._row(study, result.trial, results): result for result in results}
            for key, tail in costs.items():
                row = self._ids[study, key]
                self._active.setdefault(row, ActiveRun(row)).add_costs(*tail)
            active = {row: self._active[row] for row in rows if row in self._active}

            def write(connection: Connection) -> None:
                save_finished(connection, rows, active, verdicts)
                expire_open(connection, commands.c.trial.in_(rows), "the run had ended")

            self._write(write)
            self._drop(list(rows))

    def finish_study(self, study: int, state: State, outcome: Mapping[str, Any]) -> None:
        """Writes the end of a study, and everything still buffered; it is committed on return.

        Args:
            study: the study's number.
            state: complete, stopped or failed.
            outcome: its outcome as plain data.

        Raises:
            StoreError: the store has no such study.
        """
        self.flush()

        def write(connection: Connection) -> None:
            take_turn(connection)  # a process that makes a request waits, and finds the study ended
            expire_open(connection, commands.c.study == study, "the study had ended")
            self._set_study(connection, study, {"state": state.value, "outcome": outcome})

        self._write(write)

    def _row(self, study: int, trial: Trial, together: Sequence[Result]) -> int:
        """Returns the row of a trial; unknown trials are looked up, or made, together."""
        if (study, trial.key) not in self._ids:
            wanted = [result.trial for result in together]
            self._remember(study, self._write(lambda connection: ensure_trials(connection, study, wanted)))
        return self._ids[study, trial.key]

    def _remember(self, study: int, rows: Mapping[TrialKey, int]) -> None:
        self._ids.update({(study, key): row for key, row in rows.items()})

    def _set_study(self, connection: Connection, study: int, values: Values) -> None:
        changed = connection.execute(update(studies).where(studies.c.id == study).values(values))
        if not changed.rowcount:
            raise StoreError(
                f"{self._location.text} has no study {study}", fix="babysit list shows the studies"
            )

    def _drop(self, rows: Sequence[int]) -> None:
        for row in rows:
            self._active.pop(row, None)

    def _commit_progress(self, write: Callable[[Callable[[Connection], None]], None]) -> None:
        """Writes everything buffered; an outage raises no error if ``write`` is one attempt."""
        waiting = [run for run in self._active.values() if run.has_news]
        if not waiting:
            return
        try:
            write(lambda connection: save_progress(connection, waiting))
        except OutageError as error:
            self._outage.note(error)
            return
        for run in waiting:
            run.mark_committed()

    def _flush_regularly(self) -> None:
        while not self._closing.wait(max(FLUSH_SECONDS, self._outage.pause)):
            if self._outage.is_on and not self._is_reachable():
                continue  # tested without the lock, so that no epoch waits for the server
            with self._lock:
                try:
                    self._commit_progress(self._attempt)
                except StoreError as error:
                    self._failure = error  # raised by the next call, in the thread that can act on it

    def _is_reachable(self) -> bool:
        try:
            with self._errors(), self._engine.connect():
                return True
        except StoreError:
            return False

    def _ready(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self._closing.is_set():
            raise StoreError(f"{self._location.text} is closed", fix="open a new Writer")

    def _attempt(self, body: Callable[[Connection], T]) -> T:
        """Runs one transaction, once."""
        with self._lock:
            with self._errors(), self._engine.begin() as connection:
                answer = body(connection)
            self._outage.over()
            return answer

    def _write(self, body: Callable[[Connection], T]) -> T:
        """Runs one transaction; during an outage it is repeated until the server is back."""
        with self._lock:
            while True:
                try:
                    return self._attempt(body)
                except OutageError as error:
                    self._outage.wait(error)

    def _errors(self) -> AbstractContextManager[None]:
        return store_errors(self._location.text, self._location.path)
