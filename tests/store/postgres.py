"""A PostgreSQL server for the tests: started from the machine's own binaries, or named by the user."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from sqlalchemy import NullPool, create_engine, text

from babysit.store.schema import commands, meta, metadata, studies, trials

NAMED = "BABYSIT_TEST_POSTGRES"
"""The environment variable that names a server: postgresql+psycopg://user@host/database."""

# ICU's order of words is not that of bytes, so that a query which relies on either is found out.
_LOCALES = (("--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"), ("--locale=C.UTF-8",))
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "timezone": "Pacific/Chatham",
    "log_min_messages": "fatal",
}


def binaries() -> Path | None:
    """Where ``initdb`` and ``postgres`` lie; None where they are not installed."""
    found = shutil.which("initdb")
    newest = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: len(path))
    return Path(found or newest[-1]).parent if found or newest else None


class Server:
    """A server of one's own on a socket in a temporary folder.

    Args:
        programs: the folder of ``initdb`` and ``postgres``.
    """

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="babysit-pg-"))
        self._programs = programs
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        self._process: subprocess.Popen[bytes] | None = None
        self._make()

    def _make(self) -> None:
        for locale in _LOCALES:
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            words = ["-U", "babysit", "-A", "trust", "-E", "UTF8", "--no-sync", *locale]
            done = self._call("initdb", "-D", str(self.folder / "data"), *words)
            if done.returncode == 0:
                return
        raise RuntimeError(done.stderr.decode())

    def _call(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._programs / program), *words]
        return subprocess.run(command, capture_output=True, check=False, cwd="/", **self._as)  # type: ignore[call-overload]

    @property
    def url(self) -> str:
        """Of its database ``postgres``."""
        return f"postgresql+psycopg://babysit@/postgres?host={self.folder}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *words],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,  # type: ignore[call-overload]
        )
        deadline = time.monotonic() + 60
        while not self.is_up:
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            psycopg.connect(f"host={self.folder} user=babysit dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT breaks connections off, SIGQUIT crashes it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stops it and deletes what it kept."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def fresh(url: str, name: str) -> str:
    """An empty schema in a database, as a URL."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')  # type: ignore[arg-type]
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"


def drop(url: str, name: str) -> None:
    """Deletes a schema with what is in it."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA "{name}" CASCADE')  # type: ignore[arg-type]


def clear(url: str) -> None:
    """Empties a store, as if it had just been made."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not meta:
                connection.execute(table.delete())
        connection.execute(meta.update().where(meta.c.name == "last_version").values(value=0))
        for table in (studies, trials, commands):
            connection.execute(text(f"ALTER SEQUENCE {table.name}_id_seq RESTART"))
    engine.dispose()
