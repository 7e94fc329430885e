"""The one place where a database's complaint becomes a StoreError with its fix."""

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
"""What comes of a row whose values nobody wrote: a state that does not exist, half a number, broken JSON."""


class OutageError(StoreError):
    """A failure that passes: the server restarts, the network is gone for a while, two writers collided."""


KEPT = "every trial that had finished is kept; give the same command again to go on from there"


@contextmanager
def store_errors(where: str, path: Path | None) -> Iterator[None]:
    """Turns whatever the database raises inside the block into a :class:`StoreError`.

    Args:
        where: the store as the user named it.
        path: its file; None for a store on a server.

    Raises:
        StoreError: with the cause in the user's words, and the fix; :class:`OutageError` if it may pass.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise translated(error, where, path) from error


@contextmanager
def reading() -> Iterator[None]:
    """Turns what a damaged row raises inside the block into a :class:`StoreError`.

    Example:
        >>> with reading():
        ...     int("a state")
        Traceback (most recent call last):
        babysit.errors.StoreError: a row of the store cannot be read (ValueError: invalid ...)
          fix: the file is damaged, or was changed by hand: bring it from a backup, or begin a new store
    """
    try:
        yield
    except _UNREADABLE as error:
        raise StoreError(
            f"a row of the store cannot be read ({type(error).__name__}: {str(error)[:200]})",
            fix="the file is damaged, or was changed by hand: bring it from a backup, or begin a new store",
        ) from error


def reads(read: Callable[P, R]) -> Callable[P, R]:
    """The same for everything that a function does: it turns rows into records."""

    @functools.wraps(read)
    def guarded(*arguments: P.args, **options: P.kwargs) -> R:
        with reading():
            return read(*arguments, **options)

    return guarded


def translated(error: Exception, where: str, path: Path | None) -> StoreError:
    """The StoreError that says the same as a database's own error."""
    text = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    if path is None and isinstance(error, DBAPIError):
        return server_failure(error, text, where)
    if "not a database" in text or "malformed" in text:
        return StoreError(
            f"{where} is not a babysit store, or it is damaged ({text})",
            fix="name another file, or move this one away and start a new store",
        )
    if "is full" in text or "disk I/O error" in text or "No space left" in text:
        return StoreError(
            f"the disk of {where} is full: {_free(path)} ({text})",
            fix=f"free some space, or name a store on another disk; {KEPT}",
        )
    if "is locked" in text or "busy" in text:
        return StoreError(
            f"{where} stayed locked by another program for too long ({text})",
            fix=f"close the program that holds it open, or name another store; {KEPT}",
        )
    return _unreachable(error, text, where) or _unknown(error, text, where)


def _unreachable(error: Exception, text: str, where: str) -> StoreError | None:
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
    return None


_PASSING = {"57P01", "57P02", "57P03", "53300", "40001", "40P01"}
"""Shut down, crashed, starting up, too many connections, serialization failure, deadlock."""

_SAID: dict[str, tuple[str, str]] = {
    "53100": ("the disk of its server is full", "free some space there"),
    "55P03": (
        "it stayed locked by another program for too long",
        "close the program that holds it, or try again",
    ),
    "25006": ("it can only be read", "name the primary server, not a standby"),
    "42501": ("its user may not do that", "GRANT ALL ON SCHEMA public TO the user, or name another one"),
    "3F000": ("its schema does not exist", "CREATE SCHEMA first, or leave search_path out of the URL"),
}
"""PostgreSQL's SQLSTATE -> what it means, and the fix."""


def server_failure(error: DBAPIError, text: str, where: str) -> StoreError:
    """The StoreError that says the same as a server's own error."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state in _SAID:
        problem, fix = _SAID[state]
        return StoreError(f"the store {where} failed: {problem} ({text})", fix=f"{fix}; {KEPT}")
    # What fails before there is a connection has no state.
    unconnected = not state and isinstance(error, OperationalError)
    if unconnected and "password" in text:
        fix = f"give the user's name in the address, and {PASSWORD_PLACE}"
        return StoreError(f"the store {where} refuses its user ({text})", fix=f"{fix}; {KEPT}")
    if error.connection_invalidated or unconnected or state.startswith("08") or state in _PASSING:
        return OutageError(
            f"the store {where} cannot be reached ({text})",
            fix="start the server, or check host, port, user and database (createdb makes one); " + KEPT,
        )
    return StoreError(
        f"the store {where} failed: {type(error).__name__}: {text}",
        fix=f"look into the server's log; {KEPT}",
    )


def _unknown(error: Exception, text: str, where: str) -> StoreError:
    return StoreError(
        f"the store {where} failed: {type(error).__name__}: {text}",
        fix=f"check the disk and the file's permissions; {KEPT}",
    )


def _free(path: Path | None) -> str:
    if path is None or not path.parent.is_dir():
        return "free space unknown"
    return f"{shutil.disk_usage(path.parent).free / 2**20:.1f} MiB free"
