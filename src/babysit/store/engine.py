"""The engine of a store: its address, its file system, and the settings of SQLite."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Engine, QueuePool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from babysit.errors import StoreError
from babysit.store.addresses import shown, without_stars
from babysit.store.locking import lock_transactions
from babysit.store.server import server_engine

BUSY_SECONDS = 30.0
"""The time that a writer waits for another writer, in seconds."""

MOUNTS = Path("/proc/mounts")
"""Linux's list of mounted file systems; other systems have no such file and are trusted."""

READER_PRAGMAS = ("foreign_keys = ON",)
WRITER_PRAGMAS = ("foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL")

# 9p is not among them: sandboxes and virtual machines show local disks as 9p too.
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "fuse.sshfs", "sshfs"}


class Location(NamedTuple):
    """A store's address.

    Attributes:
        text: as the user typed it, a password replaced by stars, so that it may be shown.
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
    except (ArgumentError, ValueError) as error:  # the latter for a port that is not a number
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
    """Creates the engine for a store; no connection is made yet.

    Args:
        location: from :func:`locate`.
        read_only: refuse every write, and create nothing.
        busy_seconds: the time to wait for another writer.

    Raises:
        StoreError: the file lies on a network filesystem, or the server's driver is missing.
    """
    if location.path is None:
        return server_engine(location.server, location.text, read_only=read_only, busy_seconds=busy_seconds)
    refuse_network_filesystem(location.path)
    mode = "mode=rwc"
    if read_only:
        # Reading a write-ahead log needs a small file beside it. If none can be made, there is no writer.
        folder, log = location.path.parent, Path(f"{location.path}-wal")
        mode = "mode=ro" if os.access(folder, os.W_OK) or log.exists() else "mode=ro&immutable=1"
    address = f"file:{quote(str(location.path))}?{mode}"

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
    lock_transactions(engine, read_only=read_only, busy_seconds=busy_seconds)
    return engine


def refuse_network_filesystem(path: Path) -> None:
    """Refuses a file on a network filesystem.

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
    """Returns the kind of the network filesystem that holds a file.

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
    mounted = [
        (Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field[1])), field[2])
        for field in fields
        if len(field) > 2
    ]
    around = [(len(point.parts), kind) for point, kind in mounted if real.is_relative_to(point)]
    # The deepest mount point holds the file; of two on the same point, the later one hides the earlier.
    kind = max(reversed(around), key=lambda pair: pair[0], default=(0, ""))[1]
    return kind if kind in NETWORK_FILESYSTEMS else None
