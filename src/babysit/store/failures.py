"""The translation of a database's errors into StoreErrors with a fix."""

from __future__ import annotations

import functools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from babysit.errors import StoreError
from babysit.store.addresses import PASSWORD_PLACE

P = ParamSpec("P")
R = TypeVar("R")

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""The errors of a damaged row: a state that does not exist, half a number, broken JSON."""


class OutageError(StoreError):
    """A temporary failure: the server restarts, the network is down for a while, two writers collided."""


KEPT = "every finished trial is kept; give the same command again to resume from there"


@contextmanager
def store_errors(where: str, path: Path | None) -> Iterator[None]:
    """Translates any error of the database inside the block into a :class:`StoreError`.

    Args:
        where: the address of the store as the user typed it.
        path: its file; None for a store on a server.

    Raises:
        StoreError: with the cause and the fix; :class:`OutageError` if it is temporary.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise translated(error, where, path) from error


@contextmanager
def reading() -> Iterator[None]:
    """Translates the errors of a damaged row inside the block into a :class:`StoreError`.

    Example:
        >>> with reading():
        ...     int("a state")
        Traceback (most recent call last):
        babysit.errors.StoreError: a row of the store cannot be read (ValueError: invalid ...)
          fix: the file is damaged, or was edited: restore it from a backup, or start a new store
    """
    try:
        yield
    except _UNREADABLE as error:
        raise StoreError(
            f"a row of the store cannot be read ({type(error).__name__}: {str(error)[:200]})",
            fix="the file is damaged, or was edited: restore it from a backup, or start a new store",
        ) from error


def reads(read: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that turns rows into records: its errors become :class:`StoreError` as well."""

    @functools.wraps(read)
    def guarded(*arguments: P.args, **options: P.kwargs) -> R:
        with reading():
            return read(*arguments, **options)

    return guarded


def translated(error: Exception, where: str, path: Path | None) -> StoreError:
    """Translates a database's own error into a StoreError."""
    text = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    if path is None and isinstance(error, DBAPIError):
        return server_failure(error, text, where)
    if "not a database" in text or "malformed" in text:
        return StoreError(
            f"{where} is not a babysit store, or it is damaged ({text})",
            fix="name another file, or move this one away and start a new store",
        )
    if "is full" in text or "disk I/O error" in text or "No space left" in text:
        free = "free space unknown"
        if path is not None and path.parent.is_dir():
            free = f"{shutil.disk_usage(path.parent).free / 2**20:.1f} MiB free"
        return StoreError(
            f"the disk of {where} is full: {free} ({text})",
            fix=f"free some space, or name a store on another disk; {KEPT}",
        )
    if "is locked" in text or "busy" in text:
        return StoreError(
            f"{where} stayed locked by another program for too long ({text})",
            fix=f"close the program that holds it open, or name another store; {KEPT}",
        )
    if "readonly" in text or "read-only" in text.lower():
        return StoreError(
            f"{where} cannot be written: the file or its folder is read-only ({text})",
            fix="copy it to a folder that you may write to, or name another store",
        )
    if "unable to open" in text or isinstance(error, OSError):
        return StoreError(
            f"{where} cannot be opened or created ({text})",
            fix="name a file in a folder that exists and that you may write to",
        )
    return StoreError(
        f"the store {where} failed: {type(error).__name__}: {text}",
        fix=f"check the disk and the file's permissions; {KEPT}",
    )


_TEMPORARY = {"57P01", "57P02", "57P03", "53300", "40001", "40P01"}
"""Shut down, crashed, starting up, too many connections, serialization failure, deadlock."""

_STATES: dict[str, tuple[str, str]] = {
    "53100": ("the disk of its server is full", "free some space there"),
    "55P03": (
        "it stayed locked by another program for too long",
        "close the program that holds it, or try again",
    ),
    "25006": ("it can only be read", "name the primary server, not a standby"),
    "42501": ("its user may not do that", "GRANT ALL ON SCHEMA public TO the user, or name another one"),
    "3F000": ("its schema does not exist", "CREATE SCHEMA first, or leave search_path out of the URL"),
}
"""PostgreSQL's SQLSTATE -> its meaning, and the fix."""


def server_failure(error: DBAPIError, text: str, where: str) -> StoreError:
    """Translates a server's own error into a StoreError."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state in _STATES:
        problem, fix = _STATES[state]
        return StoreError(f"the store {where} failed: {problem} ({text})", fix=f"{fix}; {KEPT}")
    # A failure before the connection exists has no state.
    unconnected = not state and isinstance(error, OperationalError)
    if unconnected and "password" in text:
        fix = f"give the user's name in the address, and {PASSWORD_PLACE}"
        return StoreError(f"the store {where} refuses its user ({text})", fix=f"{fix}; {KEPT}")
    if error.connection_invalidated or unconnected or state.startswith("08") or state in _TEMPORARY:
        return OutageError(
            f"the store {where} cannot be reached ({text})",
            fix="start the server, or check host, port, user and database (createdb makes one); " + KEPT,
        )
    return StoreError(
        f"the store {where} failed: {type(error).__name__}: {text}",
        fix=f"look into the server's log; {KEPT}",
    )
