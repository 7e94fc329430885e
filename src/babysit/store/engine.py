"""Opening a store: where it lies, whether it can live there, and how SQLite is set up."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Engine, QueuePool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from babysit.errors import StoreError
from babysit.store.addresses import shown, without_stars
from babysit.store.server import server_engine

BUSY_SECONDS = 30.0
"""How long a writer waits for another writer, in seconds."""

MOUNTS = Path("/proc/mounts")
"""Where Linux lists what is mounted; other systems have no such file and are trusted."""

READER_PRAGMAS = ("foreign_keys = ON",)
WRITER_PRAGMAS = ("foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL")

# 9p is not among them: sandboxes and virtual machines show local disks as 9p too.
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "fuse.sshfs", "sshfs"}


class Location(NamedTuple):
    """A store's address.

    Attributes:
        text: as the user named it, a password replaced by stars: fit to be shown.
        path: the absolute file of an SQLite store; None for a store on a server.
        server: the URL of a store on a server; empty for a file.
    """

    text: str
    path: Path | None
    server: str = ""


def locate(url: str) -> Location:
    """Reads a store's address.

    Args:
        url: a path, ``sqlite:///path``, or the URL of a database server.

    Raises:
        StoreError: the URL cannot be read, or it names no file.

    Example:
        >>> locate("sqlite:////tmp/runs.db").path
        PosixPath('/tmp/runs.db')
        >>> locate("postgresql+psycopg://ann:secret@host/runs").text
        'postgresql+psycopg://ann:***@host/runs'
    """
    if "://" not in url:
        return _file(url, url)
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise StoreError(
            f"{shown(url)!r} is not a store's address",
            fix="give a path, or postgresql+psycopg://user@host/database",
        ) from error
    if parts.get_backend_name() == "sqlite":
        return _file(url, parts.database or "")
    return Location(shown(url), None, without_stars(url))


def _file(text: str, path: str) -> Location:
    if path in ("", ":memory:"):
        raise StoreError(f"{text!r} names no file, so nothing would be kept", fix="give a path, e.g. runs.db")
    return Location(text, Path(os.path.abspath(os.path.expanduser(path))))


def open_engine(location: Location, *, read_only: bool, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """The engine for a store; no connection is made yet.

    Args:
        location: from :func:`locate`.
        read_only: refuse every write, and create nothing.
        busy_seconds: how long to wait for another writer.

    Raises:
        StoreError: the file lies on a network filesystem, or the server's driver is missing.
    """
    if location.path is None:
        return server_engine(location.server, location.text, read_only=read_only, busy_seconds=busy_seconds)
    refuse_network_filesystem(location.path)
    return _configure_sqlite(location.path, read_only, busy_seconds)


def _configure_sqlite(path: Path, read_only: bool, busy_seconds: float) -> Engine:
    address = f"file:{quote(str(path))}?{_mode(path, read_only)}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in READER_PRAGMAS if read_only else WRITER_PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    # A transaction that reads before it writes cannot wait for a lock, it fails; so writers lock at once.
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _mode(path: Path, read_only: bool) -> str:
    if not read_only:
        return "mode=rwc"
    # Reading a write-ahead log needs a small file beside it. Where none can be made, no one can be writing.
    settled = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return "mode=ro&immutable=1" if settled else "mode=ro"


def refuse_network_filesystem(path: Path) -> None:
    """Refuses a file on a filesystem that is known to be a network's.

    Raises:
        StoreError: naming the filesystem, and PostgreSQL.
    """
    filesystem = network_filesystem(path, MOUNTS.read_text() if MOUNTS.is_file() else "")
    if filesystem:
        raise StoreError(
            f"{path} lies on a network filesystem ({filesystem}), where SQLite's log cannot be shared",
            fix="name a file on a local disk, or a PostgreSQL server: postgresql+psycopg://user@host/database",
        )


def network_filesystem(path: Path, mounts: str) -> str | None:
    """The kind of network filesystem that holds a file.

    Args:
        path: the file, which need not exist.
        mounts: the text of ``/proc/mounts``.

    Returns:
        "nfs4", "cifs", ...; None for any other filesystem.

    Example:
        >>> network_filesystem(Path("/home/ann/runs.db"), "server:/home /home nfs4 rw 0 0")
        'nfs4'
    """
    real = Path(os.path.realpath(path))
    fields = [line.split() for line in mounts.splitlines()]
    mounted = [(Path(_unescaped(field[1])), field[2]) for field in fields if len(field) > 2]
    around = [(len(point.parts), kind) for point, kind in mounted if real.is_relative_to(point)]
    # The deepest mount point holds the file; of two on the same point, the later one hides the earlier.
    kind = max(reversed(around), key=lambda pair: pair[0], default=(0, ""))[1]
    return kind if kind in NETWORK_FILESYSTEMS else None


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
